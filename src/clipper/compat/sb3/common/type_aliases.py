"""Names of types, and of what buffers give."""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol, SupportsFloat, runtime_checkable

import gymnasium
import numpy as np
import torch

from clipper.compat.sb3.common.callbacks import MaybeCallback
from clipper.compat.sb3.common.vec_env import VecEnv
from clipper.data.tree_type import Tree
from clipper.environments.told_episodes import Info

__all__ = [
    "AtariResetReturn", "AtariStepReturn", "DictReplayBufferSamples", "DictRolloutBufferSamples", "GymEnv",
    "GymObs", "GymResetReturn", "GymStepReturn", "MaybeCallback", "PolicyPredictor", "PyTorchObs",
    "ReplayBufferSamples", "RolloutBufferSamples", "RolloutReturn", "Schedule", "TensorDict", "TensorIndex",
    "TrainFreq", "TrainFrequencyUnit",
]  # fmt: skip

GymEnv = gymnasium.Env | VecEnv
GymObs = Tree
GymResetReturn = tuple[Tree, Info]
GymStepReturn = tuple[Tree, float, bool, bool, Info]
AtariResetReturn = tuple[np.ndarray, Info]
AtariStepReturn = tuple[np.ndarray, SupportsFloat, bool, bool, Info]
TensorDict = dict[str, torch.Tensor]
TensorIndex = Tree
PyTorchObs = torch.Tensor | TensorDict
Schedule = Callable[[float], float]


class RolloutBufferSamples(NamedTuple):
    """What a rollout buffer gives."""

    observations: torch.Tensor
    actions: torch.Tensor
    old_values: torch.Tensor
    old_log_prob: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor


class DictRolloutBufferSamples(NamedTuple):
    """The same of Dict observations."""

    observations: TensorDict
    actions: torch.Tensor
    old_values: torch.Tensor
    old_log_prob: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor


class ReplayBufferSamples(NamedTuple):
    """As Stable-Baselines3's, each ``[B, ...]``; dones, rewards and discounts are columns."""

    observations: torch.Tensor
    actions: torch.Tensor
    next_observations: torch.Tensor
    dones: torch.Tensor
    rewards: torch.Tensor
    discounts: torch.Tensor | None = None
    """Of the value after it; None: γ."""


class DictReplayBufferSamples(NamedTuple):
    """The same of Dict observations."""

    observations: TensorDict
    actions: torch.Tensor
    next_observations: TensorDict
    dones: torch.Tensor
    rewards: torch.Tensor
    discounts: torch.Tensor | None = None


class RolloutReturn(NamedTuple):
    """What collecting gave."""

    episode_timesteps: int
    n_episodes: int
    continue_training: bool


class TrainFrequencyUnit(Enum):
    """After what to learn."""

    STEP = "step"
    EPISODE = "episode"


class TrainFreq(NamedTuple):
    """How often to learn."""

    frequency: int
    unit: TrainFrequencyUnit


@runtime_checkable
class PolicyPredictor(Protocol):
    """What has ``predict``: a model or a policy."""

    def predict(
        self, observation: Tree, state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None, deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:  # fmt: skip
        """Actions for observations, and the state to give next time."""
        ...
