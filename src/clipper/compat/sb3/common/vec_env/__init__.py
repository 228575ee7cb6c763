"""Several environments behind Stable-Baselines3's interface, and the wrappers around them."""

from clipper.compat.sb3 import public_names
from clipper.compat.sb3.common.vec_env.base_vec_env import CloudpickleWrapper, VecEnv, VecEnvWrapper
from clipper.compat.sb3.common.vec_env.dummy_vec_env import DummyVecEnv
from clipper.compat.sb3.common.vec_env.stacked_observations import StackedObservations
from clipper.compat.sb3.common.vec_env.subproc_vec_env import SubprocVecEnv
from clipper.compat.sb3.common.vec_env.util import (
    is_vecenv_wrapped,
    sync_envs_normalization,
    unwrap_vec_normalize,
    unwrap_vec_wrapper,
)
from clipper.compat.sb3.common.vec_env.vec_check_nan import VecCheckNan
from clipper.compat.sb3.common.vec_env.vec_extract_dict_obs import VecExtractDictObs
from clipper.compat.sb3.common.vec_env.vec_frame_stack import VecFrameStack
from clipper.compat.sb3.common.vec_env.vec_monitor import VecMonitor
from clipper.compat.sb3.common.vec_env.vec_normalize import VecNormalize
from clipper.compat.sb3.common.vec_env.vec_transpose import VecTransposeImage
from clipper.compat.sb3.common.vec_env.vec_video_recorder import VecVideoRecorder

__all__ = [
    "CloudpickleWrapper", "DummyVecEnv", "StackedObservations", "SubprocVecEnv", "VecCheckNan", "VecEnv",
    "VecEnvWrapper", "VecExtractDictObs", "VecFrameStack", "VecMonitor", "VecNormalize", "VecTransposeImage",
    "VecVideoRecorder", "is_vecenv_wrapped", "sync_envs_normalization", "unwrap_vec_normalize", "unwrap_vec_wrapper",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Names that are refused, in words, when they are used."""
    return public_names.resolve("common.vec_env", name)
