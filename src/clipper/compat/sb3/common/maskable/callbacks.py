"""Evaluation during training with action masks."""

from clipper.compat.sb3.common.eval_callback import EvalCallback
from clipper.compat.sb3.common.maskable.utils import check_masking_supported

__all__ = ["MaskableEvalCallback"]


class MaskableEvalCallback(EvalCallback):
    """As EvalCallback; raises ``ConfigError`` for environments without masks, unless ``use_masking=False``."""

    def _init_callback(self) -> None:
        super()._init_callback()
        if self.use_masking:
            check_masking_supported(self.eval_env)
