"""Environments that own their memory: they hand out the arrays that they go on writing to, and keep what they get."""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

import clipper
from clipper.engines import Engine, choose
from clipper.spaces.actions import batch

ALGORITHM = clipper.PPO(horizon=16, epochs=1, minibatches=1)
OBS = Box(-1e6, 1e6, (2,), np.float32)


class Buffers(VectorEnv):
    """Observes (time, number of the episode), pays 1 a decision, and gives its own arrays; ``fail``s in one step.

    All that it is given and gives again lies in these arrays, which resets clear.
    """

    def __init__(
        self, lengths: tuple[int, ...], mode: AutoresetMode = AutoresetMode.NEXT_STEP,
        space: gymnasium.Space | None = None, fail: int = 0, error: type[BaseException] = RuntimeError,
    ) -> None:  # fmt: skip
        n = self.num_envs = len(lengths)
        self.lengths, self.mode, self.fail, self.error, self.calls = np.array(lengths), mode, fail, error, 0
        self.metadata = {"autoreset_mode": mode}
        self.single_observation_space, self.single_action_space = OBS, space or Discrete(2)
        self.observation_space, self.action_space = batch_space(OBS, n), batch(self.single_action_space, n)
        self.obs, self.final = np.zeros((2, n, 2), np.float32)
        self.reward, self.terminated, self.truncated = np.ones(n), np.zeros(n, bool), np.zeros(n, bool)
        self.given: list[Any] = []

    def begin(self, where: np.ndarray) -> None:
        self.obs[where, 0] = 0
        self.obs[where, 1] += 1

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        where = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        self.begin(where)
        self.terminated[where], self.reward[where] = False, 0
        return self.obs, {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        self.calls += 1
        if self.calls == self.fail:
            raise self.error("no")
        self.given.append(actions)
        ended, info = self.terminated.copy(), {}
        self.obs[:, 0] += 1
        self.reward[:] = 1
        if self.mode is AutoresetMode.NEXT_STEP:
            self.begin(ended)
            self.reward[ended] = 0
        self.terminated[:] = self.obs[:, 0] >= self.lengths
        if self.mode is AutoresetMode.SAME_STEP and self.terminated.any():
            self.final[self.terminated] = self.obs[self.terminated]
            info = {"final_obs": self.final}
            self.begin(self.terminated)
        return self.obs, self.reward, self.terminated, self.truncated, info


def made(
    env: VectorEnv, engine: Any = "torch", seed: int = 0, policy: Any = None
) -> tuple[clipper.VectorRollouts, Engine]:
    """Rollouts of an environment, and what acts in it for a small policy."""
    rollouts = clipper.VectorRollouts(env, seed)
    if policy is None:
        policy = clipper.make_policy(
            env.single_observation_space, env.single_action_space, clipper.PolicyOptions(hidden=(8,)),
            torch.Generator().manual_seed(0),
        )  # fmt: skip
    config = clipper.Config(env="", algorithm=ALGORITHM, engine=engine, total_steps=10**7)
    return rollouts, choose(ALGORITHM.init(policy, seed=0), config, rollouts, True)
