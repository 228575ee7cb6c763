"""An environment for worker processes, which import it from here: it ends episodes, keeps actions, and dies once."""

import os
import signal
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Dying(gymnasium.Env):
    """Observes (what was drawn at reset, the first number of the action of one step before, step in the episode).

    Episodes last 3 steps and end as ``ends`` says. In step ``dies_at`` of its first life it does ``how``; ``mark`` is
    there as soon as that has been.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, ends: str, dies_at: int = 0, mark: Path | None = None, how: str = "kill") -> None:
        self.ends, self.dies_at, self.mark, self.how, self.steps = ends, dies_at, mark, how, 0
        self.kept = np.zeros(2, np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.drawn, self.time = self.np_random.random(), 0
        return np.array([self.drawn, 0.0, 0.0]), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        if self.steps == self.dies_at and self.mark is not None and not self.mark.exists():
            self.mark.touch()
            if self.how == "raise":
                raise RuntimeError("worn out")
            os.kill(os.getpid(), signal.SIGKILL)
        before, self.kept = float(self.kept[0]), action  # not a copy: it must stay what it was
        self.time += 1
        over = self.time == 3
        ended = over and self.ends == "terminated", over and self.ends == "truncated"
        return np.array([self.drawn, before, self.time]), 1.0, *ended, {}
