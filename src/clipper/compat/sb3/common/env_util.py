"""``make_vec_env`` and ``make_atari_env``: several copies of an environment."""

from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import TypeVar

import gymnasium

from clipper.compat.frames import ChannelsLast
from clipper.compat.monitor import monitored
from clipper.compat.sb3.common.atari_wrappers import AtariWrapper
from clipper.compat.sb3.common.vec_env import DummyVecEnv, VecEnv
from clipper.compat.sb3.common.vec_env.base_vec_env import wrapped_in
from clipper.environments.atari.game_options import is_atari, text
from clipper.environments.ids import called
from clipper.errors import ConfigError
from clipper.storage.files import from_user

ATARI = {
    "noop_max": "noop_max", "frame_skip": "frameskip", "screen_size": "screen_size",
    "terminal_on_life_loss": "episodic_life", "clip_reward": "reward_clipping",
    "action_repeat_probability": "repeat_action_probability",
}  # fmt: skip
"""The arguments of ``AtariWrapper``, and the fields of ``clipper.environments.atari.Atari`` that they are."""
W = TypeVar("W", bound=gymnasium.Wrapper)


def unwrap_wrapper(env: gymnasium.Env, wrapper_class: type[W]) -> W | None:
    """The outermost such wrapper; None where there is none."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, wrapper_class):
            return env
        env = env.env
    return None


def is_wrapped(env: gymnasium.Env, wrapper_class: type[gymnasium.Wrapper]) -> bool:
    """Is there such a wrapper?"""
    return wrapped_in(env, wrapper_class)


def make_vec_env(
    env_id: str | Callable[..., gymnasium.Env],
    n_envs: int = 1,
    seed: int | None = None,
    start_index: int = 0,
    monitor_dir: str | None = None,
    wrapper_class: Callable[..., gymnasium.Env] | None = None,
    env_kwargs: Mapping[str, object] | None = None,
    vec_env_cls: Callable[..., VecEnv] | None = None,
    vec_env_kwargs: Mapping[str, object] | None = None,
    monitor_kwargs: Mapping[str, object] | None = None,
    wrapper_kwargs: Mapping[str, object] | None = None,
) -> VecEnv:
    """``n_envs`` copies of an id, a class or a factory, each in a ``Monitor`` and then in ``wrapper_class``.

    ``vec_env_cls`` is ``DummyVecEnv`` (this process) or ``SubprocVecEnv`` (others).
    """
    factories = []
    for index in range(start_index, start_index + n_envs):
        path = None if monitor_dir is None else str(from_user(monitor_dir) / str(index))
        options = env_kwargs or {}, path, monitor_kwargs or {}, wrapper_class, wrapper_kwargs or {}
        factories.append(partial(monitored, env_id, *options, None if seed is None else seed + index))
    vec_env = called(vec_env_cls or DummyVecEnv, factories, **(vec_env_kwargs or {}))
    vec_env.seed(seed)
    return vec_env


def make_atari_env(
    env_id: str | Callable[..., gymnasium.Env],
    n_envs: int = 1,
    seed: int | None = None,
    start_index: int = 0,
    monitor_dir: str | None = None,
    wrapper_kwargs: Mapping[str, object] | None = None,
    env_kwargs: Mapping[str, object] | None = None,
    vec_env_cls: Callable[..., VecEnv] | None = None,
    vec_env_kwargs: Mapping[str, object] | None = None,
    monitor_kwargs: Mapping[str, object] | None = None,
) -> VecEnv:
    """``n_envs`` copies of an Atari game with the standard preprocessing, one picture ``[84, 84, 1]`` an observation.

    Where OpenCV is there and Gymnasium knows the game, by ``AtariWrapper`` around Gymnasium's environment, as
    Stable-Baselines3 does it; without, by Clipper's own Atari environment, whose fields ``env_kwargs`` then are.
    """
    if find_spec("cv2") is not None and (not isinstance(env_id, str) or env_id in gymnasium.registry):
        return make_vec_env(
            env_id, n_envs, seed, start_index, monitor_dir, AtariWrapper, env_kwargs, vec_env_cls, vec_env_kwargs,
            monitor_kwargs, wrapper_kwargs,
        )  # fmt: skip
    if not isinstance(env_id, str) or not is_atari(env_id):
        raise ConfigError(f"make_atari_env makes Atari games, ALE/Pong-v5 or PongNoFrameskip-v4, not {env_id}")
    unknown = [key for key in wrapper_kwargs or {} if key not in ATARI]
    if unknown:
        raise ConfigError(f"make_atari_env's wrapper_kwargs has no {unknown[0]}; there are: {', '.join(ATARI)}")
    fields = {ATARI[key]: value for key, value in (wrapper_kwargs or {}).items()} | dict(env_kwargs or {})
    fields["stack_num"] = 1
    source = ",".join([env_id, *(f"{key}={text(value)}" for key, value in fields.items())])
    return make_vec_env(
        source, n_envs, seed, start_index, monitor_dir, ChannelsLast, None, vec_env_cls, vec_env_kwargs, monitor_kwargs
    )
