"""Running statistics that bring observations and rewards to unit scale, in the environments' wrapper."""

from copy import deepcopy
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
from gymnasium.spaces import Box, Dict

from clipper.compat.sb3.common.running_mean_std import RunningMeanStd
from clipper.compat.sb3.common.vec_env.base_vec_env import VecEnv, VecEnvStepReturn, VecEnvWrapper
from clipper.data.tree_type import Tree
from clipper.errors import ConfigError
from clipper.storage.files import from_user


class Settings(TypedDict):
    """All that a constructor takes."""

    training: bool
    norm_obs: bool
    norm_reward: bool
    clip_obs: float
    clip_reward: float
    gamma: float
    epsilon: float
    norm_obs_keys: list[str] | None


KINDS = {"training": bool, "norm_obs": bool, "norm_reward": bool, "norm_obs_keys": list | None}
"""Of settings that are no numbers."""


class VecNormalize(VecEnvWrapper):
    """Observations less their mean by their deviation, rewards by that of the discounted return, both within bounds.

    Statistics move with each step while ``training``. ``save`` writes no pickle.
    """

    obs_rms: Tree
    """A ``RunningMeanStd``, or one for each part of a Dict."""

    def __init__(
        self, venv: VecEnv, training: bool = True, norm_obs: bool = True, norm_reward: bool = True,
        clip_obs: float = 10.0, clip_reward: float = 10.0, gamma: float = 0.99, epsilon: float = 1e-8,
        norm_obs_keys: list[str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(venv)
        self.norm_obs, self.norm_obs_keys = norm_obs, norm_obs_keys
        if norm_obs:
            self._sanity_checks()
            space = self.observation_space
            if isinstance(space, Dict):
                assert self.norm_obs_keys is not None
                self.obs_rms = {key: RunningMeanStd(shape=space.spaces[key].shape) for key in self.norm_obs_keys}
                self.observation_space = deepcopy(space)
                for key in self.norm_obs_keys:
                    self.observation_space.spaces[key] = normalised_space(space.spaces[key], clip_obs)
            else:
                self.obs_rms = RunningMeanStd(shape=space.shape)
                self.observation_space = normalised_space(space, clip_obs)
        self.ret_rms = RunningMeanStd(shape=())
        self.clip_obs, self.clip_reward, self.gamma, self.epsilon = clip_obs, clip_reward, gamma, epsilon
        self.returns = np.zeros(self.num_envs)
        self.training, self.norm_reward = training, norm_reward
        self.old_obs: Tree = np.array([])
        self.old_reward = np.array([])

    def _sanity_checks(self) -> None:
        space = self.observation_space
        if isinstance(space, Dict):
            if self.norm_obs_keys is None:
                self.norm_obs_keys = list(space.spaces)
            for key in self.norm_obs_keys:
                if not isinstance(space.spaces[key], Box):
                    raise ValueError(
                        f"VecNormalize normalises Boxes, and {key} is {space.spaces[key]}: "
                        "explicitly pass the observation keys that are to be, as norm_obs_keys"
                    )
        elif not isinstance(space, Box):
            raise ValueError(
                f"VecNormalize only supports `gym.spaces.Box` and `gym.spaces.Dict`, not {space}: norm_obs=False"
            )
        elif self.norm_obs_keys is not None:
            raise ValueError("`norm_obs_keys` is applicable only with `gym.spaces.Dict` observation spaces")

    def set_venv(self, venv: VecEnv) -> None:
        """Stand around other environments of the same shapes."""
        self.venv = venv
        self.returns = np.zeros(venv.num_envs)
        self.num_envs, self.render_mode = venv.num_envs, venv.render_mode

    def step_wait(self) -> VecEnvStepReturn:
        obs, rewards, dones, infos = self.venv.step_wait()
        self.old_obs, self.old_reward = obs, rewards
        if self.training and self.norm_obs:
            self._update_obs(obs)
        obs = self.normalize_obs(obs)
        if self.training:
            self._update_reward(rewards)
        rewards = self.normalize_reward(rewards)
        for i in np.flatnonzero(dones):
            if "terminal_observation" in infos[i]:
                infos[i]["terminal_observation"] = self.normalize_obs(infos[i]["terminal_observation"])
        self.returns[dones] = 0
        return obs, rewards, dones, infos

    def reset(self) -> Tree:
        obs = self.venv.reset()
        self.old_obs, self.returns = obs, np.zeros(self.num_envs)
        if self.training and self.norm_obs:
            self._update_obs(obs)
        return self.normalize_obs(obs)

    def _update_obs(self, obs: Tree) -> None:
        if isinstance(self.obs_rms, dict):
            for key, moments in self.obs_rms.items():
                moments.update(obs[key])
        else:
            self.obs_rms.update(obs)

    def _update_reward(self, reward: np.ndarray) -> None:
        self.returns = self.returns * self.gamma + reward
        self.ret_rms.update(self.returns)

    def _normalize_obs(self, obs: np.ndarray, obs_rms: RunningMeanStd) -> np.ndarray:
        return np.clip((obs - obs_rms.mean) / np.sqrt(obs_rms.var + self.epsilon), -self.clip_obs, self.clip_obs)

    def _unnormalize_obs(self, obs: np.ndarray, obs_rms: RunningMeanStd) -> np.ndarray:
        return obs * np.sqrt(obs_rms.var + self.epsilon) + obs_rms.mean

    def normalize_obs(self, obs: Tree) -> Tree:
        """By the statistics as they are; they do not move."""
        if not self.norm_obs:
            return deepcopy(obs)
        if isinstance(self.obs_rms, dict):
            found = {k: self._normalize_obs(obs[k], own).astype(np.float32) for k, own in self.obs_rms.items()}
            return {**deepcopy(obs), **found}
        return self._normalize_obs(obs, self.obs_rms).astype(np.float32)

    def unnormalize_obs(self, obs: Tree) -> Tree:
        """The inverse of ``normalize_obs`` where nothing was cut off."""
        if not self.norm_obs:
            return deepcopy(obs)
        if isinstance(self.obs_rms, dict):
            return {**deepcopy(obs), **{k: self._unnormalize_obs(obs[k], own) for k, own in self.obs_rms.items()}}
        return self._unnormalize_obs(obs, self.obs_rms)

    def normalize_reward(self, reward: np.ndarray) -> np.ndarray:
        """By the statistics as they are; they do not move."""
        if not self.norm_reward:
            return reward
        scaled = reward / np.sqrt(self.ret_rms.var + self.epsilon)
        return np.clip(scaled, -self.clip_reward, self.clip_reward).astype(np.float32)

    def unnormalize_reward(self, reward: np.ndarray) -> np.ndarray:
        """The inverse of ``normalize_reward`` where nothing was cut off."""
        return reward * np.sqrt(self.ret_rms.var + self.epsilon) if self.norm_reward else reward

    def get_original_obs(self) -> Tree:
        """The latest observations as the environments gave them."""
        return deepcopy(self.old_obs)

    def get_original_reward(self) -> np.ndarray:
        """The latest rewards as the environments gave them."""
        return self.old_reward.copy()

    def save(self, save_path: str | Path) -> None:
        """Statistics and settings, as a file of Clipper's, whatever its name."""
        import torch  # noqa: PLC0415 (worker processes need it not)

        from clipper.storage import checkpoint  # noqa: PLC0415

        parts = {"ret": self.ret_rms, "": None}
        if self.norm_obs:
            whole = self.obs_rms if isinstance(self.obs_rms, dict) else {"": self.obs_rms}
            parts |= {f"obs.{key}": own for key, own in whole.items()}
        tensors = {"returns": torch.tensor(self.returns)}
        for name, own in parts.items():
            if own is not None:
                tensors |= {f"{name}/{x}": torch.tensor(np.asarray(getattr(own, x))) for x in ("mean", "var", "count")}
        settings = {name: getattr(self, name) for name in Settings.__annotations__}
        file = from_user(save_path)
        file.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(file, tensors, {"vec_normalize": settings})

    @staticmethod
    def load(load_path: str | Path, venv: VecEnv) -> "VecNormalize":
        """What ``save`` wrote, around ``venv``; a pickle of Stable-Baselines3's is refused."""
        from clipper.storage import checkpoint  # noqa: PLC0415

        tensors, values = checkpoint.load(from_user(load_path))
        settings = values.get("vec_normalize")
        if not isinstance(settings, dict) or settings.keys() != set(Settings.__annotations__):
            raise ConfigError(f"{load_path} holds no VecNormalize: save one with clipper.compat.sb3's own")
        for name, good in settings.items():
            if not isinstance(good, KINDS.get(name, int | float)) or (name not in KINDS and isinstance(good, bool)):
                raise ConfigError(f"{load_path} says {name}={good!r}, which is no such setting of VecNormalize")
        made = VecNormalize(venv, **cast(Settings, settings))
        wanted = {"ret": made.ret_rms}
        if made.norm_obs:
            whole = made.obs_rms if isinstance(made.obs_rms, dict) else {"": made.obs_rms}
            wanted |= {f"obs.{key}": own for key, own in whole.items()}
        for name, own in wanted.items():
            try:
                mean, var, count = (tensors[f"{name}/{x}"].numpy() for x in ("mean", "var", "count"))
            except KeyError:
                raise ConfigError(
                    f"{load_path} lacks statistics of {name}, which the environments' space has"
                ) from None
            if mean.shape != own.mean.shape or var.shape != own.var.shape:
                raise ConfigError(f"{load_path} is of observations of shape {mean.shape}, not {own.mean.shape}")
            own.mean, own.var, own.count = mean.copy(), var.copy(), float(count)
        if tensors["returns"].shape == made.returns.shape:
            made.returns = tensors["returns"].numpy().copy()
        return made


def normalised_space(space: object, bound: float) -> Box:
    """The Box of normalised observations."""
    assert isinstance(space, Box)
    return Box(-bound, bound, space.shape, np.float32)
