"""What the numerical guards cost: python benchmarks/guards.py [rounds]. CartPole with the torch engine: 8 environments
in Python (W1), and 512 natively vectorised (W2).

One run takes its iterations with and without the guards by turns, so that what else happens on the machine, and what
the policy has learned by then, meets both alike; "without" takes out the looks at observations and rewards, the test of
loss and gradient, and the counting. (The compiled engine's guards are comparisons inside its kernels; they cannot be
taken out from here.) Prints, as a ratio of speeds, the median time of an iteration without guards over the median time
of one with all of them; it should be 0.98 or more; and keeps it as row F7's figure in results/reliability.json
(``python tools/reliability.py`` brings it to the pages). Use a machine that is otherwise idle.
"""

import contextlib
import json
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest import mock

import torch
from gymnasium.vector import VectorEnv

import clipper
from clipper import rollout
from clipper.algorithms import ppo
from clipper.environments.vector import Vector
from clipper.optim import Learner

WARMUP = 5  # iterations
RESULTS = Path(__file__).parent / "results" / "reliability.json"


class Work(NamedTuple):
    """What is run."""

    num_envs: int
    horizon: int
    vector: Vector
    iterations: int


WORKS = {"W1": Work(8, 128, "serial", 85), "W2": Work(512, 32, "native", 45)}


def bare_step(learner: Learner, loss: torch.Tensor, rate: float, max_norm: float, *_: object) -> torch.Tensor:
    """``clipper.optim.gradient_step`` as it would be."""
    gradient = learner.parameters.grad
    assert gradient is not None
    gradient.zero_()
    loss.backward()
    norm = torch.linalg.vector_norm(gradient)
    gradient.mul_((max_norm / (norm + 1e-6)).clamp(max=1))
    learner.optimizer.param_groups[0]["lr"] = rate
    learner.optimizer.step()
    return norm


def bare_look(env: VectorEnv, actions: Any, _: int) -> tuple[Any, ...]:
    """``clipper.environments.checks.checked_step`` as it would be."""
    return env.step(actions)


def unguarded() -> contextlib.ExitStack:
    """Without the guards, until it is closed."""
    stack = contextlib.ExitStack()
    stack.enter_context(mock.patch.object(rollout, "check_finite", return_value=None))
    stack.enter_context(mock.patch.object(rollout, "checked_step", bare_look))
    stack.enter_context(mock.patch.object(ppo, "gradient_step", bare_step))
    return stack


def times(work: Work, first: int) -> tuple[list[float], list[float]]:
    """Seconds of each iteration with and without the guards, by turns; ``first`` says which begins."""
    algorithm = clipper.PPO(horizon=work.horizon, epochs=4, minibatches=4, learning_rate=2.5e-4)
    taken: tuple[list[float], list[float]] = [], []
    out = contextlib.ExitStack()
    began = time.perf_counter()

    def watch(run: clipper.Run) -> bool:
        nonlocal began, out
        if run.iteration > WARMUP:
            taken[(run.iteration + first) % 2].append(time.perf_counter() - began)
        out.close()
        out = unguarded() if (run.iteration + 1 + first) % 2 else contextlib.ExitStack()
        began = time.perf_counter()
        return run.iteration < work.iterations

    try:
        clipper.train(
            "CartPole-v1", algorithm, num_envs=work.num_envs, vector=work.vector, total_steps=10**9, engine="torch",
            callback=watch,
        )  # fmt: skip
    finally:
        out.close()
    return taken


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    found = {"rounds": float(rounds)}
    for name, work in WORKS.items():
        rows = work.num_envs * work.horizon
        measured = [[median(side) for side in times(work, first)] for first in range(rounds)]
        ratios = [bare / guarded for guarded, bare in measured]
        guarded, bare = (rows / median(side) for side in zip(*measured, strict=True))
        print(
            f"{name}: {guarded:,.0f} steps/s with, {bare:,.0f} without; ratio within a round: median "
            f"{median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}"
        )
        found[name] = round(median(ratios), 3)
    figures = json.loads(RESULTS.read_text())
    RESULTS.write_text(json.dumps(figures | {"F7": found}, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
