"""Environments that EnvPool steps in threads of its own (arXiv:2206.10558), written in C++."""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from clipper.data.tree_type import Tree
from clipper.environments.atari.game_options import DEFAULTS, Atari
from clipper.environments.told_episodes import TELLS, Info, told_where
from clipper.environments.vector.serial import SUCCESS_KEYS
from clipper.errors import ConfigError, MissingPackageError, install_command
from clipper.spaces.actions import batch

GAME = re.compile(r"^(ale_py:)?(ALE/)?|(NoFrameskip-v4|-v5)$")  # what stands around its name in an id


class PoolConfig(Protocol):
    """The settings that EnvPool made a pool with, as far as they are read here."""

    max_episode_steps: int


class PoolSpec(Protocol):
    """What EnvPool says of a pool, as far as it is read here."""

    config: PoolConfig
    gymnasium_observation_space: gymnasium.Space
    gymnasium_action_space: gymnasium.Space
    action_array_spec: Mapping[str, np.ndarray]
    """Per part of an action, something of its dtype."""


@runtime_checkable
class EnvPool(Protocol):
    """EnvPool's own object, as far as it is used here."""

    spec: PoolSpec

    def reset(self) -> tuple[Tree, Info]:
        """Begin an episode in every environment."""
        ...

    def step(self, actions: np.ndarray) -> tuple[Tree, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Step every environment."""
        ...

    def close(self) -> None:
        """End its threads."""
        ...


class Pool(VectorEnv):
    """``num_envs`` copies of an environment, with the spaces of a ``single`` one.

    A pool takes its seed when it is made, so ``reset`` with a seed makes a new one. It cannot save its state.
    """

    def __init__(self, single: gymnasium.Env, name: str, num_envs: int, settings: Mapping[str, object]) -> None:
        self.name, self.num_envs, self.settings = name, num_envs, settings
        self.spec, self.metadata = single.spec, {**single.metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}
        space, action_space = single.observation_space, single.action_space
        self.single_observation_space, self.single_action_space = space, action_space
        self.observation_space, self.action_space = batch_space(space, num_envs), batch(action_space, num_envs)
        self.pool = self.made(0)
        self.action_dtype = self.pool.spec.action_array_spec["action"].dtype

    def made(self, seed: int) -> EnvPool:
        """A pool whose environment i is seeded with ``seed + i``."""
        return pool_of(self.name, self.num_envs, seed, self.settings)

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[Tree, Info]:
        if seed is not None:
            self.pool.close()
            self.pool = self.made(int(seed) % 2**31)
        with quiet():
            obs, _ = self.pool.reset()
        return self.seen(obs), {}

    def step(self, actions: Tree) -> tuple[Tree, np.ndarray, np.ndarray, np.ndarray, Info]:
        obs, reward, terminated, truncated, info = self.pool.step(np.asarray(actions, dtype=self.action_dtype))
        gain, told = self.tell(reward, terminated, truncated, info)
        return self.seen(obs), gain, terminated, truncated, told

    def seen(self, obs: Tree) -> Tree:
        """Observations in the dtype that the space promises; parts of some are converted where they are read."""
        return obs.astype(self.single_observation_space.dtype, copy=False) if isinstance(obs, np.ndarray) else obs

    def tell(
        self, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, info: Info
    ) -> tuple[np.ndarray, Info]:
        """What is learned from, and an info for the loop."""
        return reward.astype(np.float64), {key: info[key] for key in SUCCESS_KEYS if key in info}

    def close_extras(self, **kwargs: object) -> None:
        self.pool.close()


class PooledGames(Pool):
    """Atari games with lives, rewards and scores as ``Game`` has them.

    In the first observation of a life EnvPool repeats the one picture, where ``Game`` puts it behind black.
    """

    def __init__(self, single: gymnasium.Env, name: str, num_envs: int, threads: int, options: Atari) -> None:
        unknown = [key for key in ("mode", "difficulty", "obs_type") if getattr(options, key) != getattr(DEFAULTS, key)]
        unknown += [] if options.maxpool else ["maxpool=false"]
        if unknown:
            raise ConfigError(f"EnvPool's Atari games know no {unknown[0]}: use --vector workers, or serial")
        self.options, self.done = options, np.zeros(num_envs, dtype=bool)
        self.score, self.length = np.zeros((2, num_envs))
        same = (
            "noop_max", "use_fire_reset", "stack_num", "repeat_action_probability", "full_action_space",
            "episodic_life",
        )  # fmt: skip
        settings = {key: getattr(options, key) for key in same} | {
            "frame_skip": options.frameskip, "img_height": options.screen_size, "img_width": options.screen_size,
            "max_episode_steps": options.max_num_frames_per_episode // options.frameskip, "reward_clip": False,
            "num_threads": threads,
        }  # fmt: skip
        super().__init__(single, name, num_envs, settings)
        self.metadata[TELLS] = True

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[Tree, Info]:
        for array in (self.done, self.score, self.length):
            array[:] = 0
        return super().reset(seed=seed, options=options)

    def tell(
        self, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, info: Info
    ) -> tuple[np.ndarray, Info]:
        self.score += reward
        self.length += ~self.done
        self.done = terminated | truncated
        over = info["terminated"].astype(bool) & self.done | truncated
        told = told_where(over, self.score, self.length)
        return (np.sign(reward) if self.options.reward_clipping else reward).astype(np.float64), told


def pool_of(name: str, num_envs: int, seed: int, settings: Mapping[str, object]) -> EnvPool:
    """EnvPool's own object."""
    package = installed()
    with quiet():
        return package.make(name, env_type="gymnasium", num_envs=num_envs, seed=seed, **settings)


@contextmanager
def quiet() -> Iterator[None]:
    """Without Gymnasium's warnings about bounds that EnvPool rounds: nobody reads them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*precision lowered")
        yield


def installed() -> ModuleType:
    """The package."""
    try:
        return import_module("envpool")
    except (ImportError, OSError) as error:  # some of its wheels lack files that their import reads
        hint = install_command("envpool")
        raise MissingPackageError(f"EnvPool cannot be imported here ({error}): {hint}") from error


def make_pool(single: gymnasium.Env, name: str, num_envs: int, threads: int, options: Atari | None = None) -> Pool:
    """A pool of copies of ``single``, by its id, with a game's preprocessing; raises ``ConfigError`` if it has none."""
    known, threads = installed().list_all_envs(), min(threads, num_envs)
    their = name if options is None else GAME.sub("", name) + "-v5"
    if their not in known:
        raise ConfigError(f"EnvPool has no {their}: use --vector workers, or serial, which step any environment")
    if options is not None:
        return alike(PooledGames(single, their, num_envs, threads, options), single)
    limit = single.spec.max_episode_steps if single.spec is not None else None
    bounds = {"max_episode_steps": limit} if limit else {}
    return alike(Pool(single, their, num_envs, {"num_threads": threads} | bounds), single)


def spaces_of(pool: EnvPool) -> tuple[gymnasium.Space, gymnasium.Space]:
    """Of one of its observations, and of one of its actions."""
    with quiet():
        return pool.spec.gymnasium_observation_space, pool.spec.gymnasium_action_space


def alike(env: Pool, single: gymnasium.Env) -> Pool:
    """The pool, if EnvPool's spaces are those that Gymnasium gives the environment."""
    space, action_space = single.observation_space, single.action_space
    ours, theirs = (space, action_space), spaces_of(env.pool)
    same = [(a.shape, getattr(a, "n", 0)) for a in ours] == [(b.shape, getattr(b, "n", 0)) for b in theirs]
    if not same or not isinstance(space, Box | Discrete):
        env.close()
        raise ConfigError(
            f"EnvPool's {env.name} has other spaces than Gymnasium's: {theirs[0]} and {theirs[1]}, not {space} and "
            f"{action_space}; use --vector workers, or serial, or envpool:{env.name} to learn in EnvPool's"
        )
    return env
