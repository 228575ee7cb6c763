"""A run that is ended from outside, a disk that is full, a file that is damaged: what was saved can be read."""

import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import clipper
from clipper.errors import CorruptCheckpointError, SaveError
from clipper.runs.config_file import read_config
from clipper.runs.make_run import Settings
from clipper.runs.metrics_file import read_rows
from clipper.runs.run import Run
from clipper.storage import checkpoint, files
from clipper.storage.saved import value_of

SOURCE = Path(__file__).parents[2] / "src"
SMALL = clipper.PPO(horizon=16, epochs=1)
TINY = clipper.PolicyOptions(hidden=(4,))
COUNTS = [2, pytest.param(50, marks=[pytest.mark.long, pytest.mark.limit(3600)])]
SIGNALS = [2, pytest.param(20, marks=[pytest.mark.long, pytest.mark.limit(3600)])]


@pytest.mark.parametrize("count", COUNTS)
def test_a_run_that_is_killed_goes_on(count: int, tmp_path: Path, run_program: Callable, figures: Callable) -> None:
    found = run_program("ended_runs.py", "kill", tmp_path / "run", count)
    assert found["kills"] == found["resumed"] == count
    assert found["fallbacks"] == 0
    if count > 2:
        figures("F18", **found)


@pytest.mark.parametrize("count", SIGNALS)
def test_sigterm_at_any_time_leaves_an_exact_run(
    count: int, tmp_path: Path, run_program: Callable, figures: Callable
) -> None:
    found = run_program("ended_runs.py", "term", tmp_path, count)
    assert found["status_143"] == count
    assert found["equal"] == found["exact"] == 1
    if count > 2:
        figures("F19", **found)


