"""Evaluation with action masks: as without them, since they are read wherever a model takes them."""

from clipper.compat.sb3.common.evaluation import evaluate_policy

__all__ = ["evaluate_policy"]
