"""Evaluation during training with action masks."""

from clipper.compat.sb3.common.eval_callback import EvalCallback

MaskableEvalCallback = EvalCallback
__all__ = ["MaskableEvalCallback"]
