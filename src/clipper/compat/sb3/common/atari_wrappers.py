"""The wrappers of Atari's games (Mnih et al. 2015, doi:10.1038/nature14236), as Stable-Baselines3 has them."""

from typing import SupportsFloat

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from clipper.data.tree_type import Tree
from clipper.environments.told_episodes import Info
from clipper.errors import ConfigError

Answer = tuple[Tree, SupportsFloat, bool, bool, Info]


def meanings(env: gymnasium.Env) -> list[str]:
    """What the game's actions are called."""
    named: Tree = env.unwrapped
    return named.get_action_meanings()


class StickyActionEnv(gymnasium.Wrapper):
    """The action before instead of this one, with some probability (Machado et al. 2018, arXiv:1709.06009)."""

    def __init__(self, env: gymnasium.Env, action_repeat_probability: float) -> None:
        super().__init__(env)
        self.action_repeat_probability = action_repeat_probability
        assert meanings(env)[0] == "NOOP"

    def reset(self, **kwargs: Tree) -> tuple[Tree, Info]:
        self._sticky_action = 0
        return self.env.reset(**kwargs)

    def step(self, action: Tree) -> Answer:
        if self.np_random.random() >= self.action_repeat_probability:
            self._sticky_action = action
        return self.env.step(self._sticky_action)


class NoopResetEnv(gymnasium.Wrapper):
    """Does nothing for 1 to ``noop_max`` steps at first."""

    def __init__(self, env: gymnasium.Env, noop_max: int = 30) -> None:
        super().__init__(env)
        self.noop_max, self.override_num_noops, self.noop_action = noop_max, None, 0
        assert meanings(env)[0] == "NOOP"

    def reset(self, **kwargs: Tree) -> tuple[Tree, Info]:
        obs, info = self.env.reset(**kwargs)
        noops = self.override_num_noops
        if noops is None:
            noops = int(self.unwrapped.np_random.integers(1, self.noop_max + 1))
        assert noops > 0
        for _ in range(noops):
            obs, _, terminated, truncated, info = self.env.step(self.noop_action)
            if terminated or truncated:
                obs, info = self.env.reset()
        return obs, info


class FireResetEnv(gymnasium.Wrapper):
    """Fires at first, where a game begins by that."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        assert meanings(env)[1] == "FIRE"
        assert len(meanings(env)) >= 3

    def reset(self, **kwargs: Tree) -> tuple[Tree, Info]:
        self.env.reset(**kwargs)
        for action in (1, 2):
            obs, _, terminated, truncated, info = self.env.step(action)
            if terminated or truncated:
                obs, info = self.env.reset()
        return obs, info


class EpisodicLifeEnv(gymnasium.Wrapper):
    """An episode ends with a life, and the game is only reset once it is over."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.lives, self.was_real_done = 0, True

    def left(self) -> int:
        """Lives."""
        game: Tree = self.env.unwrapped
        return game.ale.lives()

    def step(self, action: Tree) -> Answer:
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.was_real_done = bool(terminated or truncated)
        lives = self.left()
        if 0 < lives < self.lives:
            terminated = True
        self.lives = lives
        return obs, reward, terminated, truncated, info

    def reset(self, **kwargs: Tree) -> tuple[Tree, Info]:
        if self.was_real_done:
            obs, info = self.env.reset(**kwargs)
        else:
            obs, _, terminated, truncated, info = self.env.step(0)
            if terminated or truncated:
                obs, info = self.env.reset(**kwargs)
        self.lives = self.left()
        return obs, info


class MaxAndSkipEnv(gymnasium.Wrapper):
    """Each action ``skip`` times; of the last two pictures the brighter of each point."""

    def __init__(self, env: gymnasium.Env, skip: int = 4) -> None:
        super().__init__(env)
        space = env.observation_space
        assert space.shape is not None
        self._obs_buffer = np.zeros((2, *space.shape), dtype=space.dtype)
        self._skip = skip

    def step(self, action: Tree) -> Answer:
        total, info, terminated, truncated = 0.0, {}, False, False
        for i in range(self._skip):
            obs, reward, terminated, truncated, info = self.env.step(action)
            if i >= self._skip - 2:
                self._obs_buffer[i - (self._skip - 2)] = obs
            total += float(reward)
            if terminated or truncated:
                break
        return self._obs_buffer.max(axis=0), total, terminated, truncated, info


class ClipRewardEnv(gymnasium.RewardWrapper):
    """The sign of the reward."""

    def reward(self, reward: SupportsFloat) -> float:
        return float(np.sign(float(reward)))


class WarpFrame(gymnasium.ObservationWrapper):
    """Pictures in grey, of 84 × 84, by means over areas."""

    def __init__(self, env: gymnasium.Env, width: int = 84, height: int = 84) -> None:
        super().__init__(env)
        self.width, self.height = width, height
        assert isinstance(env.observation_space, Box)
        self.observation_space = Box(0, 255, (height, width, 1), np.uint8)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        try:
            import cv2  # noqa: PLC0415  # pyright: ignore[reportMissingImports] (only these games need it)
        except ImportError as error:
            raise ConfigError(
                "WarpFrame needs OpenCV: pip install opencv-python-headless, or take make_atari_env, which needs it not"
            ) from error
        grey = cv2.cvtColor(observation, cv2.COLOR_RGB2GRAY)
        return cv2.resize(grey, (self.width, self.height), interpolation=cv2.INTER_AREA)[:, :, None]


class AtariWrapper(gymnasium.Wrapper):
    """All of them, around a game without frame skipping of its own."""

    def __init__(
        self, env: gymnasium.Env, noop_max: int = 30, frame_skip: int = 4, screen_size: int = 84,
        terminal_on_life_loss: bool = True, clip_reward: bool = True, action_repeat_probability: float = 0.0,
    ) -> None:  # fmt: skip
        if action_repeat_probability > 0:
            env = StickyActionEnv(env, action_repeat_probability)
        if noop_max > 0:
            env = NoopResetEnv(env, noop_max)
        if frame_skip > 1:
            env = MaxAndSkipEnv(env, frame_skip)
        if terminal_on_life_loss:
            env = EpisodicLifeEnv(env)
        if "FIRE" in meanings(env):
            env = FireResetEnv(env)
        env = WarpFrame(env, screen_size, screen_size)
        super().__init__(ClipRewardEnv(env) if clip_reward else env)
