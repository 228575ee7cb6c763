"""Several environments behind Stable-Baselines3's interface; training steps them as Gymnasium's vector environments."""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from clipper.compat.frames import StackedFrames, order_of
from clipper.data.tree_type import Tree
from clipper.environments.make import make_single
from clipper.environments.told_episodes import Info
from clipper.environments.vector.serial import Serial
from clipper.environments.vector.stepping import cores
from clipper.environments.vector.workers import Workers
from clipper.errors import ConfigError
from clipper.spaces.actions import element
from clipper.storage import files, json_text

Infos = list[Info]


class VecEnv:
    """N environments: ``reset()`` gives observations, ``step(actions)`` observations, rewards, dones and infos.

    One that is done is reset in the same step; its last observation is ``info["terminal_observation"]``.
    """

    def __init__(self, env_fns: Sequence[Callable[[], gymnasium.Env]]) -> None:
        self.factories = list(env_fns)
        self.num_envs = len(self.factories)
        self.envs = [self.factories[0]()]
        self.observation_space, self.action_space = self.envs[0].observation_space, self.envs[0].action_space
        self.render_mode, self.spec = self.envs[0].render_mode, self.envs[0].spec
        self.seeds: list[int | None] = [None] * self.num_envs
        self.random = np.random.default_rng()
        self.actions: Tree = None

    def complete(self) -> list[gymnasium.Env]:
        """All environments, made when they are first needed in this process."""
        self.envs += [factory() for factory in self.factories[len(self.envs) :]]
        return self.envs

    def for_training(self) -> VectorEnv:
        """What training steps: the same environments."""
        return self.for_playing()

    def for_playing(self) -> VectorEnv:
        """These environments as a vector environment of Gymnasium's kind."""
        return Serial([partial(itself, env) for env in self.complete()])

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seed environment i with ``seed + i`` at its next reset."""
        self.random = np.random.default_rng(seed)
        self.seeds = [None if seed is None else seed + i for i in range(self.num_envs)]
        return list(self.seeds)

    def next_seed(self) -> int:
        """A seed for an evaluation, another one each time."""
        return int(self.random.integers(2**31))

    def reset(self) -> Tree:
        """The first observations."""
        seeds = self.seeds
        self.seeds = [None] * self.num_envs
        return stack([env.reset(seed=seed)[0] for env, seed in zip(self.complete(), seeds, strict=True)])

    def step(self, actions: Tree) -> tuple[Tree, np.ndarray, np.ndarray, Infos]:
        """One step of each."""
        rows, rewards = [], np.zeros(self.num_envs, np.float32)
        dones, infos = np.zeros(self.num_envs, dtype=bool), []
        for i, env in enumerate(self.complete()):
            obs, reward, terminated, truncated, info = env.step(element(self.action_space, actions, i))
            rewards[i], dones[i] = float(reward), terminated or truncated
            info["TimeLimit.truncated"] = truncated and not terminated
            if dones[i]:
                info["terminal_observation"] = obs
                obs, _ = env.reset()
            rows.append(obs)
            infos.append(info)
        return stack(rows), rewards, dones, infos

    def step_async(self, actions: Tree) -> None:
        """Note the actions for ``step_wait``."""
        self.actions = actions

    def step_wait(self) -> tuple[Tree, np.ndarray, np.ndarray, Infos]:
        """The step that ``step_async`` began."""
        return self.step(self.actions)

    def render(self, mode: str | None = None) -> object:
        """What the first environment shows."""
        return self.envs[0].render()

    def get_images(self) -> list[object]:
        """A picture of each."""
        return [env.render() for env in self.complete()]

    def close(self) -> None:
        """Close all that were made."""
        for env in self.envs:
            env.close()

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[object]:
        """An attribute of each, wherever its wrappers have it."""
        return [env.get_wrapper_attr(attr_name) for env in self.chosen(indices)]

    def set_attr(self, attr_name: str, value: object, indices: int | Iterable[int] | None = None) -> None:
        """Set an attribute of each."""
        for env in self.chosen(indices):
            env.set_wrapper_attr(attr_name, value)

    def env_method(
        self, method_name: str, *args: object, indices: int | Iterable[int] | None = None, **kw: object
    ) -> list:
        """Call a method of each."""
        return [env.get_wrapper_attr(method_name)(*args, **kw) for env in self.chosen(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: int | Iterable[int] | None = None) -> list[bool]:
        """Is each wrapped so?"""
        return [wrapped(env, wrapper_class) for env in self.chosen(indices)]

    def chosen(self, indices: int | Iterable[int] | None) -> list[gymnasium.Env]:
        """Some of the environments."""
        envs = self.complete()
        return envs if indices is None else [envs[i] for i in ([indices] if isinstance(indices, int) else indices)]

    @property
    def unwrapped(self) -> "VecEnv":
        """The vector of environments itself."""
        return self


class DummyVecEnv(VecEnv):
    """All in this process."""

    def __init__(self, env_fns: Sequence[Callable[[], gymnasium.Env]]) -> None:
        super().__init__(env_fns)
        self.complete()


class SubprocVecEnv(VecEnv):
    """Trained in processes of their own; stepped by hand, copies in this one."""

    def __init__(self, env_fns: Sequence[Callable[[], gymnasium.Env]], start_method: str | None = None) -> None:
        super().__init__(env_fns)

    def for_training(self) -> VectorEnv:
        return in_processes(self)


class VecFrameStack(VecEnv):
    """The latest ``n_stack`` observations of each environment as one, along the channels; an episode begins with 0."""

    def __init__(self, venv: VecEnv, n_stack: int, channels_order: str | None = None) -> None:
        if isinstance(venv, VecNormalize):
            raise ConfigError("stack frames first and normalise then: VecNormalize(VecFrameStack(env, n_stack))")
        order = order_of(venv.observation_space, channels_order)
        self.__dict__ |= venv.__dict__
        self.venv = venv
        self.factories = [partial(stacked, factory, n_stack, order) for factory in venv.factories]
        self.envs = [StackedFrames(env, n_stack, order) for env in venv.envs]
        self.observation_space = self.envs[0].observation_space

    def for_training(self) -> VectorEnv:
        return in_processes(self) if isinstance(self.venv, SubprocVecEnv) else self.for_playing()


def stacked(factory: Callable[[], gymnasium.Env], n: int, order: Literal["first", "last"]) -> gymnasium.Env:
    """What a factory makes, with its latest observations as one."""
    return StackedFrames(factory(), n, order)


class VecNormalize(VecEnv):
    """Asks a model for running statistics of observations and rewards, which the model then keeps and applies itself.

    What it gives is raw, as ``predict`` wants it. ``training`` may be set, as programs do; statistics move only where
    a model learns. ``save`` writes these settings as JSON.
    """

    def __init__(
        self,
        venv: VecEnv,
        training: bool = True,
        norm_obs: bool = True,
        norm_reward: bool = True,
        clip_obs: float = 10.0,
        clip_reward: float = 10.0,
        gamma: float = 0.99,
        epsilon: float = 1e-8,
        norm_obs_keys: list[str] | None = None,
    ) -> None:
        if epsilon != 1e-8 or norm_obs_keys is not None:
            raise ConfigError("VecNormalize takes no epsilon or norm_obs_keys here: 1e-8, and all that is Box")
        self.venv = venv
        self.norm_obs, self.norm_reward = norm_obs, norm_reward
        self.clip_obs, self.clip_reward, self.gamma = float(clip_obs), float(clip_reward), float(gamma)
        self.__dict__ |= {k: v for k, v in venv.__dict__.items() if k not in self.__dict__}
        self.training = training

    def for_training(self) -> VectorEnv:
        return self.venv.for_training()

    def save(self, save_path: str | Path) -> None:
        """The settings, not the statistics, which the model's file holds."""
        settings = {name: getattr(self, name) for name in NORMALISED}
        files.replace(files.from_user(save_path), json.dumps(settings).encode())

    @staticmethod
    def load(load_path: str | Path, venv: VecEnv) -> "VecNormalize":
        """Settings that ``save`` wrote; a pickle of Stable-Baselines3's is refused."""
        settings = json_text.read(files.from_user(load_path))
        if not isinstance(settings, dict) or settings.keys() != set(NORMALISED):
            raise ConfigError(f"{load_path} holds no settings of VecNormalize")
        kinds = {name: bool if name.startswith("norm") else float for name in NORMALISED}
        if any(not isinstance(value, kinds[name]) for name, value in settings.items()):
            raise ConfigError(f"{load_path} holds no settings of VecNormalize")
        return VecNormalize(venv, **settings)


