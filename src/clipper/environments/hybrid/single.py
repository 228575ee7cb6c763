"""One copy of a task as a Gymnasium environment."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import gymnasium
import numpy as np

from clipper.data.tree_type import Tree
from clipper.environments.hybrid.actions import batch_actions
from clipper.environments.hybrid.task import Task
from clipper.environments.told_episodes import Info
from clipper.errors import MissingPackageError, install_command

if TYPE_CHECKING:
    import pygame

ONE = np.zeros(1, dtype=bool)


class Single(gymnasium.Env):
    """``task(1, **settings)`` with Gymnasium's interface for one environment; its limits are those of the task."""

    def __init__(self, task: Callable[..., Task], *, render_mode: str | None = None, **settings: object) -> None:
        self.task = task(1, **settings)
        self.render_mode = render_mode
        self.metadata = {"render_modes": ["rgb_array", "human"], "render_fps": self.task.fps}
        self.observation_space, self.action_space = self.task.single_observation_space, self.task.single_action_space
        self.window: tuple[pygame.Surface, pygame.time.Clock] | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[np.ndarray, Info]:
        super().reset(seed=seed, options=options)
        self.task.state[:] = self.task.begin(1, self.np_random)
        return self.look()

    def step(self, action: Tree) -> tuple[np.ndarray, float, bool, bool, Info]:
        batch = batch_actions(self.action_space, first_axis(action), 1)
        reward, terminated, truncated = self.task.step(batch, self.np_random, ONE)
        obs, info = self.look()
        return obs, float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def look(self) -> tuple[np.ndarray, Info]:
        """What the task shows and tells of its only copy."""
        if self.render_mode == "human":
            self.show()
        return self.task.observe()[0], {name: value[0] for name, value in self.task.info().items()}

    def render(self) -> np.ndarray | None:
        """The picture; None where a window shows it."""
        return self.task.draw(0) if self.render_mode == "rgb_array" else None

    def show(self) -> None:
        """Draw into the window, at the pace of ``render_fps``."""
        try:
            import pygame  # noqa: PLC0415 (optional)
        except ImportError as error:
            raise MissingPackageError(f"a window needs pygame: {install_command('play')}") from error
        picture = self.task.draw(0).swapaxes(0, 1)
        if self.window is None:
            pygame.display.init()
            self.window = pygame.display.set_mode(picture.shape[:2]), pygame.time.Clock()
        surface, clock = self.window
        pygame.event.pump()
        pygame.surfarray.blit_array(surface, picture)
        pygame.display.flip()
        clock.tick(self.metadata["render_fps"])

    def close(self) -> None:
        """Close the window, if there is one."""
        if self.window is not None:
            import pygame  # noqa: PLC0415 (optional)

            pygame.display.quit()
            self.window = None

    def get_state(self) -> dict[str, np.ndarray]:
        """What the next step depends on, the generator ``np_random`` aside."""
        return {"state": self.task.state.copy()}

    def set_state(self, tree: dict[str, np.ndarray]) -> None:
        """The inverse of ``get_state``."""
        self.task.state[:] = tree["state"]


def first_axis(action: Tree) -> Tree:
    """One action as a batch of one: pairs of a ``OneOf`` in a list, arrays with a leading axis."""
    if isinstance(action, tuple) and np.ndim(action[0]) == 0:
        return [action]
    if isinstance(action, tuple):
        return tuple(first_axis(part) for part in action)
    return np.asarray(action)[None]
