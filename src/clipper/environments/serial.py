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

from clipper.environments.checks import describe
from clipper.errors import ClipperError, EnvironmentContractError, UnsupportedSpaceError

NOTHING: dict[str, Any] = {}


class Serial(VectorEnv):
    """N environments made by ``factories``. The arrays that ``step`` returns are reused by the next one."""

    def __init__(self, factories: Sequence[Callable[[], gymnasium.Env]]) -> None:
        self.envs = [factory() for factory in factories]
        first = self.envs[0]
        self.num_envs = len(self.envs)
        self.spec, self.render_mode = first.spec, first.render_mode
        if first.observation_space.shape is None or first.observation_space.dtype is None:
            raise UnsupportedSpaceError(
                f"observations of {first.observation_space} from {describe(self)} are not one array: flatten them with "
                "gymnasium.wrappers.FlattenObservation, or bring a vector environment of your own"
            )
        self.metadata = {**first.metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space, self.single_action_space = first.observation_space, first.action_space
        for i, env in enumerate(self.envs):
            if (env.observation_space, env.action_space) != (first.observation_space, first.action_space):
                raise EnvironmentContractError(
                    f"environment {i} has other spaces than environment 0: {env.observation_space}, {env.action_space} "
                    f"and {first.observation_space}, {first.action_space}"
                )
        self.observation_space = batch_space(first.observation_space, self.num_envs)
        self.action_space = batch_space(first.action_space, self.num_envs)
        self.shape = first.observation_space.shape
        self.obs = np.zeros((self.num_envs, *self.shape), first.observation_space.dtype)
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
            try:
                obs, _ = env.reset(seed=own, options=options)
            except Exception as error:
                error.add_note(f"raised by reset of {self.name(i)}")
                raise
            self.check(i, obs)
            self.obs[i] = obs
        self.resets[:] = False
        return self.obs, NOTHING

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step those whose episode goes on, reset the others."""
        i = 0
        try:
            for i, env in enumerate(self.envs):
                if self.resets[i]:
                    obs, _ = env.reset()
                    reward, terminated, truncated = 0.0, False, False
                else:
                    obs, reward, terminated, truncated, _ = env.step(actions[i])
                if type(obs) is not np.ndarray or obs.dtype is not self.obs.dtype or obs.shape != self.shape:
                    self.check(i, obs)
                self.obs[i] = obs
                self.reward[i] = reward if isinstance(reward, float) else self.one_number(i, reward)
                self.terminated[i], self.truncated[i] = terminated, truncated
                self.resets[i] = terminated or truncated
        except ClipperError:
            raise
        except Exception as error:
            error.add_note(f"raised by {'reset' if self.resets[i] else 'step'} of {self.name(i)}")
            raise
        return self.obs, self.reward, self.terminated, self.truncated, NOTHING

    def check(self, i: int, obs: Any) -> None:
        """Raise unless the observation's shape is right and its numbers can be kept."""
        if np.shape(obs) != self.shape:
            raise EnvironmentContractError(
                f"{self.name(i)} gave an observation of shape {np.shape(obs)}, but its observation space says "
                f"{self.shape}: mend one of the two"
            )
        dtype = np.asarray(obs).dtype
        if dtype.kind not in "biuf" or (dtype.kind == "f" and self.obs.dtype.kind != "f"):
            raise EnvironmentContractError(
                f"{self.name(i)} gave an observation of {dtype}, but its observation space says {self.obs.dtype}: mend "
                "one of the two"
            )

    def one_number(self, i: int, reward: Any) -> float:
        """A reward as a float, if it is one number."""
        if np.ndim(reward) == 0:
            try:
                return float(reward)
            except (TypeError, ValueError):
                pass
        raise EnvironmentContractError(f"{self.name(i)} gave the reward {reward!r}: a reward must be one number")

    def name(self, i: int) -> str:
        """Environment i, as an error calls it."""
        return f"environment {i} of {describe(self)}"

    def render(self) -> tuple[Any, ...]:
        return tuple(env.render() for env in self.envs)

    def close_extras(self, **kwargs: Any) -> None:
        for env in self.envs:
            env.close()
