"""Evaluation during training with action masks."""

from clipper.compat.sb3.common.callbacks import EvalCallback

MaskableEvalCallback = EvalCallback
__all__ = ["MaskableEvalCallback"]
