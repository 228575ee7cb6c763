"""One environment, or several, as models learn in them."""

import gymnasium
from gymnasium.spaces import Box, Dict

from clipper.compat.monitor import made_of_id
from clipper.compat.sb3.common.env_util import is_wrapped
from clipper.compat.sb3.common.monitor import Monitor
from clipper.compat.sb3.common.preprocessing import (
    check_for_nested_spaces,
    is_image_space,
    is_image_space_channels_first,
)
from clipper.compat.sb3.common.vec_env import DummyVecEnv, VecEnv, VecTransposeImage, is_vecenv_wrapped
from clipper.errors import ConfigError


def maybe_make_env(env: gymnasium.Env | VecEnv | str, verbose: int) -> gymnasium.Env | VecEnv:
    """The environment of an id, which can be filmed where it can."""
    if not isinstance(env, str):
        return env
    if verbose >= 1:
        print(f"The environment is made of its id, {env}")  # noqa: T201 (as verbose asks)
    return made_of_id(env, {})


def wrap_env(env: gymnasium.Env | VecEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
    """One environment in a Monitor and as a vector; images with their channels first."""
    say = print if verbose >= 1 else lambda _: None
    if not isinstance(env, VecEnv):
        if not isinstance(env, gymnasium.Env):
            raise ConfigError(f"{env!r} is no environment here: give an id, a gymnasium.Env or what make_vec_env gives")
        single = env
        if monitor_wrapper and not is_wrapped(single, Monitor):
            say("A Monitor counts its episodes")
            single = Monitor(single)
        say("It becomes a DummyVecEnv of one")
        env = DummyVecEnv([lambda: single])
    check_for_nested_spaces(env.observation_space)
    if not is_vecenv_wrapped(env, VecTransposeImage):
        space = env.observation_space
        parts = space.spaces.values() if isinstance(space, Dict) else [space]
        images = [x for x in parts if is_image_space(x)]
        last = [x for x in images if isinstance(x, Box) and not is_image_space_channels_first(x)]
        if last and len(last) == len(images):
            say("A VecTransposeImage puts the channels of its images first")
            env = VecTransposeImage(env)
    return env
