"""The masks of an environment, for programs that step it themselves."""

import gymnasium
import numpy as np

from clipper.compat.sb3.common.vec_env import VecEnv


def get_action_masks(env: gymnasium.Env | VecEnv) -> np.ndarray:
    """``action_masks()`` of one environment, or of all as rows."""
    if isinstance(env, VecEnv):
        return np.stack(env.env_method("action_masks"))
    return env.get_wrapper_attr("action_masks")()


def is_masking_supported(env: gymnasium.Env | VecEnv) -> bool:
    """Does it say which actions are legal?"""
    one = env.envs[0] if isinstance(env, VecEnv) else env
    return one.has_wrapper_attr("action_masks")
