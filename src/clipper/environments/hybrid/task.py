"""What a task is: N copies of one environment as arrays, with neither seeds nor resets of its own.

``Native`` makes a vector environment of it, ``Single`` an environment with one copy.
"""

from typing import ClassVar, Protocol, runtime_checkable

import gymnasium
import numpy as np

from clipper.data.tree_type import Tree


@runtime_checkable
class Task(Protocol):
    """N copies of an environment side by side."""

    single_observation_space: gymnasium.spaces.Box
    """Of one copy."""
    single_action_space: gymnasium.Space
    """Of one copy."""
    state: np.ndarray
    """All that changes, ``[F, N]``: one row for each quantity."""
    fps: ClassVar[int]
    """Decisions per second when watched."""

    def begin(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """States ``[F, count]`` in which episodes begin."""
        ...

    def step(
        self, action: Tree, generator: np.random.Generator, over: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One decision of each copy: reward, terminated and truncated, ``[N]`` each.

        ``action`` holds one array per leaf, leading with ``[N]``; of a ``OneOf``, the choices and a tuple of each
        branch's arguments. Copies that are ``over`` are reset after this, so what happens to them is of no matter.
        """
        ...

    def observe(self) -> np.ndarray:
        """Observations ``[N, ...]``, in an array of their own."""
        ...

    def info(self) -> dict[str, np.ndarray]:
        """What else is reported, by name, ``[N, ...]`` each."""
        ...

    def draw(self, i: int) -> np.ndarray:
        """A picture of copy i, ``[height, width, 3]`` bytes."""
        ...
