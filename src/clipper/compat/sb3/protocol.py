"""A model as callbacks, evaluations and the loop between them see it."""

from collections import deque
from pathlib import Path
from typing import Protocol, runtime_checkable

from clipper.compat.sb3.common.logger import Logger
from clipper.compat.sb3.common.vec_env import VecEnv
from clipper.environments.told_episodes import Info
from clipper.networks.protocol import Policy
from clipper.settings.config import Config


@runtime_checkable
class LearningModel(Protocol):
    """All that these ask of a model, whatever its algorithm."""

    config: Config
    env: VecEnv | None
    logger: Logger
    num_timesteps: int
    ep_info_buffer: deque[Info]

    @property
    def policy(self) -> Policy:
        """The policy, a torch module."""
        ...

    def get_env(self) -> VecEnv | None:
        """The environments, to be stepped by hand."""
        ...

    def save(self, path: str | Path) -> None:
        """Write the model to a file."""
        ...

    def say(self, text: str) -> None:
        """Tell the user, where ``verbose`` asks for it."""
        ...
