"""Help with vectors of environments: their spaces, and what is wrapped around them."""

from collections import OrderedDict
from copy import deepcopy
from typing import TypeVar

import gymnasium
import numpy as np
from gymnasium.spaces import Dict, Tuple

from clipper.compat.sb3.common.vec_env.base_vec_env import VecEnv, VecEnvWrapper
from clipper.compat.sb3.common.vec_env.vec_normalize import VecNormalize
from clipper.data.tree_type import Tree

W = TypeVar("W", bound=VecEnvWrapper)


def dict_to_obs(obs_space: gymnasium.Space, obs_dict: dict[object, np.ndarray]) -> Tree:
    """Parts by their names → an observation as the space has it; a space without parts has one, named None."""
    if isinstance(obs_space, Dict):
        return obs_dict
    if isinstance(obs_space, Tuple):
        return tuple(obs_dict[i] for i in range(len(obs_space.spaces)))
    return obs_dict[None]


def obs_space_info(obs_space: gymnasium.Space) -> tuple[list, dict, dict]:
    """Names of a space's parts, with the shapes and dtypes of these."""
    if isinstance(obs_space, Dict):
        parts: dict = dict(obs_space.spaces)
    elif isinstance(obs_space, Tuple):
        parts = dict(enumerate(obs_space.spaces))
    else:
        parts = {None: obs_space}
    return list(parts), {k: x.shape for k, x in parts.items()}, {k: x.dtype for k, x in parts.items()}


def copy_obs_dict(obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A copy of each array."""
    return OrderedDict((key, np.copy(x)) for key, x in obs.items())


def unwrap_vec_wrapper(env: gymnasium.Env | VecEnv, vec_wrapper_class: type[W]) -> W | None:
    """The outermost such wrapper; None where there is none."""
    while isinstance(env, VecEnvWrapper):
        if isinstance(env, vec_wrapper_class):
            return env
        env = env.venv
    return None


def unwrap_vec_normalize(env: gymnasium.Env | VecEnv) -> VecNormalize | None:
    """The ``VecNormalize`` around it, if any."""
    return unwrap_vec_wrapper(env, VecNormalize)


def is_vecenv_wrapped(env: gymnasium.Env | VecEnv, vec_wrapper_class: type[VecEnvWrapper]) -> bool:
    """Is there such a wrapper?"""
    return unwrap_vec_wrapper(env, vec_wrapper_class) is not None


def sync_envs_normalization(env: VecEnv, eval_env: VecEnv) -> None:
    """Give every ``VecNormalize`` of ``eval_env`` the statistics of the one at the same place around ``env``."""
    while isinstance(env, VecEnvWrapper):
        assert isinstance(eval_env, VecEnvWrapper), (
            "the environments for training and for evaluation are not wrapped in the same way: "
            f"{type(env).__name__} is around one, and {type(eval_env).__name__} is the other"
        )
        if isinstance(env, VecNormalize):
            assert isinstance(eval_env, VecNormalize), (
                "VecNormalize is around one of the two alone, or in another place"
            )
            eval_env.ret_rms = deepcopy(env.ret_rms)
            if env.norm_obs:
                eval_env.obs_rms = deepcopy(env.obs_rms)
        env, eval_env = env.venv, eval_env.venv