def command(folder: Path, program: str) -> subprocess.Popen[str]:
    """``clipper train`` in an environment of the file ``own.py``."""
    (folder / "own.py").write_text(program)
    return subprocess.Popen(
        [sys.executable, "-m", "clipper", "train", "own:Own-v0", "--run-dir", "x", "--num-envs", "1", "--horizon", "8",
         "--minibatches", "1", "--total-steps", "100000"],
        cwd=folder, env=os.environ | {"PYTHONPATH": f"{SOURCE}:{folder}", "OMP_NUM_THREADS": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


OWN = """
import subprocess, time, gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
class Own(CartPoleEnv):
    steps = 0
    def __init__(self):
        super().__init__()
        with open("simulator", "w") as file:
            file.write(str(subprocess.Popen(["sleep", "3600"], start_new_session=True).pid))
    def step(self, action):
        self.steps += 1
        if self.steps > {quick}:
            open("waits", "w").close()
            time.sleep(3600)
        return super().step(action)
gymnasium.register("Own-v0", entry_point=Own)
"""


def simulator_runs(folder: Path) -> bool:
    """Does what the environment has started live on? What is dead but not yet buried does not."""
    file = Path("/proc") / (folder / "simulator").read_text() / "stat"
    return file.exists() and file.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_for(path: Path) -> None:
    until = time.monotonic() + 100
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert path.exists()


def test_an_iteration_that_hangs_is_given_up(tmp_path: Path) -> None:
    """The environment never answers in the third iteration: what the first two have taught is saved all the same."""
    process = command(tmp_path, OWN.format(quick=20))
    wait_for(tmp_path / "waits")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert "given up" in out
    _, values = checkpoint.load_latest(tmp_path / "x")
    assert (values["iteration"], values["steps"]) == (2, 16)
    assert value_of("rollouts", dict, values)["environments"] is None
    assert not simulator_runs(tmp_path)


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    process = command(tmp_path, OWN.format(quick=20))
    wait_for(tmp_path / "waits")
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert "given up" not in out  # that is the way after the first one
    assert checkpoint.load_latest(tmp_path / "x")[1]["iteration"] == 0
    assert not simulator_runs(tmp_path)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file grows beyond ``size`` bytes; to try is an error and not a signal."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    run = clipper.train("Pendulum-v1", SMALL, policy=TINY, run_dir=tmp_path, total_steps=64, num_envs=2)
    saved = {path.name: path.read_bytes() for path in tmp_path.glob("checkpoint*")}
    assert len(saved) == 2
    with largest_file(1000), pytest.raises(OSError, match="File too large"):
        run.save()
    assert {path.name: path.read_bytes() for path in tmp_path.glob("checkpoint*")} == saved
    run.save()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's own thread
def test_a_disk_that_is_full_for_a_while_costs_warnings(tmp_path: Path) -> None:
    """Training goes on, and saves again as soon as there is room."""

    def fills(run: Run) -> None:
        if run.iteration == 2:
            limited.__enter__()
        if run.iteration == 4:
            limited.__exit__(None, None, None)

    limited, plan = largest_file(1500), Settings(num_envs=2, total_steps=6 * 32, checkpoint_every=32)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run = clipper.train("Pendulum-v1", SMALL, policy=TINY, run_dir=tmp_path, callback=fills, **plan)
    messages = [str(w.message) for w in told]
    for words in ("no checkpoint after 64 steps, the one before stays", "TensorBoard's events cannot be written"):
        assert sum(words in message for message in messages) == 1
    assert run.iteration == 6
    assert checkpoint.load_latest(tmp_path)[1]["iteration"] == 6
    assert [row["iteration"] for row in read_rows(tmp_path)] == [1, 2, 3, 4, 5, 6]  # what waited has been written since


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_disk_that_stays_full_ends_in_an_error(tmp_path: Path) -> None:
    def full(run: Run) -> None:
        limited.__enter__()

    limited, plan = largest_file(100), Settings(num_envs=2, total_steps=32)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            with pytest.raises(SaveError, match="the end of the run, 32 steps, cannot be saved"):
                clipper.train("Pendulum-v1", SMALL, policy=TINY, run_dir=tmp_path, callback=full, **plan)
        finally:
            limited.__exit__(None, None, None)
    assert any("curve.png cannot be drawn" in str(w.message) for w in told)
    assert checkpoint.load_latest(tmp_path)[1]["iteration"] == 0


def test_the_latest_few_checkpoints_stay(tmp_path: Path) -> None:
    plan: Settings = {"num_envs": 2, "total_steps": 6 * 32, "checkpoint_every": 32, "keep_checkpoints": 3}
    clipper.train("Pendulum-v1", SMALL, policy=TINY, run_dir=tmp_path, **plan)
    names = ["checkpoint.safetensors", "checkpoint.previous.safetensors", "checkpoint.previous-2.safetensors"]
    assert {path.name for path in tmp_path.glob("checkpoint*")} == set(names)
    assert [checkpoint.load(tmp_path / name)[1]["iteration"] for name in names] == [6, 6, 5]
    for name in names[:2]:
        (tmp_path / name).write_bytes(b"no longer what it was")
    with pytest.warns(UserWarning, match="going back to checkpoint.previous"):
        assert checkpoint.load_latest(tmp_path)[1]["iteration"] == 5


def flips(path: Path, count: int) -> Iterator[int]:
    """One bit of the file flipped, ``count`` times, each somewhere else."""
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for position in rng.choice(len(whole), count, replace=False).tolist():
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        yield position
    path.write_bytes(whole)


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.long)])
def test_a_flipped_bit_is_noticed_and_the_checkpoint_before_is_taken(
    count: int, tmp_path: Path, figures: Callable
) -> None:
    plan: Settings = {"num_envs": 2, "total_steps": 4 * 32, "checkpoint_every": 64}
    clipper.train("Pendulum-v1", SMALL, policy=TINY, run_dir=tmp_path, **plan)
    newest = tmp_path / "checkpoint.safetensors"
    expected = checkpoint.load(checkpoint.earlier(newest, 1))
    noticed = 0
    for _ in flips(newest, count):
        with pytest.raises(CorruptCheckpointError):
            checkpoint.load(newest)
        with pytest.warns(UserWarning, match="going back"):
            tensors, values = checkpoint.load_latest(tmp_path)
        assert values == expected[1]
        assert all(torch.equal(x, expected[0][name]) for name, x in tensors.items())
        noticed += 1
    assert noticed == count
    if count > 20:
        figures("F22", flips=count, noticed=noticed)


def test_a_run_that_ended_before_it_began_begins(tmp_path: Path) -> None:
    plan: Settings = {"num_envs": 2, "total_steps": 64}
    whole = clipper.train("Pendulum-v1", SMALL, policy=TINY, run_dir=tmp_path / "whole", **plan)
    (tmp_path / "cut").mkdir()
    files.replace(tmp_path / "cut" / "config.json", (tmp_path / "whole" / "config.json").read_bytes())
    cut = clipper.train(resume=tmp_path / "cut")
    assert torch.equal(cut.learner.parameters, whole.learner.parameters)
    assert cut.exact
    for path in (tmp_path / "cut").glob("checkpoint*"):
        path.unlink()
    with pytest.raises(CorruptCheckpointError, match="no checkpoint"):  # it had come further than that
        clipper.train(resume=tmp_path / "cut")


def test_damaged_rows_of_metrics_are_left_out(tmp_path: Path) -> None:
    clipper.train("Pendulum-v1", SMALL, policy=TINY, run_dir=tmp_path, num_envs=2, total_steps=96)
    path = tmp_path / "metrics.jsonl"
    first, second, third = path.read_text().splitlines(keepends=True)
    path.write_bytes(first.encode() + b"\0\0\xff\n" + second.encode()[:50] + b"\n[]\n" + third.encode() + b'{"ste')
    with pytest.warns(UserWarning, match="left out") as warned:
        rows = list(read_rows(tmp_path))
    assert [row["iteration"] for row in rows] == [1, 3]
    assert len(warned) == 3
    assert read_config(tmp_path).total_steps == 96
