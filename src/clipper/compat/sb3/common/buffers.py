"""Replays under Stable-Baselines3's names: arrays of transitions, of which batches are drawn."""

from collections.abc import Mapping, Sequence

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Dict
from torch import Tensor

from clipper.compat.sb3 import public_names
from clipper.compat.sb3.common.preprocessing import get_action_dim, get_obs_shape
from clipper.compat.sb3.common.rollout_buffers import DictRolloutBuffer, RolloutBuffer
from clipper.compat.sb3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples
from clipper.compat.sb3.common.utils import get_device
from clipper.compat.sb3.common.vec_env import VecNormalize
from clipper.data.trees import Tree, each, leaves, names
from clipper.errors import ConfigError, CorruptCheckpointError

__all__ = [
    "DictReplayBuffer", "DictRolloutBuffer", "NStepReplayBuffer", "ReplayBuffer", "ReplayBufferSamples",
    "RolloutBuffer",
]  # fmt: skip
Infos = Sequence[Mapping[str, object]]


class BufferOptionError(ConfigError, NotImplementedError):
    """An option that a buffer does not go with; programs written for Stable-Baselines3 expect the second kind."""


class ReplayBuffer:
    """The latest transitions, ``[buffer_size, n_envs, ...]`` each, in a ring; ``pos`` is where the next row goes.

    ``buffer_size`` counts rows, of all environments together. With ``optimize_memory_usage`` the next observation is
    the next row's, which ``handle_timeout_termination`` does not go with.
    """

    def __init__(
        self, buffer_size: int, observation_space: gymnasium.Space, action_space: gymnasium.Space,
        device: torch.device | str = "auto", n_envs: int = 1, optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
    ) -> None:  # fmt: skip
        if optimize_memory_usage and handle_timeout_termination:
            raise ValueError(
                "optimize_memory_usage=True keeps no last observation of an episode that was cut off: say "
                "replay_buffer_kwargs=dict(handle_timeout_termination=False), too, or neither"
            )
        self.observation_space, self.action_space, self.n_envs = observation_space, action_space, n_envs
        self.obs_shape, self.action_dim = get_obs_shape(observation_space), get_action_dim(action_space)
        self.buffer_size, self.device = max(buffer_size // n_envs, 1), get_device(device)
        self.optimize_memory_usage, self.handle_timeout_termination = optimize_memory_usage, handle_timeout_termination
        lead = (self.buffer_size, n_envs)
        self.pos, self.full = 0, False
        try:
            self.observations: Tree = self.zeros()
            self.next_observations: Tree = None if optimize_memory_usage else self.zeros()
            kind = self._maybe_cast_dtype(action_space.dtype)
            self.actions = np.zeros((*lead, self.action_dim), kind)
        except MemoryError as error:
            raise ConfigError(f"a replay of {buffer_size:,} transitions has no room here: lower buffer_size") from error
        self.rewards, self.dones, self.timeouts = (np.zeros(lead, np.float32) for _ in range(3))

    def zeros(self) -> Tree:
        """Room for observations."""
        lead, space = (self.buffer_size, self.n_envs), self.observation_space
        if isinstance(space, Dict):
            return {key: np.zeros((*lead, *self.obs_shape[key]), x.dtype) for key, x in space.spaces.items()}
        return np.zeros((*lead, *self.obs_shape), space.dtype)

    @staticmethod
    def _maybe_cast_dtype(dtype: Tree) -> Tree:
        """Actions of float64 are kept as float32."""
        return np.float32 if dtype == np.float64 else dtype

    def shaped(self, obs: Tree) -> Tree:
        """One row of observations."""
        if isinstance(self.observation_space, Dict):
            return {key: np.asarray(obs[key]).reshape(self.n_envs, *shape) for key, shape in self.obs_shape.items()}
        return np.asarray(obs).reshape(self.n_envs, *self.obs_shape)

    def add(
        self, obs: Tree, next_obs: Tree, action: np.ndarray, reward: np.ndarray, done: np.ndarray, infos: Infos
    ) -> None:
        """Keep a step; ``next_obs`` holds an episode's last observation where it is ``done``."""
        place, after = self.pos, (self.pos + 1) % self.buffer_size
        each(lambda rows, x: put(rows, place, x), self.observations, self.shaped(obs))
        if self.next_observations is None:
            each(lambda rows, x: put(rows, after, x), self.observations, self.shaped(next_obs))
        else:
            each(lambda rows, x: put(rows, place, x), self.next_observations, self.shaped(next_obs))
        self.actions[place] = np.asarray(action).reshape(self.n_envs, self.action_dim)
        self.rewards[place], self.dones[place] = reward, done
        if self.handle_timeout_termination:
            self.timeouts[place] = [bool(info.get("TimeLimit.truncated", False)) for info in infos]
        self.pos += 1
        if self.pos == self.buffer_size:
            self.full, self.pos = True, 0

    def extend(self, *args: Tree) -> None:
        """Keep several steps."""
        for step in zip(*args, strict=True):
            self.add(*step)

    def reset(self) -> None:
        """Empty it."""
        self.pos, self.full = 0, False

    def size(self) -> int:
        """Rows that are kept, each a step of all environments."""
        return self.buffer_size if self.full else self.pos

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> Tree:
        """Transitions that numpy's global generator draws; normalised as ``env`` does it now."""
        if not self.size():
            raise ConfigError("the replay buffer is empty: add steps, or learn, before sample")
        if self.optimize_memory_usage and self.full:  # what follows the row at pos is not kept
            rows = (np.random.randint(1, self.buffer_size, size=batch_size) + self.pos) % self.buffer_size
        else:
            rows = np.random.randint(0, self.size(), size=batch_size)
        return self._get_samples(rows, env=env)

    def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> Tree:
        columns = np.random.randint(0, high=self.n_envs, size=(len(batch_inds),))
        ended = self.dones[batch_inds, columns] * (1 - self.timeouts[batch_inds, columns])
        paid = self._normalize_reward(self.rewards[batch_inds, columns].reshape(-1, 1), env)
        return self.batch(batch_inds, columns, batch_inds, ended.reshape(-1, 1), paid, None, env)

    def batch(
        self, rows: np.ndarray, columns: np.ndarray, last: np.ndarray, dones: np.ndarray, rewards: np.ndarray,
        discounts: np.ndarray | None, env: VecNormalize | None,
    ) -> Tree:  # fmt: skip
        """What ``sample`` gives; next observations are those after the rows ``last``."""
        seen = self._normalize_obs(each(lambda x: x[rows, columns], self.observations), env)
        if self.next_observations is None:
            after = each(lambda x: x[(last + 1) % self.buffer_size, columns], self.observations)
        else:
            after = each(lambda x: x[last, columns], self.next_observations)
        parts: Tree = (
            seen, self.actions[rows, columns], self._normalize_obs(after, env), dones.astype(np.float32), rewards
        )  # fmt: skip
        kind: Tree = DictReplayBufferSamples if isinstance(seen, dict) else ReplayBufferSamples
        return kind(*each(self.to_torch, parts), None if discounts is None else self.to_torch(discounts))

    @staticmethod
    def _normalize_obs(obs: Tree, env: VecNormalize | None = None) -> Tree:
        return obs if env is None else env.normalize_obs(obs)

    @staticmethod
    def _normalize_reward(reward: np.ndarray, env: VecNormalize | None = None) -> np.ndarray:
        return reward if env is None else env.normalize_reward(reward).astype(np.float32)

    def to_torch(self, array: np.ndarray, copy: bool = True) -> Tensor:
        """On the device."""
        return torch.tensor(array, device=self.device) if copy else torch.as_tensor(array, device=self.device)

    def entries(self) -> dict[str, np.ndarray]:
        """All arrays, by name."""
        own = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
        tree = {name: getattr(self, name) for name in own if getattr(self, name) is not None}
        return dict(zip(names(tree), leaves(tree), strict=True))

    def state(self) -> dict[str, Tensor]:
        """What is kept, the oldest row first; with ``optimize_memory_usage`` one row more, which is seen after it.

        In a full ring that row has taken the oldest one's place, which is then none any more.
        """
        more = int(self.optimize_memory_usage)
        count = self.size() - (more if self.full else 0)
        order = (self.pos - count + np.arange(count + more)) % self.buffer_size
        return {name: torch.from_numpy(x[order]) for name, x in self.entries().items()} | {"rows": torch.tensor(count)}

    def load_state(self, state: dict[str, Tensor], what: str) -> None:
        """Take over the newest rows of such a state; raises ``CorruptCheckpointError`` for other arrays."""
        mine, count = self.entries(), int(state.get("rows", torch.tensor(-1)))
        if {*mine, "rows"} != set(state) or count < 0:
            raise CorruptCheckpointError(f"{what} holds no such replay: its arrays are {', '.join(sorted(state))}")
        more = int(self.optimize_memory_usage)
        kept = min(count, self.buffer_size - more)
        for name, x in mine.items():
            own = state[name].numpy()
            if own.shape[1:] != x.shape[1:] or own.dtype != x.dtype or len(own) < count + more:
                raise CorruptCheckpointError(
                    f"{what} holds a replay of other environments: {name} is {own.dtype} {list(own.shape)}, not "
                    f"{x.dtype} of [rows, {', '.join(map(str, x.shape[1:]))}]"
                )
            x[: kept + more] = own[count - kept : count + more]
        self.full, self.pos = kept == self.buffer_size, kept % self.buffer_size


class DictReplayBuffer(ReplayBuffer):
    """The same, of Dict observations."""

    def __init__(self, *args: Tree, optimize_memory_usage: bool = False, **kwargs: Tree) -> None:
        assert not optimize_memory_usage, "DictReplayBuffer keeps both observations: leave out optimize_memory_usage"
        super().__init__(*args, **kwargs)


class NStepReplayBuffer(ReplayBuffer):
    """The same rows; a batch has the discounted sums of up to ``n_steps`` rewards, and the observation after them."""

    def __init__(self, *args: Tree, n_steps: int = 3, gamma: float = 0.99, **kwargs: Tree) -> None:
        super().__init__(*args, **kwargs)
        self.n_steps, self.gamma = n_steps, gamma
        if self.optimize_memory_usage:
            raise BufferOptionError("NStepReplayBuffer keeps both observations: leave out optimize_memory_usage")

    def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> ReplayBufferSamples:
        columns = np.random.randint(0, self.n_envs, size=batch_inds.shape)
        steps = (batch_inds[:, None] + np.arange(self.n_steps)) % self.buffer_size  # [B, n]
        place = steps, columns[:, None]
        newest = steps == (self.pos - 1) % self.buffer_size  # what follows it here is older
        dones, timeouts = self.dones[place] > 0, self.timeouts[place] > 0
        stops = dones | timeouts | newest
        count = np.where(stops.any(1), stops.argmax(1) + 1, self.n_steps)  # rewards of each return
        powers = self.gamma ** np.arange(self.n_steps, dtype=np.float32)
        paid = self._normalize_reward(self.rewards[place], env) * powers * (np.arange(self.n_steps) < count[:, None])
        each_row, end = np.arange(len(count)), count - 1
        ended = (dones & ~timeouts)[each_row, end].reshape(-1, 1)
        discounts = (self.gamma ** count.astype(np.float32)).astype(np.float32).reshape(-1, 1)
        rewards = paid.sum(1, keepdims=True).astype(np.float32)
        return self.batch(batch_inds, columns, steps[each_row, end], ended, rewards, discounts, env)


def put(rows: np.ndarray, place: int, x: np.ndarray) -> None:
    """Write one row."""
    rows[place] = x


def __getattr__(name: str) -> object:
    """Names that are refused, in words, when they are used."""
    return public_names.resolve("common.buffers", name)
