"""Ends training processes from outside, again and again, and prints counts: ended_runs.py kill|term FOLDER COUNT.

All training is done in forked children, which have torch imported already.
"""

import json
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

import clipper
from clipper.cli.session import resume_and_show, train_and_show
from clipper.runs.metrics_file import read_rows
from clipper.runs.run import Run
from clipper.settings.config import Config
from clipper.storage import checkpoint
from clipper.storage.saved import value_of

TINY = clipper.PolicyOptions(hidden=(4,))
SAVES = Config(
    env="CartPole-v1", algorithm=clipper.PPO(horizon=8, epochs=1, minibatches=1), policy=TINY, num_envs=1,
    total_steps=10**9, checkpoint_every=1, keep_checkpoints=3,
)  # fmt: skip
EVALUATES = Config(
    env="CartPole-v1", algorithm=clipper.PPO(horizon=32, epochs=2), num_envs=2, total_steps=10**6, eval_every=320,
    eval_episodes=4, checkpoint_every=10_000,
)  # fmt: skip


def forked(action: Callable[[], int | None]) -> int:
    """The id of a child that does it and exits with what it returns."""
    child = os.fork()
    if child:
        return child
    torch.set_num_threads(1)
    status = 1
    try:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
        status = action() or 0
    finally:
        os._exit(status)


def status_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not there():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.005)


def one_more(run: Run) -> bool:
    return False


def kill(folder: Path, count: int, rng: random.Random) -> dict[str, int]:
    """SIGKILL at random times in a run that does little else than save; each time it must go on from where it was."""
    newest, result = folder / "checkpoint.safetensors", {"kills": 0, "resumed": 0, "fallbacks": 0, "left_aside": 0}
    child = forked(lambda: clipper.train(SAVES, run_dir=folder) and None)
    for i in range(count):
        before = newest.stat().st_mtime_ns if newest.exists() else 0
        until(lambda before=before: newest.exists() and newest.stat().st_mtime_ns != before)
        time.sleep(rng.random() * 0.2)
        os.kill(child, signal.SIGKILL)
        result["kills"] += status_of(child) == -signal.SIGKILL
        result["left_aside"] += any(folder.glob("*.part"))
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            checkpoint.load_latest(folder)
        result["fallbacks"] += bool(seen)
        result["resumed"] += status_of(forked(lambda: clipper.train(resume=folder, callback=one_more) and None)) == 0
        if i < count - 1:
            child = forked(lambda: clipper.train(resume=folder) and None)
    return result


def term(folder: Path, count: int, rng: random.Random) -> dict[str, float]:
    """SIGTERM at random times, each time in the run that was resumed after the last one; then against a whole run."""
    interrupted, whole = folder / "interrupted", folder / "whole"
    statuses, slowest = [], 0.0
    for i in range(count):
        first = i == 0
        child = forked(lambda first=first: (
            train_and_show(EVALUATES, interrupted) if first else resume_and_show(interrupted, None, {})
        ))  # fmt: skip
        before = sum(1 for _ in read_rows(interrupted)) if not first else 0
        until(lambda before=before: sum(1 for _ in read_rows(interrupted)) > before)
        time.sleep(rng.random() * 0.4)
        sent = time.monotonic()
        os.kill(child, signal.SIGTERM)
        statuses.append(status_of(child))
        slowest = max(slowest, time.monotonic() - sent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours, ours_said = checkpoint.load_latest(interrupted)
    # What a break in the midst of the last evaluation left to do is done on resumption.
    assert status_of(forked(lambda: clipper.train(resume=interrupted, callback=one_more) and None)) == 0
    ours, ours_said = checkpoint.load_latest(interrupted)
    last = value_of("iteration", int, ours_said)

    def uninterrupted() -> None:
        clipper.train(EVALUATES, run_dir=whole, callback=lambda run: run.iteration < last)

    assert status_of(forked(uninterrupted)) == 0
    theirs, theirs_said = checkpoint.load_latest(whole)
    rows = [
        [{k: v for k, v in row.items() if not k.startswith("time/")} for row in read_rows(path)]
        for path in (interrupted, whole)
    ]
    equal = ours.keys() == theirs.keys() and all(torch.equal(x, theirs[k]) for k, x in ours.items())
    said = {k: v for k, v in ours_said.items() if k != "seconds"} == {
        k: v for k, v in theirs_said.items() if k != "seconds"
    }
    return {
        "signals": count, "status_143": statuses.count(143), "iterations": last, "slowest_seconds": round(slowest, 2),
        "equal": int(equal and said and rows[0] == rows[1]), "exact": int(value_of("exact", bool, ours_said)),
    }  # fmt: skip


if __name__ == "__main__":
    do = {"kill": kill, "term": term}[sys.argv[1]]
    print(json.dumps(do(Path(sys.argv[2]), int(sys.argv[3]), random.Random(0))))
