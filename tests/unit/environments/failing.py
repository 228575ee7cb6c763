"""Environments for worker processes, which import them from here; one fails in every way that a process can."""

import importlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Failing(gymnasium.Env):
    """Observes (own number, life, step in the episode); pays 1 a step; episodes last 5 steps.

    ``folder`` counts its lives, over all processes. In step ``plan[life]``, counted over a life, it does ``how``.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, number: int, folder: Path, plan: dict[int, int] | None = None, how: str = "raise") -> None:
        self.number, self.how, self.calls = number, how, 0
        self.life = len(list(folder.glob(f"{number}-*")))
        (folder / f"{number}-{self.life}").touch()
        self.fails_at = (plan or {}).get(self.life, -1)
        if how == "construction" and plan is not None:
            os.kill(os.getpid(), signal.SIGKILL)

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        if self.how == "reset" and self.fails_at == 0:
            fail("kill")
        self.time = 0
        return self.observe(), {}

    def step(self, action):
        self.calls += 1
        if self.calls == self.fails_at:
            fail(self.how)
        self.time += 1
        return self.observe(), 1.0, False, self.time == 5, {}

    def observe(self) -> np.ndarray:
        return np.array([self.number, self.life, self.time], np.float32)


def fail(how: str) -> None:
    """Do it."""
    if how == "raise":
        raise RuntimeError("worn out")
    if how == "hang":
        time.sleep(3600)
    if how == "exit":
        os._exit(7)
    os.kill(os.getpid(), {"kill": signal.SIGKILL, "segfault": signal.SIGSEGV}[how])


class Choosing(gymnasium.Env):
    """Observes bytes; takes several choices at once; its state can be had."""

    observation_space = spaces.Box(0, 255, (2, 2), np.uint8)
    action_space = spaces.MultiDiscrete([3, 4])

    def __init__(self, number: int) -> None:
        self.memory = np.full((2, 2), number, np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        self.memory[0, 0] = self.np_random.integers(256)
        return self.memory, {}  # the same array each time

    def step(self, action):
        assert action.shape == (2,)
        self.kept = action
        self.memory[1] += action.astype(np.uint8)
        return self.memory, int(action[0]), bool(self.memory[1, 0] > 200), False, {}

    def get_state(self) -> Any:
        return self.memory

    def set_state(self, state: Any) -> None:
        self.memory[...] = state


class Telling(gymnasium.Env):
    """Observes whether torch was loaded when it was made, and then imports from Clipper as a user's module may."""

    observation_space = spaces.Box(0, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, module: str, name: str) -> None:
        before = "torch" in sys.modules
        imported = not module or hasattr(importlib.import_module(module), name)
        self.seen = np.array([before, imported], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None):
        return self.seen, {}
