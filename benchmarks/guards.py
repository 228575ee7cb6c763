"""What the numerical guards cost: python benchmarks/guards.py [rounds]. CartPole, 8 environments (W1), torch engine.

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
from typing import Any
from unittest import mock

import torch

import clipper
from clipper import rollout
from clipper.algorithms import ppo
from clipper.optim import Learner

ALGORITHM = clipper.PPO(horizon=128, epochs=4, minibatches=4, learning_rate=2.5e-4)
ITERATIONS, WARMUP = 40, 5


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


def speed() -> float:
    """Decisions per second after the warm-up."""
    began: list[tuple[float, int]] = []

    def watch(run: clipper.Run) -> bool:
        began.append((time.perf_counter(), run.state.steps))
        return run.iteration < ITERATIONS

    clipper.train("CartPole-v1", ALGORITHM, num_envs=8, total_steps=10**9, engine="torch", callback=watch)
    (start, before), (end, after) = began[WARMUP], began[-1]
    return (after - before) / (end - start)


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    guarded, bare = [], []
    for _ in range(rounds):
        guarded.append(speed())
        with unguarded():
            bare.append(speed())
    ratio = median(guarded) / median(bare)
    print(f"{median(guarded):,.0f} steps/s with, {median(bare):,.0f} without, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
