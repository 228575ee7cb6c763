"""What decides the reward is not in the observation."""

from typing import SupportsInt

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.spaces import Box, Discrete
from gymnasium.wrappers import TimeLimit

from clipper.data.tree_type import Tree
from clipper.environments.ids import called
from clipper.environments.told_episodes import Info


class Visible(gymnasium.ObservationWrapper):
    """Shows only some ``components`` of an observation that is one array ``[F]``."""

    def __init__(self, env: gymnasium.Env, components: tuple[int, ...]) -> None:
        super().__init__(env)
        space, self.components = env.observation_space, list(components)
        assert isinstance(space, Box)
        low, high = space.low[self.components], space.high[self.components]
        self.observation_space = Box(low, high, dtype=space.dtype.type)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return observation[self.components]


def cart_pole(**kwargs: object) -> gymnasium.Env:
    """CartPole (Barto, Sutton & Anderson 1983) of which only cart position and pole angle are seen, no velocity.

    Episodes are truncated after 500 steps, as CartPole-v1's are.
    """
    return TimeLimit(Visible(called(CartPoleEnv, **kwargs), (0, 2)), 500)


class RepeatPrevious(gymnasium.Env):
    """Say which symbol was shown ``delay`` steps ago: aₜ = xₜ₋ₖ, with xₜ drawn uniformly from ``symbols`` of them.

    Each right answer pays 1 / (``length`` − k), so that a return is the fraction of right answers; the first k
    decisions pay nothing, and the episode terminates after ``length``. The observation is xₜ as 0s and one 1. Without a
    memory nothing beats guessing: 1 / ``symbols``. ``masked`` forbids one wrong answer in each step, drawn uniformly
    and given in ``info["action_mask"]``: guessing is then right in 1 / (``symbols`` − 1) of all steps.

    The task is that of POPGym (Morad et al. 2023, arXiv:2303.01859, "RepeatPrevious"), which draws from decks of cards
    without putting them back and punishes wrong answers.
    """

    def __init__(self, symbols: int = 4, delay: int = 3, length: int = 32, masked: bool = False) -> None:
        self.symbols, self.delay, self.length, self.masked = symbols, delay, length, masked
        self.observation_space = Box(0.0, 1.0, (symbols,), np.float32)
        self.action_space = Discrete(symbols)
        self.shown = np.zeros(length + 1, dtype=np.int64)
        self.forbidden, self.t = 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.shown, self.t = self.np_random.integers(self.symbols, size=self.length + 1), 0
        return self.show()

    def step(self, action: SupportsInt) -> tuple[np.ndarray, float, bool, bool, dict]:
        right = self.t >= self.delay and int(action) == self.shown[self.t - self.delay]
        self.t += 1
        obs, info = self.show()
        return obs, right / (self.length - self.delay), self.t == self.length, False, info

    def show(self) -> tuple[np.ndarray, Info]:
        """What is seen in this step."""
        obs = np.eye(self.symbols, dtype=np.float32)[self.shown[self.t]]
        if not self.masked:
            return obs, {}
        wanted = self.shown[self.t - self.delay] if self.t >= self.delay else 0
        self.forbidden = int((wanted + self.np_random.integers(1, self.symbols)) % self.symbols)
        return obs, {"action_mask": np.arange(self.symbols) != self.forbidden}

    def get_state(self) -> dict[str, object]:
        """What a resumed run needs beside the generator."""
        return {"shown": self.shown, "forbidden": self.forbidden, "t": self.t}

    def set_state(self, state: Tree) -> None:
        """The inverse."""
        if not (0 <= state["t"] <= self.length and ((state["shown"] >= 0) & (state["shown"] < self.symbols)).all()):
            raise ValueError(f"a step {state['t']} of {self.length}, or symbols beyond {self.symbols}")
        self.shown, self.forbidden, self.t = state["shown"].copy(), state["forbidden"], state["t"]
