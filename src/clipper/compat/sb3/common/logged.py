"""Models' numbers that change over a run, and the rows that they log."""

import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from clipper.compat.sb3.common.base_class import BaseAlgorithm
from clipper.compat.sb3.common.schedules import FloatSchedule
from clipper.compat.sb3.common.utils import safe_mean


class LoggedAlgorithm(BaseAlgorithm):
    """What models of both kinds do alike while they learn."""

    def begin(self, device: torch.device | str) -> None:
        super().begin(device)
        self._noted = dict[str, float]()

    def rate(self) -> float:
        """The learning rate now; assigning ``learning_rate`` counts."""
        if self.learning_rate is not self._rate_of:
            self._setup_lr_schedule()
        return max(self.lr_schedule(self._current_progress_remaining), 0.0)

    def _setup_lr_schedule(self) -> None:
        super()._setup_lr_schedule()
        self._rate_of = self.learning_rate

    def at(self, value: float | Callable[[float], float]) -> float:
        """A number, or a function of the fraction that is left, now.

        The last segment may end behind the last step that was asked for: the fraction is below 0 then, and numbers
        that follow it stop at 0.
        """
        return max(FloatSchedule(value)(self._current_progress_remaining), 0.0)

    def note_episodes(self, count: str, number: int) -> None:
        """Note returns, lengths and the pace, under ``time/`` and a ``count`` of what has passed, where that is any."""
        assert self.ep_info_buffer is not None
        assert self.ep_success_buffer is not None
        elapsed = max((time.time_ns() - self.start_time) / 1e9, sys.float_info.epsilon)
        fps = int((self.num_timesteps - self._num_timesteps_at_start) / elapsed)
        if number > 0:
            self.logger.record(f"time/{count}", number, exclude="tensorboard")
        if len(self.ep_info_buffer) > 0 and len(self.ep_info_buffer[0]) > 0:
            self.logger.record("rollout/ep_rew_mean", safe_mean([info["r"] for info in self.ep_info_buffer]))
            self.logger.record("rollout/ep_len_mean", safe_mean([info["l"] for info in self.ep_info_buffer]))
        self.logger.record("time/fps", fps)
        self.logger.record("time/time_elapsed", int(elapsed), exclude="tensorboard")
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        if len(self.ep_success_buffer) > 0:
            self.logger.record("rollout/success_rate", safe_mean(self.ep_success_buffer))

    def scalars(self) -> dict[str, float]:
        """What is noted and a number."""
        values = self.logger.name_to_value.items()
        return {name: float(x) for name, x in values if isinstance(x, int | float | np.number | np.bool_)}

    def remember(self, numbers: dict[str, float]) -> None:
        """A row for ``history``: Clipper's own names, and whatever was noted."""
        found = [info["r"] for info in self.ep_info_buffer or ()]
        row = {
            "iteration": len(self.history) + 1,
            "steps": self.num_timesteps,
            "episode/return": found[-1] if found else None,
        }
        noted, self._noted = self._noted | self.scalars(), {}
        self.history.append({**row, **numbers, **noted})  # pyright: ignore[reportArgumentType]