NORMALISED = ("norm_obs", "norm_reward", "clip_obs", "clip_reward", "gamma")


def in_processes(envs: VecEnv) -> Workers:
    """Environments made anew in other processes."""
    return Workers(envs.factories, min(envs.num_envs, cores()))


def itself(env: gymnasium.Env) -> gymnasium.Env:
    """The environment, as a factory gives it."""
    return env


def wrapped(env: gymnasium.Env, wrapper_class: type) -> bool:
    """Is there such a wrapper?"""
    while not isinstance(env, wrapper_class):
        if not isinstance(env, gymnasium.Wrapper):
            return False
        env = env.env
    return True


def stack(observations: list[Tree]) -> Tree:
    """Observations of each environment → one with a leading axis; dicts and tuples by part."""
    first = observations[0]
    if isinstance(first, dict):
        return {key: stack([obs[key] for obs in observations]) for key in first}
    if isinstance(first, tuple):
        return tuple(stack(list(parts)) for parts in zip(*observations, strict=True))
    return np.stack(observations)


def vectorised(env: str | gymnasium.Env | VecEnv) -> VecEnv:
    """An id, one environment, or several."""
    if isinstance(env, VecEnv):
        return env
    if isinstance(env, str):
        return DummyVecEnv([partial(make_single, env)])
    if isinstance(env, gymnasium.Env):
        return DummyVecEnv([partial(itself, env)])
    raise ConfigError(f"{env!r} is no environment here: give an id, a gymnasium.Env or what make_vec_env gives")
