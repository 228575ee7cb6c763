"""Callbacks: what a program wants to happen while a model learns."""

from clipper.compat.sb3.common.callback_kinds import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    ConvertCallback,
    EventCallback,
    EveryNTimesteps,
    LogEveryNTimesteps,
    MaybeCallback,
    ProgressBarCallback,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
    one_callback,
)
from clipper.compat.sb3.common.eval_callback import EvalCallback

__all__ = [
    "BaseCallback", "CallbackList", "CheckpointCallback", "ConvertCallback", "EvalCallback", "EventCallback",
    "EveryNTimesteps", "LogEveryNTimesteps", "MaybeCallback", "ProgressBarCallback", "StopTrainingOnMaxEpisodes",
    "StopTrainingOnNoModelImprovement", "StopTrainingOnRewardThreshold", "one_callback",
]  # fmt: skip
