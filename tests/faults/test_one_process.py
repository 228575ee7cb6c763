"""A run's folder belongs to the process that trains in it, as long as that lives, and to none of its forks."""

import fcntl
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import clipper
from clipper.cli.session import StopOnSignal
from clipper.errors import ConfigError, SaveError
from clipper.runs.forked import check_threads
from clipper.runs.lock import locked

QUICK: Any = {
    "algorithm": clipper.PPO(horizon=8, epochs=1, minibatches=2), "policy": clipper.PolicyOptions(hidden=(4,)),
    "total_steps": 64, "num_envs": 2,
}  # fmt: skip
forks = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def in_a_fork(action: Callable[[], bool]) -> bool:
    """What it answers in a forked process; False where it raises."""
    child = os.fork()
    if not child:
        status = 1
        try:
            status = 0 if action() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_no_other_process_trains_in_a_folder_at_the_same_time(tmp_path: Path) -> None:
    def another(run: clipper.Run) -> None:
        hows: tuple[Any, Any] = (
            {"resume": tmp_path / "run"},
            {"env": "CartPole-v1", "run_dir": tmp_path / "run"} | QUICK,
        )
        for how in hows:
            with pytest.raises(ConfigError, match=r"another process trains in .*run at this moment: wait"):
                clipper.train(**how)
        seen.append(run.iteration)

    def fail(run: clipper.Run) -> None:
        raise ZeroDivisionError

    seen: list[int] = []
    clipper.train("CartPole-v1", run_dir=tmp_path / "run", callback=another, **QUICK)
    assert seen == list(range(1, len(seen) + 1))
    clipper.train(resume=tmp_path / "run", total_steps=96, callback=another)  # afterwards it may
    with pytest.raises(ZeroDivisionError):
        clipper.train(resume=tmp_path / "run", total_steps=128, callback=fail)
    clipper.train(resume=tmp_path / "run", total_steps=128)


@forks
def test_a_lock_ends_with_its_process_and_is_none_of_a_fork_s(tmp_path: Path) -> None:
    def taken() -> bool:
        try:
            with locked(tmp_path):
                return False
        except ConfigError:
            return True

    with locked(tmp_path):
        assert in_a_fork(taken)
        read, write = os.pipe()
        sleeper = os.fork()
        if not sleeper:
            os.close(write)
            os.read(read, 1)  # until the test has ended
            os._exit(0)
    assert not taken()  # although the fork lives
    os.close(write)
    os.waitpid(sleeper, 0)
    os.close(read)

    owner = os.fork()
    if not owner:
        with locked(tmp_path):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(owner, 0)
    assert not taken()


def test_where_there_are_no_locks_a_warning_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.warns(UserWarning, match=r"cannot be locked, so let no other process train in it: .*No locks"):
        clipper.train("CartPole-v1", run_dir=tmp_path / "run", **QUICK)
    assert clipper.load(tmp_path / "run") is not None


@pytest.mark.filterwarnings("ignore:no checkpoint after", "ignore:.* cannot be (drawn|written)")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's own thread
@pytest.mark.parametrize("how", ["deleted", "moved", "emptied", "made anew", "without metrics"])
def test_a_folder_that_goes_while_a_run_trains_is_no_success(how: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def meddle(run: clipper.Run) -> None:
        if run.iteration != 2:
            return
        if how == "moved":
            folder.rename(tmp_path / "elsewhere")
        elif how == "without metrics":
            (folder / "metrics.jsonl").unlink()
        else:
            shutil.rmtree(folder)
            if how != "deleted":
                folder.mkdir()
            if how == "made anew":
                clipper.train("CartPole-v1", run_dir=folder, **QUICK)
        kept.update({path: path.read_bytes() for path in folder.rglob("*") if path.is_file()})

    kept: dict[Path, bytes] = {}
    with pytest.raises(SaveError, match=r"deleted|cannot be saved"):
        clipper.train("CartPole-v1", run_dir=folder, callback=meddle, **QUICK | {"total_steps": 96})
    if how == "made anew":  # nothing of one run gets into the other's
        assert all(path.read_bytes() == x for path, x in kept.items())
        clipper.load(folder)


@forks
def test_a_fork_trains_with_one_thread_and_with_several_where_they_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipper.runs.forked.PATIENCE", 2.0)
    before = torch.get_num_threads()
    check_threads(4)  # this process was not forked
    if in_a_fork(lambda: check_threads(2) is None):  # nobody has used several threads yet
        torch.set_num_threads(2)
        torch.ones(2**20).add_(1.0)
        torch.set_num_threads(before)

    def refused() -> bool:
        with pytest.raises(ConfigError, match=r"threads=2 would hang: use threads=1, or start it with .*spawn"):
            clipper.train("CartPole-v1", threads=2, **QUICK)
        return clipper.train("CartPole-v1", **QUICK).steps >= 64

    assert in_a_fork(refused)


def test_a_hang_up_is_a_signal_to_stop(tmp_path: Path) -> None:
    def hang_up(run: clipper.Run) -> bool:
        for _ in range(2):  # a terminal and its shell may both say so
            os.kill(os.getpid(), signal.SIGHUP)
        return stop(run)

    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    try:
        with StopOnSignal() as stop:
            run = clipper.train("CartPole-v1", run_dir=tmp_path, callback=hang_up, **QUICK)
        assert (stop.received, run.iteration) == (signal.SIGHUP, 1)
        assert clipper.train(resume=tmp_path).exact
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with StopOnSignal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.received is None
    finally:
        signal.signal(signal.SIGHUP, before)
