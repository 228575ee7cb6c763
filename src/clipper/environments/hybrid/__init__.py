"""Clipper's own environments: choices that have arguments, actions that are mostly invalid, a reward that hides.

Each is registered with Gymnasium under ``clipper/``, as one environment and as a natively vectorised one:

>>> import clipper, gymnasium
>>> env = gymnasium.make("clipper/Moving-v0")
>>> envs = gymnasium.make_vec("clipper/Moving-v0", num_envs=128)
"""

from functools import partial
from importlib import import_module

import gymnasium

from clipper.environments.hybrid.single import Single
from clipper.environments.hybrid.task import Task
from clipper.environments.hybrid.vector import Native

SOLVED = 1.85  # Moving and Sliding: shaping, prize and few lost steps

TASKS: dict[str, tuple[str, float | None, dict[str, int]]] = {
    "clipper/Moving-v0": ("moving:Moving", SOLVED, {}),
    "clipper/Sliding-v0": ("moving:Sliding", SOLVED, {}),
    "clipper/Platform-v0": ("platform:Platform", 0.99, {}),
    "clipper/Goal-v0": ("goal:Plain", None, {}),
    "clipper/HardGoal-v0": ("goal:Hard", None, {}),
    "clipper/CatchingPoint-v0": ("point:CatchingPoint", None, {}),
    "clipper/ChaseAndAttack-v0": ("chase:ChaseAndAttack", None, {}),
    "clipper/HalfFieldFootball-v0": ("football:HalfFieldFootball", None, {}),
    "clipper/HardMove-v0": ("point:hard_move", None, {}),
    "clipper/HardMove6-v0": ("point:hard_move", None, {"actuators": 6}),
    "clipper/HardMove8-v0": ("point:hard_move", None, {"actuators": 8}),
    "clipper/HardMove10-v0": ("point:hard_move", None, {"actuators": 10}),
    "clipper/MaskedGrid-v0": ("grid:MaskedGrid", None, {}),
    "clipper/DeepSea-v0": ("deep_sea:DeepSea", 0.9, {}),
    "clipper/Rooms-v0": ("rooms:Rooms", 0.9, {}),
    "clipper/Drone-v0": ("drone:Drone", 0.9, {}),
}
"""By id: module and name of what makes N copies; the mean return from which the task counts as solved; settings."""


def load_task(num_envs: int, *, task: str, **settings: object) -> Task:
    """N copies of a task, whose module (and Numba with it, for some) is imported only now."""
    module, name = task.split(":")
    return getattr(import_module(f"{__name__}.{module}"), name)(num_envs, **settings)


for _id, (_task, _threshold, _settings) in TASKS.items():
    gymnasium.register(
        _id,
        entry_point=partial(Single, partial(load_task, task=_task)),
        vector_entry_point=partial(Native, partial(load_task, task=_task)),
        reward_threshold=_threshold,
        order_enforce=False,
        disable_env_checker=True,
        kwargs=_settings,
    )
