"""A folder of ``clipper train --seeds``, wherever the command line asks for a run."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import clipper
from clipper.cli.commands import run_command
from clipper.cli.seeds import ended
from clipper.runs.curve import read_curve
from clipper.runs.metrics_file import read_rows

SMALL = clipper.PPO(horizon=32, epochs=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds, of which the second was broken off after one iteration."""
    many = tmp_path_factory.mktemp("trained") / "many"
    for seed in (1, 2):
        clipper.train(
            "CartPole-v1", SMALL, policy=clipper.PolicyOptions(hidden=(8,)), seed=seed, num_envs=2, total_steps=256,
            vector="serial", run_dir=many / f"seed{seed}", callback=lambda run: run.config.seed == 1,
        ).close()  # fmt: skip
        (many / f"seed{seed}.log").write_text("before\n")
    return many


@pytest.fixture
def many(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("PYTHONPATH", str(Path(clipper.__file__).parents[1]))
    return Path(shutil.copytree(trained, "many"))


def test_evaluate_tells_every_seed_and_their_mean(many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["evaluate", "many", "--episodes", "3"]) == 0
    first, second, all_ = capsys.readouterr().out.splitlines()
    returns = [float(re.match(rf"seed{i}  CartPole-v1  return ([\d.]+) ± [\d.]+ over 3 episodes", line)[1])  # type: ignore[index]
               for i, line in ((1, first), (2, second))]  # fmt: skip
    told = re.match(r"mean of 2 seeds: return ([\d.]+), 95 % interval ([\d.]+) to ([\d.]+) \(bootstrap", all_)
    assert told is not None
    assert float(told[1]) == pytest.approx(sum(returns) / 2, abs=0.06)
    assert [float(told[2]), float(told[3])] == pytest.approx(sorted(returns), abs=0.06)  # of two, the ends
    one = clipper.evaluate(many / "seed1", episodes=3)
    assert returns[0] == pytest.approx(one.mean, abs=0.06)


def test_a_damaged_seed_is_left_out_of_the_evaluation(many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in (many / "seed2").glob("checkpoint*"):
        file.unlink()
    (many / "seed2" / "checkpoint.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"a seed was left out: .*seed2"):
        assert run_command(["evaluate", "many", "--episodes", "2"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["seed1"]


@pytest.mark.parametrize("command", ["play", "export"])
def test_one_policy_is_asked_for_by_its_name(command: str, many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (many / "seed3").mkdir()
    assert run_command([command, "many"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    returns = {f"seed{i}": read_curve(many / f"seed{i}").returns for i in (1, 2)}
    best = max((x[-1], name) for name, x in returns.items() if len(x))[1]
    assert "many holds 2 seeds (latest return: seed1 " in line
    assert line.endswith(f"name one of them, as in clipper {command} many/{best}")


def test_resume_goes_on_with_what_has_not_ended(many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [ended(many / name, None) for name in ("seed1", "seed2")] == [True, False]
    assert [ended(many / name, 512) for name in ("seed1", "seed2")] == [False, False]
    before = (many / "seed1" / "metrics.jsonl").read_bytes()
    broken_off = [row["steps"] for row in read_rows(many / "seed2")]
    (many / "seed3").mkdir()
    with pytest.warns(UserWarning, match="seed3 is no run"):
        assert run_command(["resume", "many"]) == 0
    assert "1 of 2 seeds, 1 at a time, in many" in capsys.readouterr().out
    assert (many / "seed1" / "metrics.jsonl").read_bytes() == before
    steps = [row["steps"] for row in read_rows(many / "seed2")]
    assert steps[-1] is not None
    assert steps[-1] >= 256
    assert steps[:1] == broken_off
    assert (many / "seed2.log").read_text().startswith("before\n")
    assert (many / "curves.png").exists()
    with pytest.warns(UserWarning, match="seed3 is no run"):
        assert run_command(["resume", "many"]) == 0
    assert "all 2 seeds in many have ended; --total-steps trains longer" in capsys.readouterr().out


def test_what_was_stopped_says_how_to_go_on(tmp_path: Path) -> None:
    """Seeds that run are resumed, those that have not begun are trained."""
    cores = os.cpu_count() or 1
    environment = os.environ | {"PYTHONPATH": str(Path(clipper.__file__).parents[1]), "COLUMNS": "100"}
    words = ["train", "CartPole-v1", "--seeds", str(cores + 2), "--seed=5", "--total-steps", "100000000",
             "--run-dir", "my runs"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "clipper", *words],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    begun = [tmp_path / "my runs" / f"seed{5 + i}" / "metrics.jsonl" for i in range(cores)]
    try:
        for _ in range(1200):
            if all(file.exists() for file in begun) or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 143
    assert "  clipper resume 'my runs'\n" in out
    left = f"--seed {5 + cores} --seeds 2 --run-dir 'my runs'"
    assert f"  clipper train CartPole-v1 --total-steps 100000000 {left}\n" in out
