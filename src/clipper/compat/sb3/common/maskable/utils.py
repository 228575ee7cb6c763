"""The masks of an environment, for programs that step it themselves."""

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete, MultiBinary, MultiDiscrete

from clipper.compat.sb3.common.vec_env import VecEnv
from clipper.data.values import shown
from clipper.errors import ConfigError
from clipper.spaces.observations import NUMBERS

EXPECTED_METHOD_NAME = "action_masks"


def get_action_masks(env: gymnasium.Env | VecEnv) -> np.ndarray:
    """``action_masks()`` of one environment, or of all as rows."""
    if isinstance(env, VecEnv):
        return np.stack(env.env_method(EXPECTED_METHOD_NAME))
    return env.get_wrapper_attr(EXPECTED_METHOD_NAME)()


def is_masking_supported(env: gymnasium.Env | VecEnv) -> bool:
    """Does it say which actions are legal?"""
    return env.has_attr(EXPECTED_METHOD_NAME) if isinstance(env, VecEnv) else env.has_wrapper_attr(EXPECTED_METHOD_NAME)


def flags_of(masks: object) -> np.ndarray:
    """Masks as truth values; raises ``ConfigError`` where they are none: NaN would count as legal, as texts would."""
    found = np.asarray(masks)
    if found.dtype.kind not in NUMBERS or not np.isfinite(found).all():
        raise ConfigError(f"action_masks gave {shown(masks)}: True or False is wanted for each choice")
    return found.astype(bool)


def check_masking_supported(env: gymnasium.Env | VecEnv) -> None:
    """Raise ``ConfigError`` where it does not."""
    if not is_masking_supported(env):
        raise ConfigError("the environment has no action_masks: wrap it in ActionMasker, or say use_masking=False")


def check_legal(masks: np.ndarray, space: gymnasium.Space) -> None:
    """Raise ``ConfigError`` where a mask ``[N, choices]`` leaves nothing to choose from, or has another size."""
    if isinstance(space, MultiDiscrete):
        sizes = [int(n) for n in space.nvec.flatten()]
    elif isinstance(space, MultiBinary):
        sizes = [2] * int(np.prod(space.n))
    else:
        sizes = [int(space.n)] if isinstance(space, Discrete) else []
    if masks.shape[-1] != sum(sizes):
        raise ConfigError(f"action_masks gave {masks.shape[-1]} flags: {space} needs {sum(sizes)}, one for each choice")
    for part in np.split(masks, np.cumsum(sizes)[:-1], axis=-1):
        empty = np.flatnonzero(~part.any(-1))
        if len(empty):
            raise ConfigError(
                f"action_masks of environment {empty[0]} allows no action: one at least must be True, also where an "
                "episode ends"
            )
