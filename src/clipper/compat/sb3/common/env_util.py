"""``make_vec_env``: several copies of an environment."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium

from clipper.compat.monitor import monitored
from clipper.compat.sb3.common.vec_env import DummyVecEnv, VecEnv
from clipper.errors import ConfigError


def make_vec_env(
    env_id: str | Callable[..., gymnasium.Env],
    n_envs: int = 1,
    seed: int | None = None,
    start_index: int = 0,
    monitor_dir: str | None = None,
    wrapper_class: Callable[..., gymnasium.Env] | None = None,
    env_kwargs: dict[str, Any] | None = None,
    vec_env_cls: type[VecEnv] | None = None,
    vec_env_kwargs: dict[str, Any] | None = None,
    monitor_kwargs: dict[str, Any] | None = None,
    wrapper_kwargs: dict[str, Any] | None = None,
) -> VecEnv:
    """``n_envs`` copies of an id, a class or a factory, each in a ``Monitor`` and then in ``wrapper_class``.

    ``vec_env_cls`` is ``DummyVecEnv`` (this process) or ``SubprocVecEnv`` (others).
    """
    if vec_env_kwargs:
        raise ConfigError(f"make_vec_env does not take vec_env_kwargs={vec_env_kwargs!r}: there are none here")

    factories = []
    for index in range(start_index, start_index + n_envs):
        path = None if monitor_dir is None else str(Path(monitor_dir) / str(index))
        options = env_kwargs or {}, path, monitor_kwargs or {}, wrapper_class, wrapper_kwargs or {}
        factories.append(partial(monitored, env_id, *options))
    vec_env = (vec_env_cls or DummyVecEnv)(factories)
    vec_env.seed(seed)
    return vec_env
