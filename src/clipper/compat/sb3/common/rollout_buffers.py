"""What a model has collected and learns from next, under Stable-Baselines3's names."""

from collections.abc import Iterator

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Dict
from torch import Tensor

from clipper.compat.sb3.common.preprocessing import get_action_dim, get_obs_shape
from clipper.compat.sb3.common.type_aliases import DictRolloutBufferSamples, RolloutBufferSamples
from clipper.compat.sb3.common.utils import get_device
from clipper.data.trees import Tree, each
from clipper.functional.returns import gae


class RolloutBuffer:
    """Arrays ``[buffer_size, n_envs, ...]`` of decisions, with values, advantages and returns."""

    def __init__(
        self, buffer_size: int, observation_space: gymnasium.Space, action_space: gymnasium.Space,
        device: torch.device | str = "auto", gae_lambda: float = 1, gamma: float = 0.99, n_envs: int = 1,
    ) -> None:  # fmt: skip
        self.buffer_size, self.n_envs, self.device = buffer_size, n_envs, get_device(device)
        self.observation_space, self.action_space = observation_space, action_space
        self.obs_shape, self.action_dim = get_obs_shape(observation_space), get_action_dim(action_space)
        self.gae_lambda, self.gamma = gae_lambda, gamma
        self.pos, self.full, self.generator_ready = 0, False, False
        self.reset()

    def reset(self) -> None:
        """Empty it."""
        lead, space = (self.buffer_size, self.n_envs), self.observation_space
        if isinstance(space, Dict):
            parts = space.spaces.items()
            self.observations: Tree = {k: np.zeros((*lead, *self.obs_shape[k]), x.dtype) for k, x in parts}
        else:
            self.observations = np.zeros((*lead, *self.obs_shape), space.dtype)
        self.actions = np.zeros((*lead, self.action_dim), self.action_space.dtype)
        self.rewards, self.returns, self.values, self.log_probs, self.advantages, self.episode_starts = (
            np.zeros(lead, np.float32) for _ in range(6)
        )
        self.pos, self.full, self.generator_ready = 0, False, False

    def add(
        self,
        obs: Tree,
        action: np.ndarray,
        reward: np.ndarray,
        episode_start: np.ndarray,
        value: Tensor,
        log_prob: Tensor,
    ) -> None:
        """One row."""
        lead = (self.n_envs,)
        if isinstance(self.observations, dict):
            for key, rows in self.observations.items():
                rows[self.pos] = np.asarray(obs[key]).reshape(lead + self.obs_shape[key])
        else:
            self.observations[self.pos] = np.asarray(obs).reshape(lead + self.obs_shape)
        self.actions[self.pos] = np.asarray(action).reshape(self.n_envs, self.action_dim)
        self.rewards[self.pos], self.episode_starts[self.pos] = reward, episode_start
        self.values[self.pos] = value.detach().cpu().numpy().flatten()
        self.log_probs[self.pos] = log_prob.detach().cpu().numpy().reshape(-1)
        self.pos += 1
        self.full = self.pos == self.buffer_size

    def compute_returns_and_advantage(self, last_values: Tensor, dones: np.ndarray) -> None:
        """Â by GAE (arXiv:1506.02438, eq 16), and Â + V(sₜ).

        An episode that was cut off ends here, too: V of its last observation is in its last reward.
        """
        ends = torch.from_numpy(np.concatenate([self.episode_starts[1:], np.asarray(dones, np.float32)[None]]) > 0)
        last = last_values.detach().cpu().flatten()[None]
        value = torch.cat([torch.from_numpy(self.values), last.to(torch.float32)])
        yes = torch.ones_like(ends)
        found = gae(torch.from_numpy(self.rewards), value, ends, ends, yes, self.gamma, self.gae_lambda)
        self.advantages = found.numpy().copy()
        self.returns = self.advantages + self.values

    @staticmethod
    def swap_and_flatten(arr: np.ndarray) -> np.ndarray:
        """``[T, N, ...]`` → ``[N · T, ...]``, environment by environment."""
        return arr.swapaxes(0, 1).reshape(arr.shape[0] * arr.shape[1], *(arr.shape[2:] or (1,)))

    def get(self, batch_size: int | None = None) -> Iterator[RolloutBufferSamples | DictRolloutBufferSamples]:
        """All rows once, in batches, in an order that numpy's global generator draws; actions are float32."""
        assert self.full, "the buffer must be full to be read"
        rows = self.buffer_size * self.n_envs
        order, size = np.random.permutation(rows), batch_size or rows
        names = ("actions", "values", "log_probs", "advantages", "returns")
        obs = each(self.swap_and_flatten, self.observations)
        flat = {name: self.swap_and_flatten(getattr(self, name)) for name in names}
        kind: Tree = DictRolloutBufferSamples if isinstance(obs, dict) else RolloutBufferSamples
        for start in range(0, rows, size):
            index = order[start : start + size]
            actions, *others = (self.to_torch(x[index].astype(np.float32)) for x in flat.values())
            yield kind(each(lambda x, i=index: self.to_torch(x[i]), obs), actions, *(x.flatten() for x in others))

    def to_torch(self, array: np.ndarray, copy: bool = True) -> Tensor:
        """On the device."""
        return torch.tensor(array, device=self.device) if copy else torch.as_tensor(array, device=self.device)

    def size(self) -> int:
        """Rows that it holds."""
        return self.buffer_size if self.full else self.pos


class DictRolloutBuffer(RolloutBuffer):
    """The same, of Dict observations."""

    def reset(self) -> None:
        """Empty it."""
        assert isinstance(self.observation_space, Dict), (
            f"DictRolloutBuffer must be used with Dict obs space only, not with {self.observation_space}"
        )
        super().reset()
