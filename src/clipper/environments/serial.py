"""Several environments in this process, stepped one after another, in next-step autoreset mode.

What Gymnasium's ``SyncVectorEnv`` does, without its per-step copies and info dictionaries, which cost more than a cheap
environment's own step; and an environment that misbehaves is named.
"""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from clipper.errors import EnvironmentContractError

NOTHING: dict[str, Any] = {}


class Serial(VectorEnv):
    """N environments made by ``factories``. The arrays that ``step`` returns are reused by the next one."""

    def __init__(self, factories: Sequence[Callable[[], gymnasium.Env]]) -> None:
        self.envs = [factory() for factory in factories]
        first = self.envs[0]
        self.num_envs = len(self.envs)
        self.spec, self.render_mode = first.spec, first.render_mode
        self.metadata = {**first.metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space, self.single_action_space = first.observation_space, first.action_space
        for i, env in enumerate(self.envs):
            if (env.observation_space, env.action_space) != (first.observation_space, first.action_space):
                raise EnvironmentContractError(
                    f"environment {i} has other spaces than environment 0: {env} and {first}"
                )
        self.observation_space = batch_space(first.observation_space, self.num_envs)
        self.action_space = batch_space(first.action_space, self.num_envs)
        shape, dtype = first.observation_space.shape, first.observation_space.dtype
        self.obs = np.zeros((self.num_envs, *(shape or ())), dtype)
        self.reward = np.zeros(self.num_envs)
        self.terminated = np.zeros(self.num_envs, dtype=bool)
        self.truncated = np.zeros(self.num_envs, dtype=bool)
        self.resets = np.ones(self.num_envs, dtype=bool)
        """Which environments the next step resets."""

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset all; an integer seeds environment i with ``seed + i``."""
        if seed is None or isinstance(seed, int):
            seed = [None if seed is None else seed + i for i in range(self.num_envs)]
        for i, (env, own) in enumerate(zip(self.envs, seed, strict=True)):
            self.store(i, env.reset(seed=own, options=options)[0])
        self.resets[:] = False
        return self.obs, NOTHING

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step those whose episode goes on, reset the others."""
        for i, env in enumerate(self.envs):
            if self.resets[i]:
                obs = env.reset()[0]
                reward, terminated, truncated = 0.0, False, False
            else:
                obs, reward, terminated, truncated, _ = env.step(actions[i])
            self.store(i, obs)
            try:
                self.reward[i] = reward
            except (TypeError, ValueError):
                raise EnvironmentContractError(
                    f"environment {i} gave the reward {reward!r}: a reward must be one number"
                ) from None
            self.terminated[i], self.truncated[i] = terminated, truncated
            self.resets[i] = terminated or truncated
        return self.obs, self.reward, self.terminated, self.truncated, NOTHING

    def store(self, i: int, obs: Any) -> None:
        """Copy environment i's observation, if it has the shape that its space declares."""
        if np.shape(obs) != self.obs.shape[1:]:
            raise EnvironmentContractError(
                f"environment {i} gave an observation of shape {np.shape(obs)}, but its observation space says "
                f"{self.obs.shape[1:]}: mend one of the two"
            )
        self.obs[i] = obs

    def render(self) -> tuple[Any, ...]:
        return tuple(env.render() for env in self.envs)

    def close_extras(self, **kwargs: Any) -> None:
        for env in self.envs:
            env.close()
