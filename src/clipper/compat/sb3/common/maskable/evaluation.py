"""Evaluation with action masks: as without them, since Clipper reads masks wherever there are some."""

from clipper.compat.sb3.common.evaluation import evaluate_policy

__all__ = ["evaluate_policy"]
