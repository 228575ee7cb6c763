"""What the numerical guards cost: python benchmarks/guards.py [rounds]. CartPole, 8 environments (W1), both engines.

With and without, in turn, in one process; "without" takes out the looks at observations and rewards, the test of loss
and gradient, and the counting. In the compiled engine one comparison per step stays, inside Adam's kernel. Prints speed
with all of them over speed without as a ratio, which should be 0.98 or more. Use a machine that is otherwise idle.
"""

import contextlib
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any, Literal
from unittest import mock

import torch

import clipper
from clipper import rollout
from clipper.algorithms import ppo
from clipper.engines import cpu
from clipper.engines.kernels import adam
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


def bare_engine_step(engine: cpu.CPU, rate: float, loss: float) -> float:
    """``CPU.step`` as it would be."""
    optimizer, parameters = engine.learner.optimizer, engine.learner.parameters
    moments, group = optimizer.state[parameters], optimizer.param_groups[0]
    if not moments:
        moments["step"] = torch.zeros((), dtype=torch.float32)
        moments["exp_avg"], moments["exp_avg_sq"] = torch.zeros_like(parameters), torch.zeros_like(parameters)
    moments["step"] += 1
    beta1, beta2 = group["betas"]
    group["lr"] = rate
    return adam.step(
        engine.theta, engine.gradient, moments["exp_avg"].numpy(), moments["exp_avg_sq"].numpy(),
        float(moments["step"]), rate, beta1, beta2, group["eps"], engine.algorithm.max_grad_norm, 0.0,
    )  # fmt: skip


@contextlib.contextmanager
def unguarded() -> Iterator[None]:
    """Without the guards."""
    nothing: Any = lambda *_, **__: None  # noqa: E731
    with (
        mock.patch.object(rollout, "check_finite", nothing),
        mock.patch.object(cpu, "check_finite", nothing),
        mock.patch.object(ppo, "gradient_step", bare_step),
        mock.patch.object(cpu.CPU, "step", bare_engine_step),
    ):
        yield


def speed(engine: Literal["torch", "cpu"]) -> float:
    """Decisions per second after the warm-up."""
    began: list[tuple[float, int]] = []

    def watch(run: clipper.Run) -> bool:
        began.append((time.perf_counter(), run.state.steps))
        return run.iteration < ITERATIONS

    clipper.train("CartPole-v1", ALGORITHM, num_envs=8, total_steps=10**9, engine=engine, callback=watch)
    (start, before), (end, after) = began[WARMUP], began[-1]
    return (after - before) / (end - start)


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    for engine in ("torch", "cpu"):
        guarded, bare = [], []
        for _ in range(rounds):
            guarded.append(speed(engine))
            with unguarded():
                bare.append(speed(engine))
        ratio = median(guarded) / median(bare)
        print(f"{engine}: {median(guarded):,.0f} steps/s with, {median(bare):,.0f} without, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
