"""The replay under Stable-Baselines3's name."""

from collections.abc import Mapping, Sequence

import gymnasium
import numpy as np
import torch
from torch import Generator, Tensor

from clipper.compat.sb3 import public_names
from clipper.compat.sb3.arguments import refuse_others
from clipper.compat.sb3.common.rollout_buffers import DictRolloutBuffer, RolloutBuffer
from clipper.compat.sb3.common.type_aliases import ReplayBufferSamples
from clipper.data.steps import Steps
from clipper.learning.replay import Replay

__all__ = ["DictRolloutBuffer", "ReplayBuffer", "ReplayBufferSamples", "RolloutBuffer"]


class ReplayBuffer:
    """Transitions that are added one step of all environments at a time, kept in Clipper's ``Replay``."""

    def __init__(
        self, buffer_size: int, observation_space: gymnasium.Space, action_space: gymnasium.Space,
        device: str | torch.device = "cpu", n_envs: int = 1, optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
    ) -> None:  # fmt: skip
        refuse_others({"device": (str(device).replace("auto", "cpu"), "cpu")}, "a replay is on the CPU")
        self.observation_space, self.action_space, self.n_envs = observation_space, action_space, n_envs
        self.kept, self.timeouts, self.generator = Replay(buffer_size), handle_timeout_termination, Generator()

    def add(
        self, obs: np.ndarray, next_obs: np.ndarray, action: np.ndarray, reward: np.ndarray, done: np.ndarray,
        infos: Sequence[Mapping[str, object]],
    ) -> None:  # fmt: skip
        """Keep a step; ``next_obs`` holds an episode's last observation where it is ``done``."""
        ended = torch.as_tensor(np.asarray(done, bool)).reshape(self.n_envs)
        cut = torch.tensor([self.timeouts and bool(info.get("TimeLimit.truncated")) for info in infos])
        seen, after, act = (torch.as_tensor(np.array(x)) for x in (obs, next_obs, action))
        paid = torch.as_tensor(np.array(reward, np.float32)).reshape(self.n_envs)
        yes = torch.ones_like(ended)
        self.kept.add(row(seen, act, paid, ended & ~cut, ended, yes), after)
        if ended.any():  # one more row, which is no decision: what was seen last
            self.kept.add(row(after, act, paid, ~yes, ~yes, ~yes), after)

    def sample(self, batch_size: int, env: None = None) -> ReplayBufferSamples:
        """A batch, each transition as likely."""
        refuse_others({"env": (env, None)}, "observations and rewards come as they were added")
        x = self.kept.sample(batch_size, self.generator, 1.0)
        rewards, dones = x.reward[:, None], (x.discount == 0).float()[:, None]
        return ReplayBufferSamples(x.obs, x.action, x.next_obs, dones, rewards)

    def size(self) -> int:
        """Transitions that are kept, of all environments."""
        return self.kept.decisions


def row(obs: Tensor, action: Tensor, reward: Tensor, terminated: Tensor, done: Tensor, mask: Tensor) -> Steps:
    """One row of Steps."""
    obs, action, reward, terminated, done, mask = (x[None] for x in (obs, action, reward, terminated, done, mask))
    return Steps(obs, action, torch.zeros_like(reward), reward, terminated, done, mask)


def __getattr__(name: str) -> object:
    """Names that are refused, in words, when they are used."""
    return public_names.resolve("common.buffers", name)
