"""The state of an environment as arrays and JSON values, so that a resumed run goes on bit for bit, without pickle.

Known are Gymnasium's classic control, toy text and MuJoCo v5, its wrappers that keep no state or a simple one, and
every environment or wrapper with two methods of its own: ``get_state()``, a tree of dict, list, tuple, number, string,
None and numpy array (arrays keep shape and dtype; what changes its size belongs in a list), and ``set_state(tree)``.
Everything else is opaque: its state is None.
"""

import inspect
from typing import Protocol, TypeGuard, runtime_checkable

import gymnasium
import numpy as np
from gymnasium import wrappers
from gymnasium.vector import VectorEnv

from clipper.data.tree_type import Tree
from clipper.environments.state_known import ATTRIBUTES, SAVED_AS, capture_mujoco, is_mujoco, restore_mujoco
from clipper.environments.state_trees import (
    EnvironmentState,
    OpaqueError,
    check_like,
    corrupt,
    decode,
    encode,
    entry,
    identical,
)


@runtime_checkable
class KeepsStates(Protocol):
    """A vector environment whose parts have states of their own: ``Serial``, ``Workers``."""

    num_envs: int

    def get_states(self) -> list[EnvironmentState] | None:
        """One for each environment; None if one is opaque."""
        ...

    def set_states(self, states: list[EnvironmentState]) -> None:
        """The inverse, for as many environments."""
        ...


@runtime_checkable
class KeepsOwnState(Protocol):
    """An environment or wrapper that gives and takes its state itself."""

    def get_state(self) -> Tree:
        """All that the next step depends on, the generator aside."""
        ...

    def set_state(self, tree: Tree, /) -> object:
        """The inverse."""
        ...

    def reset(self, *, seed: int | None = None) -> object:
        """Begin an episode."""
        ...


@runtime_checkable
class Outlasts(Protocol):
    """What has a state besides that of its episodes, and keeps it where these are not kept: past selves, say."""

    def get_lasting(self) -> Tree:
        """It, a tree as of ``get_state``; None for nothing."""
        ...

    def set_lasting(self, tree: Tree, /) -> object:
        """The inverse."""
        ...


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
    """The states of all environments of one with ``get_states()``; a vector environment with ``get_state()`` has one.

    None for other vector environments, if one is opaque, or where they are closed.
    """
    if env.closed:
        return None
    if steps_single_ones(env):
        return env.get_states()
    whole = get_state(env) if own_state(env) is not None else None
    return None if whole is None else [whole]


def set_states(env: VectorEnv, states: list[EnvironmentState]) -> None:
    """Bring a vector environment into the state that ``get_states`` gave; its buffers need none of it."""
    if not steps_single_ones(env):
        if len(states) != 1 or own_state(env) is None:
            raise corrupt("environments", f"{len(states)} states of a Serial or Workers, which {env} is not")
        set_state(env, states[0])
        return
    if len(states) != env.num_envs:
        raise corrupt("environments", f"states of {len(states)} environments, but there are {env.num_envs}")
    env.set_states(states)


def get_lasting(env: VectorEnv) -> EnvironmentState | None:
    """What outlasts the episodes of a vector environment; None for nothing."""
    arrays: dict[str, np.ndarray] = {}
    lasting = env.unwrapped.get_lasting() if isinstance(env.unwrapped, Outlasts) else None
    return None if lasting is None else EnvironmentState(arrays, encode(lasting, "", arrays))


def set_lasting(env: VectorEnv, state: EnvironmentState) -> None:
    """Give it back; raises ``CorruptCheckpointError`` where that fails."""
    if not isinstance(env.unwrapped, Outlasts):
        raise corrupt("lasting", f"a state besides that of episodes, and {env} has none: hand over the same opponent")
    try:
        env.unwrapped.set_lasting(decode(state.values, "", state.arrays))
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise corrupt("lasting", f"a state that set_lasting refuses with {error!r}") from error


def steps_single_ones(env: object) -> TypeGuard[KeepsStates]:
    """Is it of a class that gives and takes the states of its environments? (A wrapper only passes the question on.)"""
    return hasattr(type(env), "get_states") and hasattr(type(env), "set_states")


# Where the state of each known class lies. Per attribute: is this a value that it may have?


def layers(env: gymnasium.Env | VectorEnv) -> list[object]:
    """The outermost wrapper first, the environment itself last."""
    found: list[object] = [env]
    while isinstance(found[-1], gymnasium.Wrapper):
        found.append(found[-1].env)
    return found


def class_name(x: object) -> str:
    """As ``package.module.Class``, where it lay when checkpoints first named it."""
    module = type(x).__module__
    return f"{SAVED_AS.get(module, module)}.{type(x).__qualname__}"


def own_state(layer: object) -> KeepsOwnState | None:
    """The layer, if it has ``get_state()`` and ``set_state(tree)``. (MuJoCo's ``set_state(qpos, qvel)`` is another.)"""
    if not isinstance(layer, KeepsOwnState):
        return None
    try:
        inspect.signature(layer.get_state).bind()
        inspect.signature(layer.set_state).bind(None)
    except (TypeError, ValueError):
        return None
    return layer


def capture(layer: object) -> Tree:
    """The state of one wrapper, or of the environment itself."""
    if type(layer) in ATTRIBUTES:
        return {name: getattr(layer, name) for name in ATTRIBUTES[type(layer)]}
    if is_mujoco(layer):
        return capture_mujoco(layer)
    own = own_state(layer)
    if own is not None:
        return own.get_state()
    raise OpaqueError


def restore(layer: object, tree: Tree, name: str) -> None:
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
    elif (own := own_state(layer)) is not None:
        own.reset(seed=0)  # before a first reset there may be nothing to compare with
        check_like(tree, own.get_state(), name)
        try:
            own.set_state(tree)
        except Exception as error:
            raise corrupt(name, f"a state that set_state refuses with {error!r}") from error
    else:
        raise corrupt(name, f"a state, but nobody knows how to give one to {layer}")


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
