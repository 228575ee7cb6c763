"""The masks of an environment, for programs that step it themselves."""

import gymnasium
import numpy as np

from clipper.compat.sb3.common.vec_env import VecEnv

EXPECTED_METHOD_NAME = "action_masks"


def get_action_masks(env: gymnasium.Env | VecEnv) -> np.ndarray:
    """``action_masks()`` of one environment, or of all as rows."""
    if isinstance(env, VecEnv):
        return np.stack(env.env_method(EXPECTED_METHOD_NAME))
    return env.get_wrapper_attr(EXPECTED_METHOD_NAME)()


def is_masking_supported(env: gymnasium.Env | VecEnv) -> bool:
    """Does it say which actions are legal?"""
    return env.has_attr(EXPECTED_METHOD_NAME) if isinstance(env, VecEnv) else env.has_wrapper_attr(EXPECTED_METHOD_NAME)
