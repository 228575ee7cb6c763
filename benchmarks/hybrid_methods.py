"""Every method for actions with parameters, on every task: settings by method and by task."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

from clipper import MPDQN, PADDPG, PDQN, Config, HyAR, HybridSAC, PolicyOptions
from clipper.algorithms import PPO, Algorithm
from clipper.learning.action_parts import Joint, PerPart
from clipper.learning.schedules import Annealed
from clipper.networks.heads import HeadOptions
from clipper.settings import recipes

NETWORK = PolicyOptions(hidden=(128,), activation="relu", orthogonal=False, normalise_obs=True, critic=None)


def hardmove(actuators: int) -> Callable[[], Config]:
    """HardMove with HyAR's set of actions."""
    return lambda: recipes.hardmove(actuators, published=True)


TASKS: Mapping[str, tuple[Callable[[], Config], float, int]] = {
    "platform": (recipes.platform, 0.9, 250_000),
    "goal": (recipes.goal, 0.95, 250_000),
    "hard goal": (recipes.hard_goal, 0.95, 250_000),
    "catching point": (recipes.catching_point, 0.95, 250_000),
    "moving": (recipes.moving, 0.99, 250_000),
    "hardmove 4": (hardmove(4), 0.99, 250_000),
    "hardmove 8": (hardmove(8), 0.99, 250_000),
}
"""A recipe of PPO, γ of the other methods, and their decisions, uniform ones included."""
EPSILON = Annealed(1.0, 0.01, 0.3)
METHODS: Mapping[str, Callable[[float], Algorithm]] = {
    "p-dqn": lambda gamma: PDQN(gamma=gamma, update_ratio=0.5, epsilon=EPSILON, capacity=200_000),
    "mp-dqn": lambda gamma: MPDQN(gamma=gamma, update_ratio=0.5, epsilon=EPSILON, capacity=200_000),
    "pa-ddpg": lambda gamma: PADDPG(gamma=gamma, update_ratio=0.5, epsilon=EPSILON, capacity=200_000),
    "hyar": lambda gamma: HyAR(gamma=gamma, update_ratio=0.5, capacity=200_000),  # its own ε: the space comes first
    "hybrid sac": lambda gamma: HybridSAC(gamma=gamma, update_ratio=0.5, capacity=200_000),
}
"""By γ."""


def h_ppo(task: str) -> Config:
    """The task's recipe with a clipped surrogate for each part of an action; the knowledge in it stays."""
    whole = TASKS[task][0]()
    assert isinstance(whole.algorithm, PPO)
    assert isinstance(whole.algorithm.parts, Joint)
    parts = PerPart(whole.algorithm.parts.entropy)
    return dataclasses.replace(whole, algorithm=dataclasses.replace(whole.algorithm, parts=parts))


def from_replay(task: str, method: str) -> Config:
    """Eight environments, one network for all tasks. Numbers begin at 0 everywhere: no knowledge about a task."""
    recipe, gamma, total_steps = TASKS[task]
    algorithm = METHODS[method](gamma)
    # HyAR's representation says how observations change, in their own units.
    policy = dataclasses.replace(NETWORK, head=HeadOptions(), normalise_obs=method != "hyar")
    return Config(
        env=recipe().env, algorithm=algorithm, policy=policy, num_envs=8, total_steps=total_steps, log_every=5_000
    )  # fmt: skip


HYBRID_METHODS: Mapping[str, Callable[[], Config]] = {
    **{f"{task}, h-ppo": partial(h_ppo, task) for task in TASKS},
    **{f"{task}, {method}": partial(from_replay, task, method) for task in TASKS for method in METHODS},
}
"""By task and method."""
