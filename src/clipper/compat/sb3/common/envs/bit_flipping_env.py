"""Bits that are to become all ones, in the form of tasks with a goal."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary

from clipper.data.tree_type import Tree
from clipper.environments.told_episodes import Info


class BitFlippingEnv(gymnasium.Env):
    """An action flips a bit (``continuous``: each bit whose number is above 0); −1 for each step short of the goal."""

    spec = None

    def __init__(
        self, n_bits: int = 10, continuous: bool = False, max_steps: int | None = None,
        discrete_obs_space: bool = False, image_obs_space: bool = False, channel_first: bool = True,
        render_mode: str = "human",
    ) -> None:  # fmt: skip
        self.render_mode = render_mode
        self.image_shape = (1, 36, 36) if channel_first else (36, 36, 1)
        kind: gymnasium.Space = MultiBinary(n_bits)
        if discrete_obs_space:
            kind = Discrete(2**n_bits)
        elif image_obs_space:
            kind = Box(0, 255, self.image_shape, np.uint8)
        self.discrete_obs_space, self.image_obs_space = discrete_obs_space, image_obs_space
        names = ("observation", "achieved_goal", "desired_goal")
        self.observation_space = Dict(dict.fromkeys(names, kind))
        self.obs_space = MultiBinary(n_bits)
        self.action_space = Box(-1, 1, (n_bits,), np.float32) if continuous else Discrete(n_bits)
        self.continuous, self.max_steps, self.current_step = continuous, n_bits if max_steps is None else max_steps, 0
        self.state, self.desired_goal = np.zeros(n_bits, np.int8), np.ones(n_bits, np.int8)

    def convert_if_needed(self, state: np.ndarray) -> Tree:
        """Bits as the space has them."""
        if self.discrete_obs_space:
            return int(sum(int(bit) * 2**i for i, bit in enumerate(state)))
        if self.image_obs_space:
            flat = np.zeros(int(np.prod(self.image_shape)), np.uint8)
            flat[: len(state)] = np.where(state > 0, 255, 0)
            return flat.reshape(self.image_shape)
        return state.copy()

    def convert_to_bit_vector(self, state: Tree, batch_size: int) -> np.ndarray:
        """The inverse, for a batch."""
        n = len(self.state)
        if self.discrete_obs_space:
            numbers = np.asarray(state).reshape(batch_size, -1)
            return (numbers.astype(int) >> np.arange(n)) & 1
        if self.image_obs_space:
            return np.asarray(state).reshape(batch_size, -1)[:, :n] / 255
        return np.asarray(state).reshape(batch_size, -1)

    def _get_obs(self) -> dict[str, Tree]:
        seen, goal = self.convert_if_needed(self.state), self.convert_if_needed(self.desired_goal)
        return {"observation": seen, "achieved_goal": self.convert_if_needed(self.state), "desired_goal": goal}

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[dict[str, Tree], Info]:
        if seed is not None:
            self.obs_space.seed(seed)
        self.current_step, self.state = 0, self.obs_space.sample()
        return self._get_obs(), {}

    def step(self, action: Tree) -> tuple[dict[str, Tree], float, bool, bool, Info]:
        flipped = action > 0 if self.continuous else int(action)
        self.state[flipped] = 1 - self.state[flipped]
        obs = self._get_obs()
        reward = float(self.compute_reward(obs["achieved_goal"], obs["desired_goal"], None)[0])
        self.current_step += 1
        reached = reward == 0
        return obs, reward, reached, self.current_step >= self.max_steps, {"is_success": reached}

    def compute_reward(self, achieved_goal: Tree, desired_goal: Tree, _info: Info | None) -> np.ndarray:
        """0 where a goal is reached, −1 elsewhere."""
        lead = 1 if isinstance(achieved_goal, int) else achieved_goal.shape[0]
        single = isinstance(achieved_goal, int) or achieved_goal.shape == np.shape(self.convert_if_needed(self.state))
        n = 1 if single else lead
        achieved, desired = self.convert_to_bit_vector(achieved_goal, n), self.convert_to_bit_vector(desired_goal, n)
        return -(np.linalg.norm(achieved - desired, axis=-1) > 0).astype(np.float32)

    def render(self) -> np.ndarray | None:
        return self.state.copy() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Nothing is open."""
