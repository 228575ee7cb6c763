"""The state of an environment as arrays and JSON values, so that a resumed run goes on bit for bit, without pickle.

Known are Gymnasium's classic control, toy text and MuJoCo v5, its wrappers that keep no state or a simple one, and
every environment or wrapper with two methods of its own: ``get_state()``, a tree of dict, list, tuple, number, string,
None and numpy array (arrays keep shape and dtype; what changes its size belongs in a list), and ``set_state(tree)``.
Everything else is opaque: its state is None.
"""

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import wrappers
from gymnasium.envs import classic_control, toy_text
from gymnasium.vector import VectorEnv

from clipper.environments.one_of import OneOfActions
from clipper.environments.recall.tasks import Visible
from clipper.environments.trees import (
    JSON,
    OpaqueError,
    Tree,
    check_like,
    corrupt,
    decode,
    encode,
    entry,
    identical,
)
from clipper.environments.vector.serial import Serial
from clipper.environments.vector.workers import Workers
from clipper.errors import CorruptCheckpointError


class EnvironmentState(NamedTuple):
    """What ``set_state`` needs; both parts can be written to a file as they are."""

    arrays: dict[str, np.ndarray]
    """By the name of the entry, such as ``layers.2.state.qpos``."""
    values: dict[str, JSON]
    """The rest; its integers may have 128 bits."""


def get_state(env: gymnasium.Env | VectorEnv) -> EnvironmentState | None:
    """The state of one environment and its wrappers, copied; None where a part of it is opaque."""
    arrays: dict[str, np.ndarray] = {}
    try:
        tree = {
            "layers": [{"class": class_name(layer), "state": capture(layer)} for layer in layers(env)],
            "np_random": capture_generator(env.unwrapped),
        }
        return EnvironmentState(arrays, encode(tree, "", arrays))
    except OpaqueError:
        return None


def set_state(env: gymnasium.Env | VectorEnv, state: EnvironmentState) -> None:
    """Bring an environment, made like the one that gave ``state``, into that state.

    Raises ``CorruptCheckpointError`` naming the entry that does not fit; the environment is then of no more use.
    """
    tree = decode(state.values, "", state.arrays)
    saved, live = entry(tree, "layers", list), layers(env)
    if len(saved) != len(live):
        raise corrupt("layers", f"{len(saved)} environments and wrappers, but there are {len(live)}")
    for i, (layer, item) in enumerate(zip(live, saved, strict=True)):
        name = f"layers.{i}"
        saved_class = entry(item, "class", str, name)
        if saved_class != class_name(layer):
            raise corrupt(f"{name}.class", f"{saved_class}, but the environment has {class_name(layer)} there")
        restore(layer, entry(item, "state", object, name), f"{name}.state")
    restore_generator(env.unwrapped, entry(tree, "np_random", object))


def get_states(env: VectorEnv) -> list[EnvironmentState] | None:
    """The states of all environments of a ``Serial`` or ``Workers``; a vector environment with ``get_state()`` has one.

    None for other vector environments, if one is opaque, or where they are closed.
    """
    if env.closed:
        return None
    if isinstance(env, Workers):
        return env.get_states()
    if type(env) is not Serial:
        whole = get_state(env) if keeps_own_state(env) else None
        return None if whole is None else [whole]
    states = []
    for single, resets in zip(env.envs, env.resets, strict=True):
        state = get_state(single)
        if state is None:
            return None
        states.append(state._replace(values=state.values | {"resets": bool(resets)}))
    return states


def set_states(env: VectorEnv, states: list[EnvironmentState]) -> None:
    """Bring a vector environment into the state that ``get_states`` gave; its buffers need none of it."""
    if not isinstance(env, Serial | Workers):
        if len(states) != 1 or not keeps_own_state(env):
            raise corrupt("environments", f"{len(states)} states of a Serial or Workers, which {env} is not")
        set_state(env, states[0])
        return
    if len(states) != env.num_envs:
        raise corrupt("environments", f"states of {len(states)} environments, but there are {env.num_envs}")
    if isinstance(env, Workers):
        env.set_states(states)
        return
    for i, (single, state) in enumerate(zip(env.envs, states, strict=True)):
        try:
            env.resets[i] = entry(state.values, "resets", bool)
            set_state(single, state)
        except CorruptCheckpointError as error:
            raise CorruptCheckpointError(f"environment {i}: {error}") from error


# Where the state of each known class lies. Per attribute: is this a value that it may have?


def count(x: Any) -> bool:
    """None, or an integer from 0."""
    return x is None or (type(x) is int and x >= 0)


def number(x: Any) -> bool:
    """None, or one number."""
    return x is None or (isinstance(x, int | float | np.integer | np.floating) and type(x) is not bool)


def flag(x: Any) -> bool:
    """True or False."""
    return type(x) is bool


def whole(x: Any) -> bool:
    """None, or an integer from 0, of Python or of numpy."""
    return x is None or (isinstance(x, int | np.integer) and type(x) is not bool and int(x) >= 0)


def cards(x: Any) -> bool:
    """Blackjack's hand: a list of cards, ace to ten."""
    return type(x) is list and all(type(card) is int and 1 <= card <= 10 for card in x)


