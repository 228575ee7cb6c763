"""What the guards against bad input and bad numbers cost: python benchmarks/guards.py [rounds]. CartPole with the torch
engine and with the cpu engine, neither of which may be replaced by another: 8 environments in Python (W1), and 512
natively vectorised (W2).

One run takes its iterations with and without the guards by turns, so that what else happens on the machine, and what
the policy has learned by then, meets both alike. "Without" replaces the functions in ``GUARDS`` by what they would be
without their guards: the looks at what environments answer, and, with the torch engine, the test of loss and gradient
and the counting. (The compiled engine's tests of numbers are comparisons inside its kernels; they cannot be taken out
from here.) Prints, as a ratio of speeds, the median time of an iteration without guards over the median time of one
with all of them; it should be 0.98 or more; and keeps it as row F7's figure in results/reliability.json
(``python tools/reliability.py`` brings it to the pages). Use a machine that is otherwise idle.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any, Literal, NamedTuple
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table

import clipper
from clipper.algorithms import ppo
from clipper.environments.vector.stepping import Vector
from clipper.learning.learner import Learner
from clipper.rollout import vector_rollouts

EngineName = Literal["torch", "cpu"]
WARMUP = 5  # iterations
RESULTS = Path(__file__).parent / "results" / "reliability.json"


class Work(NamedTuple):
    """What is run."""

    num_envs: int
    horizon: int
    vector: Vector
    iterations: dict[EngineName, int]


WORKS = {
    "W1": Work(8, 128, "serial", {"torch": 85, "cpu": 405}),
    "W2": Work(512, 32, "native", {"torch": 45, "cpu": 155}),
}


class Guard(NamedTuple):
    """A function that guards, where its callers look it up, and what it would be without."""

    owner: ModuleType
    name: str
    bare: Callable[..., Any]


def bare_backward(learner: Learner, loss: torch.Tensor, *_: object) -> None:
    """``clipper.learning.gradient_step.backward`` as it would be."""
    gradient = learner.parameters.grad
    assert gradient is not None
    gradient.zero_()
    loss.backward()


def bare_step(learner: Learner, rate: float, max_norm: float, *_: object) -> torch.Tensor:
    """``clipper.learning.gradient_step.step`` as it would be."""
    gradient = learner.parameters.grad
    assert gradient is not None
    norm = torch.linalg.vector_norm(gradient)
    gradient.mul_((max_norm / (norm + 1e-6)).clamp(max=1))
    learner.optimizer.param_groups[0]["lr"] = rate
    learner.optimizer.step()
    return norm


def bare_look(env: Any, actions: Any, *_: object, **__: object) -> tuple[Any, ...]:
    """``clipper.environments.checks.checked_step`` as it would be."""
    return env.step(actions)


GUARDS: dict[EngineName, tuple[Guard, ...]] = {
    "torch": (
        Guard(vector_rollouts, "checked_step", bare_look),
        Guard(ppo, "backward", bare_backward),
        Guard(ppo, "step", bare_step),
    ),
    "cpu": (Guard(vector_rollouts, "checked_step", bare_look),),
}


def unguarded(engine: EngineName) -> contextlib.ExitStack:
    """Without the guards, until it is closed."""
    with contextlib.ExitStack() as stack:  # a name that is not there leaves none of the others replaced
        for guard in GUARDS[engine]:
            stack.enter_context(mock.patch.object(guard.owner, guard.name, guard.bare))
        return stack.pop_all()


def times(engine: EngineName, work: Work, first: int) -> tuple[list[float], list[float]]:
    """Seconds of each iteration with and without the guards, by turns; ``first`` says which begins."""
    algorithm = clipper.PPO(horizon=work.horizon, epochs=4, minibatches=4, learning_rate=2.5e-4)
    taken: tuple[list[float], list[float]] = [], []
    out = contextlib.ExitStack()
    began = time.perf_counter()

    def watch(run: clipper.Run) -> bool:
        nonlocal began, out
        if run.engine.name != engine:
            raise SystemExit(f"the run is on the {run.engine.name} engine, not on {engine}: {run.engine.description}")
        if run.iteration > WARMUP:
            taken[(run.iteration + first) % 2].append(time.perf_counter() - began)
        out.close()
        out = unguarded(engine) if (run.iteration + 1 + first) % 2 else contextlib.ExitStack()
        began = time.perf_counter()
        return run.iteration < work.iterations[engine]

    try:
        clipper.train(
            "CartPole-v1", algorithm, num_envs=work.num_envs, vector=work.vector, total_steps=10**9, engine=engine,
            callback=watch,
        )  # fmt: skip
    finally:
        out.close()
    return taken


def main() -> None:
    """Measure and print."""
    os.environ.pop("CLIPPER_ENGINE", None)  # it would outweigh the engine that each run names
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    say = Console(width=None if sys.stdout.isatty() else 140)
    table = Table("engine", "work", "steps/s with", "without", "ratio", "range over rounds", "taken out")
    found = {"rounds": float(rounds)}
    for engine, guards in GUARDS.items():
        names = ", ".join(guard.name for guard in guards)
        for name, work in WORKS.items():
            rows = work.num_envs * work.horizon
            measured = [[median(side) for side in times(engine, work, first)] for first in range(rounds)]
            ratios = [bare / guarded for guarded, bare in measured]
            guarded, bare = (rows / median(side) for side in zip(*measured, strict=True))
            spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
            table.add_row(engine, name, f"{guarded:,.0f}", f"{bare:,.0f}", f"{median(ratios):.3f}", spread, names)
            found[name if engine == "torch" else f"{engine}_{name}"] = round(median(ratios), 3)
    say.print(table)
    figures = json.loads(RESULTS.read_text())
    RESULTS.write_text(json.dumps(figures | {"F7": found}, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
