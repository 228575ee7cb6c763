"""Methods and attributes of the environments inside a vector environment, whatever that is.

Gymnasium's base class has no ``call``, ``get_attr`` and ``set_attr``: those that step several environments have them, a
wrapper around one has not, and what steps all its environments as one has attributes of its own only.
"""

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper

from clipper.environments.checks import describe
from clipper.errors import ConfigError


def call_each(env: VectorEnv, name: str, *args: object, **kwargs: object) -> tuple[object, ...]:
    """What a method of each environment gives, or an attribute of each."""
    if (inner := having(env, "call")) is not None:
        return tuple(inner.call(name, *args, **kwargs))
    found = own(env, name)
    return for_each(found(*args, **kwargs) if callable(found) else found, env.num_envs)


def get_from_each(env: VectorEnv, name: str) -> tuple[object, ...]:
    """An attribute of each environment."""
    if (inner := having(env, "get_attr")) is not None:
        return tuple(inner.get_attr(name))
    return for_each(own(env, name), env.num_envs)


def set_in_each(env: VectorEnv, name: str, values: object) -> None:
    """Set an attribute of each environment, to the entries of a list or tuple, or to one value for all."""
    given = one_each(values, env.num_envs)
    if (inner := having(env, "set_attr")) is not None:
        inner.set_attr(name, values)
        return
    before, holder = own(env, name), having(env, name)
    if isinstance(before, np.ndarray) and before.shape[:1] == (env.num_envs,):
        setattr(holder, name, np.asarray(given, dtype=before.dtype))
    elif all(x is given[0] or np.array_equal(np.asarray(x), np.asarray(given[0])) for x in given):
        setattr(holder, name, given[0])
    else:
        raise ConfigError(f"{describe(env)} has one {name} for all of its environments: give one value, not {values!r}")


def having(env: VectorEnv, name: str) -> Any:
    """The vector environment, or what it wraps, whichever comes first that has such an attribute; otherwise None."""
    inner: Any = env
    while not hasattr(inner, name):
        if not isinstance(inner, VectorWrapper):
            return None
        inner = inner.env
    return inner


def own(env: VectorEnv, name: str) -> object:
    """An attribute of a vector environment that steps all its environments as one."""
    if (holder := having(env, name)) is None:
        raise ConfigError(
            f"{describe(env)} steps its {env.num_envs} environments as one, and has no {name!r} itself: look it up in "
            'its class, or step separate environments (vector="serial" or "workers")'
        )
    return getattr(holder, name)


def for_each(value: object, n: int) -> tuple[object, ...]:
    """Entries where there is one for each of ``n`` environments, otherwise the same for all."""
    if isinstance(value, np.ndarray):
        return tuple(value) if value.shape[:1] == (n,) else (value,) * n
    return tuple(value) if isinstance(value, list | tuple) and len(value) == n else (value,) * n


def one_each(values: object, n: int) -> list[object] | tuple[object, ...]:
    """A value for each of ``n`` environments: a list's or tuple's entries, or one for all."""
    given = values if isinstance(values, list | tuple) else [values] * n
    if len(given) != n:
        raise ConfigError(f"{len(given)} values for {n} environments: give one for each, or one for all")
    return given
