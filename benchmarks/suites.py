"""What is studied: suites of settings, each with its seeds and, where one is claimed, the score it is held against."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from clipper import Config, PolicyOptions, recipes
from clipper.algorithms import A2C, NPG, PPO, TRPO, VPG, Algorithm, PPOPenalty, Reinforce
from clipper.heads import HeadOptions
from clipper.schedules import Linear

Protocol = Literal["evaluation", "training", "best"]


class Target(NamedTuple):
    """What an entry is expected to reach."""

    value: float
    protocol: Protocol
    source: str


class Entry(NamedTuple):
    """One set of settings, trained with several seeds."""

    config: Callable[[], Config]
    seeds: int
    target: Target | None
    protocol: Protocol
    """Which number stands for a run; the target's own where there is one."""


def entry(config: Callable[[], Config], seeds: int, target: Target | None = None, protocol: Protocol = "training"):
    """An entry; its protocol is its target's."""
    return Entry(config, seeds, target, protocol if target is None else target.protocol)


RECIPES = {
    "cartpole": entry(recipes.cartpole, 5, Target(475, "evaluation", "Gymnasium's threshold")),
    "acrobot": entry(recipes.acrobot, 5, Target(-90, "evaluation", "ours; Gymnasium's threshold is -100")),
    "lunarlander": entry(recipes.lunarlander, 5, Target(200, "evaluation", "Gymnasium's threshold")),
    "pendulum": entry(recipes.pendulum, 5, Target(-250, "evaluation", "ours; Gymnasium sets none")),
    "hopper": entry(recipes.hopper, 3, Target(2300, "training", "ours; CleanRL on Hopper-v4: 2383")),
    "halfcheetah": entry(recipes.halfcheetah, 3, Target(1800, "training", "ours; CleanRL on HalfCheetah-v4: 1443")),
}


def line(algorithm: Algorithm, total_steps: int) -> Entry:
    """An algorithm on CartPole-v1."""
    config = Config(env="CartPole-v1", algorithm=algorithm, total_steps=total_steps)
    return entry(lambda: config, 5, Target(475, "evaluation", "Gymnasium's threshold"))


LINE = {
    "reinforce": line(Reinforce(learning_rate=Linear(1e-2)), 300_000),
    "vpg": line(VPG(learning_rate=Linear(1e-2)), 200_000),
    "a2c": line(A2C(learning_rate=Linear(2e-3)), 300_000),
    "npg": line(NPG(), 150_000),
    "trpo": line(TRPO(), 150_000),
    "ppo-penalty": line(PPOPenalty(), 150_000),
    "ppo": line(PPO(), 150_000),
}

MUJOCO_POLICY = PolicyOptions(normalise_obs=True, head=HeadOptions(initial_log_std=-0.5))
TIANSHOU = {  # reference for the protocol "best": 1M steps, version 3 of the tasks
    ("ppo", "Hopper"): 2609, ("trpo", "Hopper"): 2046, ("npg", "Hopper"): 1915,
    ("ppo", "HalfCheetah"): 5784, ("trpo", "HalfCheetah"): 4471, ("npg", "HalfCheetah"): 3485,
}  # fmt: skip
NATURAL: dict[str, Any] = {
    "horizon": 128, "value_epochs": 20, "value_minibatches": 1, "learning_rate": Linear(1e-3), "scale_rewards": True,
}  # fmt: skip


def trust_region(name: str, algorithm: Algorithm, task: str) -> Entry:
    """An algorithm on a MuJoCo task, evaluated as Tianshou does it."""
    config = Config(
        env=f"{task}-v5", algorithm=algorithm, policy=MUJOCO_POLICY, total_steps=1_000_000,
        eval_every=50_000, eval_episodes=10,
    )  # fmt: skip
    source = f"Tianshou on {task}-v3, 10 seeds"
    return entry(lambda: config, 3, Target(TIANSHOU[name, task], "best", source))


TRUST_REGION = {
    f"{name}-{task.lower()}": trust_region(name, algorithm, task)
    for task in ("Hopper", "HalfCheetah")
    for name, algorithm in {
        "ppo": recipes.mujoco("").algorithm,
        "trpo": TRPO(**NATURAL),
        "npg": NPG(**NATURAL),
    }.items()
}

SUITES: Mapping[str, Mapping[str, Entry]] = {"recipes": RECIPES, "line": LINE, "trust_region": TRUST_REGION}
"""By name, as ``--suite`` takes them."""


def with_seed(suite: str, name: str, seed: int, total_steps: int | None = None) -> Config:
    """The settings of one run."""
    config = dataclasses.replace(SUITES[suite][name].config(), seed=seed)
    return config if total_steps is None else dataclasses.replace(config, total_steps=total_steps)