def vector(size: int) -> Callable[[Any], bool]:
    """None, or an array or tuple of ``size`` numbers."""

    def fits(x: Any) -> bool:
        if isinstance(x, np.ndarray):
            return x.shape == (size,) and x.dtype.kind == "f"
        return x is None or (isinstance(x, tuple) and len(x) == size and all(number(e) and e is not None for e in x))

    return fits


ATTRIBUTES: dict[type, dict[str, Callable[[Any], bool]]] = {
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


def layers(env: gymnasium.Env | VectorEnv) -> list[Any]:
    """The outermost wrapper first, the environment itself last."""
    found: list[Any] = [env]
    while isinstance(found[-1], gymnasium.Wrapper):
        found.append(found[-1].env)
    return found


def class_name(x: object) -> str:
    """As ``package.module.Class``."""
    return f"{type(x).__module__}.{type(x).__qualname__}"


def is_mujoco(layer: object) -> bool:
    """Is it one of Gymnasium's own MuJoCo v5 environments? Subclasses may keep more state."""
    module = type(layer).__module__
    return module.startswith("gymnasium.envs.mujoco.") and module.endswith("_v5")


def keeps_own_state(layer: Any) -> bool:
    """Has it ``get_state()`` and ``set_state(tree)``? (MuJoCo's ``set_state(qpos, qvel)`` is another thing.)"""
    try:
        inspect.signature(layer.get_state).bind()
        inspect.signature(layer.set_state).bind(None)
    except (AttributeError, TypeError, ValueError):
        return False
    return True


def capture(layer: Any) -> Tree:
    """The state of one wrapper, or of the environment itself."""
    if type(layer) in ATTRIBUTES:
        return {name: getattr(layer, name) for name in ATTRIBUTES[type(layer)]}
    if is_mujoco(layer):
        return capture_mujoco(layer)
    if keeps_own_state(layer):
        return layer.get_state()
    raise OpaqueError


def restore(layer: Any, tree: Tree, name: str) -> None:
    """The inverse of ``capture``."""
    if type(layer) in ATTRIBUTES:
        for attribute, fits in ATTRIBUTES[type(layer)].items():
            value = entry(tree, attribute, object, name)
            if not fits(value):
                raise corrupt(f"{name}.{attribute}", f"{value!r}")
            setattr(layer, attribute, value)
        if type(layer) is wrappers.PassiveEnvChecker:  # it would compare the first step with a reset that it never saw
            layer.checked_step = layer.checked_data_reuse = True
    elif is_mujoco(layer):
        restore_mujoco(layer, tree, name)
    elif keeps_own_state(layer):
        layer.reset(seed=0)  # before a first reset there may be nothing to compare with
        check_like(tree, layer.get_state(), name)
        try:
            layer.set_state(tree)
        except Exception as error:
            raise corrupt(name, f"a state that set_state refuses with {error!r}") from error
    else:
        raise corrupt(name, f"a state, but nobody knows how to give one to {layer}")


def capture_mujoco(layer: Any) -> Tree:
    """All that mj_step starts from, and what it left behind that is read before the next one."""
    mujoco: Any = import_module("mujoco")  # an optional package; where such an environment runs, it is loaded

    model, data = layer.model, layer.data
    if model.opt.enableflags & int(getattr(mujoco.mjtEnableBit, "mjENBL_SLEEP", 0)):
        raise OpaqueError  # which bodies sleep is not part of MuJoCo's state
    integration = np.empty(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION))
    mujoco.mj_getState(model, data, integration, mujoco.mjtState.mjSTATE_INTEGRATION)
    goals = {name: getattr(layer, name) for name in MUJOCO_GOALS if hasattr(layer, name)}
    return {"integration": integration, "goals": goals} | {name: getattr(data, name) for name in MUJOCO_DERIVED}


def restore_mujoco(layer: Any, tree: Tree, name: str) -> None:
    """The inverse of ``capture_mujoco``; nothing is computed anew."""
    mujoco: Any = import_module("mujoco")

    for key, live in capture_mujoco(layer).items():
        if key != "goals":
            check_like(entry(tree, key, np.ndarray, name), live, f"{name}.{key}")
    for key, goal in entry(tree, "goals", dict, name).items():
        if key not in MUJOCO_GOALS or not isinstance(goal, np.ndarray) or goal.shape != (2,):
            raise corrupt(f"{name}.goals.{key}", f"{goal!r}")
        setattr(layer, key, goal)
    mujoco.mj_setState(layer.model, layer.data, tree["integration"], mujoco.mjtState.mjSTATE_INTEGRATION)
    for key in MUJOCO_DERIVED:
        getattr(layer.data, key)[...] = tree[key]


def capture_generator(env: gymnasium.Env | VectorEnv) -> Tree:
    """The state of ``env.np_random``; None if it was not used yet."""
    if env._np_random is None:
        return None
    if not isinstance(env._np_random, np.random.Generator):
        raise OpaqueError
    return env._np_random.bit_generator.state


def restore_generator(env: gymnasium.Env | VectorEnv, tree: Tree) -> None:
    """The inverse of ``capture_generator``."""
    if tree is None:
        env._np_random = None
        return
    live = env.np_random.bit_generator
    check_like(tree, live.state, "np_random")
    try:
        live.state = tree
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise corrupt("np_random", f"{tree!r}") from error
    if not identical(live.state, tree):
        raise corrupt("np_random", f"{tree!r}")
