"""What several processes cost and gain: messages of an iteration, and environments that sleep.

$ python benchmarks/ranks.py messages  # HalfCheetah, 8 environments × 256 rows, 2 ranks: milliseconds of an iteration,
                                       # where data are sent and where gradients are
$ python benchmarks/ranks.py sleeping  # environments of 50 ms a step: decisions per second, ranks and worker processes

A message ends when the last process has come to it; what it costs itself is what the one that waits least spends in it,
message by message: who comes last to one may come first to the next.
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
from clipper.ranks.columns import OwnColumns
from clipper.ranks.gathered_rollouts import GatheredRollouts
from clipper.ranks.group import Group

STEP = 0.05  # seconds
ITERATIONS = {"data": 60, "gradients": 12}  # of these are 40 messages of gradients each
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


def timed_messages(mode: Any) -> list[list[float]]:
    """Of each iteration in this process: the seconds of each of its messages, and last those of packing and joining."""
    messages, around = list[float](), [0.0]
    iterations = list[list[float]]()

    def timed(send: Any) -> Any:
        def sent(self: Group, *tensors: Any) -> Any:
            began = time.perf_counter()
            found = send(self, *tensors)
            messages.append(time.perf_counter() - began)
            return found

        return sent

    def whole(collect: Any, sign: int) -> Any:
        def collected(self: Any, *arguments: Any, **named: Any) -> Any:
            began, sent = time.perf_counter(), sum(messages)
            found = collect(self, *arguments, **named)
            around[0] += sign * (time.perf_counter() - began - (sum(messages) - sent))
            return found

        return collected

    def note(run: clipper.Run) -> bool:
        iterations.append([*messages, around[0]])
        messages.clear()
        around[0] = 0.0
        return run.iteration < ITERATIONS[mode]

    Group.rows, Group.total = timed(Group.rows), timed(Group.total)
    GatheredRollouts.collect = whole(GatheredRollouts.collect, 1)
    OwnColumns.collect = whole(OwnColumns.collect, -1)
    clipper.train(
        "HalfCheetah-v5", clipper.PPO(horizon=256), num_envs=8, engine="cpu", vector="serial", total_steps=10**7,
        rank_mode=mode, callback=note,
    )  # fmt: skip
    return iterations[ITERATIONS[mode] // 4 :]


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
    numbers = timed_messages(*arguments) if what == "messages" else [speed_of_sleepers(int(arguments[0]), arguments[1])]
    sys.stdout.write(json.dumps([numbers]) + "\n")


def measured(size: int, *arguments: object) -> list[list[Any]]:
    """What each of so many processes found."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(size)] if size > 1 else []
    command = [sys.executable, *launcher, str(Path(__file__)), "child", *map(str, arguments)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [json.loads(line)[0] for line in done.stdout.replace("]][[", "]]\n[[").splitlines() if line]


def messages(console: Console) -> None:
    """What an iteration's messages cost."""
    table = Table(
        "sent", "messages", "ms in messages", "ms of packing and joining",
        title="an iteration of 2 ranks, HalfCheetah-v5 8 × 256, medians",
    )  # fmt: skip
    for mode in ITERATIONS:
        counts, spent, around = list[int](), list[float](), list[float]()
        for both in zip(*measured(2, "messages", mode), strict=True):
            *sent, own = zip(*both, strict=True)
            counts.append(len(sent))
            spent.append(sum(min(one) for one in sent))
            around.append(max(own))
        table.add_row(mode, f"{median(counts):g}", f"{1e3 * median(spent):.2f}", f"{1e3 * median(around):.2f}")
    console.print(table)


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
