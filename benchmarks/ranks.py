"""What several processes cost and gain: messages of an iteration, and environments that sleep.

$ python benchmarks/ranks.py messages  # HalfCheetah, 8 environments × 256 rows, 2 ranks: milliseconds of an iteration
$ python benchmarks/ranks.py sleeping  # environments of 50 ms a step: decisions per second, ranks and worker processes

A message ends when the last process has come to it; what it costs itself is what the one that waits least spends in it.
"""

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium
from rich.console import Console
from rich.table import Table

import clipper
from clipper.ranks.group import Group

STEP = 0.05  # seconds
SIZES = (1, 2, 4, 8)
PROCESSES = (1, 2, 4, 8, 16, 32, 64)


class Sleeping(gymnasium.Wrapper):
    """CartPole whose step takes 50 ms, in which it computes nothing."""

    def step(self, action: Any) -> Any:
        time.sleep(STEP)
        return super().step(action)


def sleeping() -> gymnasium.Env:
    """One of them."""
    return Sleeping(gymnasium.make("CartPole-v1"))


def timed_messages() -> list[float]:
    """Seconds of each iteration's messages in this process."""
    spent, before, rows = [0.0], [0.0], Group.rows
    iterations = list[float]()

    def timed(self: Group, own: Any) -> Any:
        began = time.perf_counter()
        found = rows(self, own)
        spent[0] += time.perf_counter() - began
        return found

    def note(run: clipper.Run) -> bool:
        iterations.append(spent[0] - before[0])
        before[0] = spent[0]
        return run.iteration < 60

    Group.rows = timed
    clipper.train(
        "HalfCheetah-v5", clipper.PPO(horizon=256), num_envs=8, engine="cpu", vector="serial", total_steps=10**7,
        callback=note,
    )  # fmt: skip
    return iterations[10:]


def speed_of_sleepers(num_envs: int, vector: Any) -> float:
    """Decisions per second, without the time to begin."""
    marks = list[tuple[float, int]]()

    def note(run: clipper.Run) -> bool:
        marks.append((time.perf_counter(), run.steps))
        return run.iteration < 6

    algorithm = clipper.PPO(horizon=16, epochs=1, minibatches=1)
    clipper.train(sleeping, algorithm, num_envs=num_envs, vector=vector, total_steps=10**7, callback=note)
    (began, first), (ended, last) = marks[0], marks[-1]
    return (last - first) / (ended - began)


def child(what: str, *arguments: str) -> None:
    """What one process of a measurement prints."""
    warnings.simplefilter("ignore")
    numbers = timed_messages() if what == "messages" else [speed_of_sleepers(int(arguments[0]), arguments[1])]
    sys.stdout.write(json.dumps(numbers) + "\n")


def measured(size: int, *arguments: object) -> list[list[float]]:
    """What each of so many processes found."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(size)] if size > 1 else []
    command = [sys.executable, *launcher, str(Path(__file__)), "child", *map(str, arguments)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [json.loads(line) for line in done.stdout.replace("][", "]\n[").splitlines() if line]


def messages(console: Console) -> None:
    """What an iteration's messages cost."""
    least = [min(both) for both in zip(*measured(2, "messages"), strict=True)]
    console.print(f"messages of an iteration, 2 ranks, HalfCheetah-v5 8 × 256: {1e3 * median(least):.2f} ms (median)")


def sleepers(console: Console) -> None:
    """What so many processes make of environments that sleep."""
    table = Table("processes", "kind", "decisions/s", "of the ideal", "of so many times one")
    for kind, counts in (("ranks", SIZES), ("workers", PROCESSES)):
        one = None
        for count in counts:
            size, vector = (count, "serial") if kind == "ranks" else (1, "workers")
            speed = measured(size, "sleeping", count, vector)[0][0]
            one = one or speed
            table.add_row(
                str(count), kind, f"{speed:.1f}", f"{speed * STEP / count:.0%}", f"{speed / (count * one):.0%}"
            )
    console.print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
    elif sys.argv[1:] == ["messages"]:
        messages(Console())
    elif sys.argv[1:] == ["sleeping"]:
        sleepers(Console())
    else:
        raise SystemExit(__doc__)
