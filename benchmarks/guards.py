"""What the numerical guards cost: python benchmarks/guards.py [rounds]. CartPole with the torch engine: 8 environments
in Python (W1), and 512 natively vectorised (W2).

With and without, in turn, in one process; "without" takes out the looks at observations and rewards, the test of loss
and gradient, and the counting. (The compiled engine's guards are comparisons inside its kernels; they cannot be taken
out from here.) Prints speed with all of them over speed without as a ratio, which should be 0.98 or more. Use a machine
that is otherwise idle.
"""

import contextlib
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any, NamedTuple
from unittest import mock

import torch

import clipper
from clipper import rollout
from clipper.algorithms import ppo
from clipper.environments.vector import Vector
from clipper.optim import Learner

WARMUP = 5  # iterations


class Work(NamedTuple):
    """What is run."""

    num_envs: int
    horizon: int
    vector: Vector
    iterations: int


WORKS = {"W1": Work(8, 128, "serial", 40), "W2": Work(512, 32, "native", 25)}


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


@contextlib.contextmanager
def unguarded() -> Iterator[None]:
    """Without the guards."""
    nothing: Any = lambda *_, **__: None  # noqa: E731
    with (
        mock.patch.object(rollout, "check_finite", nothing),
        mock.patch.object(ppo, "gradient_step", bare_step),
    ):
        yield


def speed(work: Work) -> float:
    """Decisions per second after the warm-up."""
    algorithm = clipper.PPO(horizon=work.horizon, epochs=4, minibatches=4, learning_rate=2.5e-4)
    began: list[tuple[float, int]] = []

    def watch(run: clipper.Run) -> bool:
        began.append((time.perf_counter(), run.state.steps))
        return run.iteration < work.iterations

    clipper.train(
        "CartPole-v1", algorithm, num_envs=work.num_envs, vector=work.vector, total_steps=10**9, engine="torch",
        callback=watch,
    )  # fmt: skip
    (start, before), (end, after) = began[WARMUP], began[-1]
    return (after - before) / (end - start)


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    for name, work in WORKS.items():
        guarded, bare, ratios = [], [], []
        for _ in range(rounds):
            guarded.append(speed(work))
            with unguarded():
                bare.append(speed(work))
            ratios.append(guarded[-1] / bare[-1])
        print(
            f"{name}: {median(guarded):,.0f} steps/s with, {median(bare):,.0f} without; ratio within a round: median "
            f"{median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}"
        )


if __name__ == "__main__":
    main()
