"""A folder of ``clipper train --seeds``, wherever the command line asks for a run."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import clipper
from clipper.cli.commands import run_command
from clipper.cli.seeds import PLAN, begin_planned, ended
from clipper.environments.processes import descendants, processes
from clipper.runs.config_file import read_config
from clipper.runs.curve import read_curve
from clipper.runs.lock import locked
from clipper.runs.metrics_file import read_rows
from clipper.storage import checkpoint

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
    settings = json.loads((many / "seed1" / "config.json").read_text()) | {"env": "CartPole-v1"}
    (many / PLAN).write_text(json.dumps({"first": 4, "count": 1, "settings": settings}))  # it has not begun
    with pytest.warns(UserWarning, match="seed3 is no run"):
        assert run_command(["resume", "many"]) == 0
    assert "2 of 3 seeds, " in capsys.readouterr().out
    fourth = clipper.train(dataclasses.replace(read_config(many / "seed1"), seed=4), run_dir="alone")
    ours, theirs = (checkpoint.load_latest(folder)[0] for folder in (many / "seed4", Path("alone")))
    assert fourth.config.seed == 4
    assert all(torch.equal(x, ours[name]) for name, x in theirs.items())
    assert (many / "seed1" / "metrics.jsonl").read_bytes() == before
    steps = [row["steps"] for row in read_rows(many / "seed2")]
    assert steps[-1] is not None
    assert steps[-1] >= 256
    assert steps[:1] == broken_off
    assert (many / "seed2.log").read_text().startswith("before\n")
    assert (many / "curves.png").exists()
    with pytest.warns(UserWarning, match="seed3 is no run"):
        assert run_command(["resume", "many"]) == 0
    assert "all 3 seeds in many have ended; --total-steps trains longer" in capsys.readouterr().out


def started(folder: Path, seeds: int) -> subprocess.Popen[str]:
    """The command, when the first of so many seeds train."""
    environment = os.environ | {"PYTHONPATH": str(Path(clipper.__file__).parents[1]), "COLUMNS": "100"}
    words = ["train", "CartPole-v1", "--seeds", str(seeds), "--seed=5", "--total-steps", "100000000",
             "--run-dir", "my runs"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "clipper", *words],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    begun = [folder / "my runs" / f"seed{5 + i}" / "metrics.jsonl" for i in range(min(os.cpu_count() or 1, seeds))]
    for _ in range(1200):
        if all(file.exists() for file in begun) or process.poll() is not None:
            break
        time.sleep(0.1)
    return process


def test_what_was_stopped_says_how_to_go_on(tmp_path: Path) -> None:
    """Seeds that run and those that have not begun are gone on with by one command."""
    cores = os.cpu_count() or 1
    process = started(tmp_path, cores + 2)
    try:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 143
    assert out.endswith("stopped; go on with:\n  clipper resume 'my runs'\n")
    assert not (tmp_path / "my runs" / f"seed{5 + cores}").exists()
    begin_planned(tmp_path / "my runs")
    assert read_config(tmp_path / "my runs" / f"seed{6 + cores}").seed == 6 + cores


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGHUP, marks=pytest.mark.long)])
def test_no_seed_outlives_its_command(number: signal.Signals, tmp_path: Path) -> None:
    process = started(tmp_path, 1 + (os.cpu_count() or 1))
    try:
        seeds = descendants(process.pid)
        assert len(seeds) >= (os.cpu_count() or 1)
        process.send_signal(number)
        process.wait(timeout=120)
        while set(seeds) & {child for child, _ in processes_alive()}:
            time.sleep(0.05)
    finally:
        process.kill()
        process.communicate()


def processes_alive() -> list[tuple[int, int]]:
    return [(child, parent) for child, parent in processes() if state(child) not in ("Z", "")]


def state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@pytest.mark.parametrize("plan", ["[]", "{", '{"first": 1, "count": 10000000, "settings": {}}', '{"first": 1}'])
def test_a_plan_that_is_none_is_refused(plan: str, many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (many / PLAN).write_text(plan)
    assert run_command(["resume", "many"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "seeds.json" in line
    assert {path.name for path in many.iterdir() if path.is_dir()} == {"seed1", "seed2"}


def test_two_commands_do_not_train_one_set(many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (many / "seed1.log").read_text()
    with locked(many):
        for words in (["resume", "many"], ["train", "CartPole-v1", "--seeds", "2", "--run-dir", "many"]):
            assert run_command(words) == 2
            assert "another process trains in many at this moment" in capsys.readouterr().err
    assert (many / "seed1.log").read_text() == before
