"""Where the state of each known environment and wrapper lies."""

from collections.abc import Callable
from importlib import import_module
from operator import attrgetter

import numpy as np
from gymnasium import wrappers
from gymnasium.envs import classic_control, toy_text

from clipper.data.tree_type import Tree
from clipper.environments.one_of import OneOfActions
from clipper.environments.recall.tasks import Visible
from clipper.environments.state_trees import OpaqueError, check_like, corrupt, entry

SAVED_AS = {"clipper.environments.recall.tasks": "clipper.environments.memory.tasks"}
"""Modules whose classes checkpoints name by where they lay before: these go on meaning the same, in both directions."""


def count(x: object) -> bool:
    """None, or an integer from 0."""
    return x is None or (type(x) is int and x >= 0)


def number(x: object) -> bool:
    """None, or one number."""
    return x is None or (isinstance(x, int | float | np.integer | np.floating) and type(x) is not bool)


def flag(x: object) -> bool:
    """True or False."""
    return type(x) is bool


def whole(x: object) -> bool:
    """None, or an integer from 0, of Python or of numpy."""
    return x is None or (isinstance(x, int | np.integer) and type(x) is not bool and int(x) >= 0)


def cards(x: object) -> bool:
    """Blackjack's hand: a list of cards, ace to ten."""
    return type(x) is list and all(type(card) is int and 1 <= card <= 10 for card in x)


def vector(size: int) -> Callable[[object], bool]:
    """None, or an array or tuple of ``size`` numbers."""

    def fits(x: object) -> bool:
        if isinstance(x, np.ndarray):
            return x.shape == (size,) and x.dtype.kind == "f"
        return x is None or (isinstance(x, tuple) and len(x) == size and all(number(e) and e is not None for e in x))

    return fits


ATTRIBUTES: dict[type, dict[str, Callable[[object], bool]]] = {
    classic_control.CartPoleEnv: {"state": vector(4), "steps_beyond_terminated": count},
    classic_control.MountainCarEnv: {"state": vector(2)},
    classic_control.Continuous_MountainCarEnv: {"state": vector(2)},
    classic_control.AcrobotEnv: {"state": vector(4)},
    classic_control.PendulumEnv: {"state": vector(2), "last_u": number},
    toy_text.FrozenLakeEnv: {"s": whole, "lastaction": whole},
    toy_text.CliffWalkingEnv: {"s": whole, "lastaction": whole},
    toy_text.TaxiEnv: {"s": whole, "lastaction": whole, "fickle_step": flag, "taxi_orientation": whole},
    toy_text.BlackjackEnv: {"player": cards, "dealer": cards},
    wrappers.TimeLimit: {"_elapsed_steps": count},
    wrappers.OrderEnforcing: {"_has_reset": flag},
    # Only info depends on these; the times and the queues of finished episodes start anew.
    wrappers.RecordEpisodeStatistics: {"episode_count": count, "episode_returns": number, "episode_lengths": count},
    wrappers.PassiveEnvChecker: {},
    wrappers.ClipAction: {},
    wrappers.RescaleAction: {},
    wrappers.ClipReward: {},
    wrappers.DtypeObservation: {},
    wrappers.FilterObservation: {},
    wrappers.FlattenObservation: {},
    wrappers.GrayscaleObservation: {},
    wrappers.RescaleObservation: {},
    wrappers.ReshapeObservation: {},
    wrappers.ResizeObservation: {},
    OneOfActions: {},
    Visible: {},
}

MUJOCO_DERIVED = (
    "qacc", "xpos", "xquat", "xmat", "xipos", "ximat", "geom_xpos", "geom_xmat", "site_xpos", "site_xmat",
    "subtree_com", "cinert", "cvel", "cacc", "cfrc_int", "cfrc_ext", "qfrc_actuator", "qfrc_constraint", "qfrc_bias",
    "qfrc_passive", "actuator_force", "ten_length", "ten_velocity", "sensordata", "energy",
)  # fmt: skip
"""What mj_step computes and Gymnasium may read before the next one; computing it anew could change its last bits."""

MUJOCO_GOALS = ("goal", "goal_pos", "cylinder_pos")
"""Where a reset of Reacher or Pusher has put things; pairs of numbers."""


def is_mujoco(layer: object) -> bool:
    """Is it one of Gymnasium's own MuJoCo v5 environments? Subclasses may keep more state."""
    module = type(layer).__module__
    return module.startswith("gymnasium.envs.mujoco.") and module.endswith("_v5")


def capture_mujoco(layer: object) -> Tree:
    """All that mj_step starts from, and what it left behind that is read before the next one."""
    mujoco = import_module("mujoco")  # an optional package; where such an environment runs, it is loaded

    model, data = attrgetter("model", "data")(layer)
    if model.opt.enableflags & int(getattr(mujoco.mjtEnableBit, "mjENBL_SLEEP", 0)):
        raise OpaqueError  # which bodies sleep is not part of MuJoCo's state
    integration = np.empty(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION))
    mujoco.mj_getState(model, data, integration, mujoco.mjtState.mjSTATE_INTEGRATION)
    goals = {name: getattr(layer, name) for name in MUJOCO_GOALS if hasattr(layer, name)}
    return {"integration": integration, "goals": goals} | {name: getattr(data, name) for name in MUJOCO_DERIVED}


def restore_mujoco(layer: object, tree: Tree, name: str) -> None:
    """The inverse of ``capture_mujoco``; nothing is computed anew."""
    mujoco = import_module("mujoco")

    for key, live in capture_mujoco(layer).items():
        if key != "goals":
            check_like(entry(tree, key, np.ndarray, name), live, f"{name}.{key}")
    for key, goal in entry(tree, "goals", dict, name).items():
        if key not in MUJOCO_GOALS or not isinstance(goal, np.ndarray) or goal.shape != (2,):
            raise corrupt(f"{name}.goals.{key}", f"{goal!r}")
        setattr(layer, key, goal)
    model, data = attrgetter("model", "data")(layer)
    mujoco.mj_setState(model, data, tree["integration"], mujoco.mjtState.mjSTATE_INTEGRATION)
    for key in MUJOCO_DERIVED:
        getattr(data, key)[...] = tree[key]
