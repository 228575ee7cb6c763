"""What native tasks have in common as vector environments, whose copies step in a handful of array operations."""

from typing import Protocol, cast, runtime_checkable

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv


@runtime_checkable
class Drawn(Protocol):
    """Copies of a task: their state, ``[F, copies]``, and pictures of them."""

    state: np.ndarray

    def draw(self, i: int, /) -> np.ndarray:
        """A picture of copy i, ``[height, width, 3]`` bytes."""
        ...


class Copies(VectorEnv):
    """A vector environment of a task's copies, in next-step autoreset mode."""

    resets: np.ndarray
    """Which copies the next step resets."""

    def __init__(self, copies: int, fps: int, render_mode: str | None) -> None:
        self.copies, self.render_mode = copies, render_mode
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": fps,
            "autoreset_mode": AutoresetMode.NEXT_STEP,
        }
        self.resets = np.ones(copies, dtype=bool)

    def drawn(self) -> Drawn:
        """The task, which each class names more closely."""
        return cast(Drawn, getattr(self, "task"))  # noqa: B009

    def render(self) -> tuple[np.ndarray, ...]:
        """A picture of each copy."""
        return tuple(self.drawn().draw(i) for i in range(self.copies))

    def get_state(self) -> dict[str, np.ndarray]:
        """What the next step depends on, the generator ``np_random`` aside."""
        return {"state": self.drawn().state.copy(), "resets": self.resets.copy()}

    def set_state(self, tree: dict[str, np.ndarray]) -> None:
        """The inverse of ``get_state``."""
        self.drawn().state[:] = tree["state"]
        self.resets = tree["resets"].copy()
