"""An environment and a policy without chance: every observation says whose it is, so decisions can be compared."""

import math
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from torch import nn

from clipper.data.steps import Value
from clipper.environments.vector.serial import Serial

WEIGHTS = torch.tensor([0.7, 0.4, 1.3, 0.2], dtype=torch.float64)


class Scripted(gymnasium.Env):
    """Observes (own number, episode, time, last action); episodes have lengths 1 to 7, every other one is truncated."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def __init__(self, number: int, reuse: bool = False) -> None:
        self.number, self.episode, self.reuse = number, -1, reuse
        self.array = np.zeros(4, np.float32)

    def observe(self, action: float) -> np.ndarray:
        self.array[:] = self.number, self.episode, self.time, action
        return self.array if self.reuse else self.array.copy()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.time = self.episode + 1, 0
        return self.observe(0.0), {}

    def step(self, action):
        self.time += 1
        end = self.time == 1 + (3 * self.number + 5 * self.episode) % 7
        terminates = (self.number + self.episode) % 2 == 0
        reward = math.sin(self.number + 2 * self.episode + 3 * self.time) + float(action[0])
        return self.observe(float(action[0])), reward, end and terminates, end and not terminates, {}


def succeeds(number: int, episode: int) -> bool:
    return (number + 3 * episode) % 5 < 2


class Telling(Scripted):
    """Its episodes succeed or not by plan; rows before their ends claim the opposite."""

    def __init__(self, number: int, key: str = "is_success", mute: int = -1) -> None:
        super().__init__(number)
        self.key, self.mute = key, mute

    def step(self, action):
        obs, reward, terminated, truncated, _ = super().step(action)
        value = succeeds(self.number, self.episode) == (terminated or truncated)
        info = {} if self.number == self.mute else {self.key: value, "other": "told"}
        return obs, reward, terminated, truncated, info


class ScriptedDistribution:
    """All mass on one action."""

    def __init__(self, obs: torch.Tensor) -> None:
        self.mode = torch.sin(obs.double() @ WEIGHTS)[..., None]

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.mode

    def log_prob(self, action: torch.Tensor) -> torch.Tensor:
        return action.sum(-1)

    def entropy(self) -> torch.Tensor:
        return torch.zeros(self.mode.shape[:-1], dtype=torch.float64)

    def kl(self, other: Any) -> torch.Tensor:
        return self.entropy()

    @property
    def params(self) -> tuple[torch.Tensor, ...]:
        return (self.mode,)


class ScriptedPolicy(nn.Module):
    """Acts and values by fixed functions of the observation, in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def act(self, obs: Any, memory: Any = (), action_mask: Any = ()) -> tuple[ScriptedDistribution, Any]:
        return ScriptedDistribution(obs), memory

    def value(self, obs: Any, memory: Any = ()) -> Value:
        return Value(torch.cos(3 * obs.double() @ WEIGHTS))

    def forward(self, obs: Any, memory: Any = (), action_mask: Any = ()) -> tuple[ScriptedDistribution, Value]:
        return ScriptedDistribution(obs), self.value(obs)

    def to_env(self, action: Any, action_mask: Any = ()) -> np.ndarray:
        return action.numpy()

    def absorb(self, obs: Any, returns: torch.Tensor) -> None:
        pass


def scripted_envs(n: int, backend: str, reuse: bool = False) -> VectorEnv:
    """``serial``, or ``sync`` or ``async`` with a mode's name: ``sync next_step``."""
    factories: Any = [partial(Scripted, i, reuse) for i in range(n)]
    return vectorised(factories, backend)


def vectorised(factories: list, backend: str) -> VectorEnv:
    kind, _, mode = backend.partition(" ")
    if kind == "serial":
        return Serial(factories)
    made = AsyncVectorEnv if kind == "async" else SyncVectorEnv
    return made(factories, autoreset_mode=AutoresetMode[mode.upper()])


BACKENDS = ["serial"] + [
    f"{kind} {mode}" for kind in ("sync", "async") for mode in ("next_step", "same_step", "disabled")
]
