"""P-DQN, MP-DQN and PA-DDPG: gradient steps per second of processor time, on kernels and by torch, in turns.

$ python benchmarks/updates_of_choices.py  # clipper/Platform-v0, one layer of 128, batches of 128, one thread
$ python benchmarks/updates_of_choices.py --env clipper/Goal-v0 --algorithms PDQN

What is timed is ``engine.update`` as a run with one environment calls it: a row into the replay, a batch out of it, one
gradient step. Rows are collected before, and not timed; how the policy acts is torch's either way. With ``--whole`` it
is whole runs of so many decisions, with acting and the environment. Compiling and the first steps are not timed.
"""

import dataclasses
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
import tyro
from samples import machine

import clipper
from clipper.data.trees import each
from clipper.engines.cpu.from_replay import CPUFromReplay
from clipper.engines.eager import Torch
from clipper.learning.off_policy import OffPolicy
from clipper.networks.make_policy import make_policy

KINDS: dict[str, Callable[..., OffPolicy]] = {
    "PDQN": clipper.PDQN,
    "MPDQN": clipper.MPDQN,
    "PADDPG": clipper.PADDPG,
}
ENGINES = {"kernels": CPUFromReplay, "torch": Torch}
ROWS, WARM = 1_000, 200
"""Rows that fill the replay, and updates before the clock runs."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure."""

    env: str = "clipper/Platform-v0"
    """An environment whose action is one choice with arguments."""
    algorithms: tuple[str, ...] = tuple(KINDS)
    """By name."""
    hidden: int = 128
    """Units of the one layer of each network."""
    batch_size: int = 128
    """Decisions of which a gradient step learns."""
    updates: int = 1_000
    """Gradient steps, or decisions of whole runs, that are timed."""
    rounds: int = 5
    """The summary has medians over them."""
    whole: bool = False
    """Time whole runs."""


def update_alone(algorithm: OffPolicy, engine: str, options: Options, policy: clipper.PolicyOptions) -> float:
    """Gradient steps per second of processor time."""
    env = clipper.make_env(options.env, 1)
    algorithm = dataclasses.replace(algorithm, learning_starts=ROWS)
    network = make_policy(
        env.single_observation_space, env.single_action_space, algorithm.policy_options(policy),  # pyright: ignore[reportAttributeAccessIssue]
        torch.Generator().manual_seed(0),
    )  # fmt: skip
    learner = algorithm.init(network, seed=0)  # pyright: ignore[reportAttributeAccessIssue]
    rollouts, made = clipper.VectorRollouts(env, 0), ENGINES[engine](learner, algorithm)  # pyright: ignore[reportArgumentType]
    steps, last = rollouts.collect(made.actor, horizon=ROWS)
    made.update(steps, last)
    steps, last = rollouts.collect(made.actor, horizon=WARM + options.updates)
    rows = [each(lambda x, t=t: x[t : t + 1], steps) for t in range(len(steps.mask))]
    after = [each(lambda x, t=t: x[t], steps.obs) for t in range(1, len(steps.mask))] + [last]
    began = before = 0.0
    for t, (row, seen) in enumerate(zip(rows, after, strict=True)):
        if t == WARM:
            began, before = time.process_time(), float(learner.extra["gradient_steps"])
        made.update(row, seen)
    ended = time.process_time()
    env.close()
    return (float(learner.extra["gradient_steps"]) - before) / (ended - began)


def whole_run(algorithm: OffPolicy, engine: str, options: Options, policy: clipper.PolicyOptions) -> float:
    """Decisions per second of processor time, one gradient step for each."""
    marks: list[float] = []

    def mark(run: clipper.Run) -> None:
        if not marks and run.steps >= WARM:
            marks.append(time.process_time())

    run = clipper.train(
        options.env, dataclasses.replace(algorithm, learning_starts=WARM // 2), policy=policy, num_envs=1,  # pyright: ignore[reportArgumentType]
        total_steps=WARM + options.updates, seed=0, engine="cpu" if engine == "kernels" else "torch", callback=mark,
        progress=False,
    )  # fmt: skip
    return (run.steps - WARM) / (time.process_time() - marks[0])


def main(options: Options) -> None:
    """A line for each measurement, and medians at the end."""
    torch.set_num_threads(1)
    policy = clipper.PolicyOptions(hidden=(options.hidden,), activation="relu", orthogonal=False)
    what, measure = ("decisions", whole_run) if options.whole else ("gradient steps", update_alone)
    found: dict[tuple[str, str], list[float]] = {}
    for number in range(options.rounds):
        for name in options.algorithms:
            for engine in ENGINES:
                load = os.getloadavg()[0]
                speed = measure(KINDS[name](batch_size=options.batch_size), engine, options, policy)
                found.setdefault((name, engine), []).append(speed)
                print(f"round {number + 1}, {name}, {engine}: {speed:,.0f} {what}/s, load {load:.2f}", flush=True)
    where = machine()
    print(f"\n{where.cpu}, commit {where.commit}, {options.env}, one thread, {options.rounds} rounds")
    for name in options.algorithms:
        own, other = found[name, "kernels"], found[name, "torch"]
        ratios = [x / y for x, y in zip(own, other, strict=True)]
        print(
            f"{name}: {median(own):,.0f} {what}/s on kernels, {median(other):,.0f} by torch, {median(ratios):.1f} "
            f"times as many ({min(ratios):.1f} to {max(ratios):.1f})"
        )


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
