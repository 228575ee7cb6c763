"""``check_env``: is this an environment as Gymnasium and Stable-Baselines3 want it?"""

import warnings

import gymnasium
import numpy as np
from gymnasium import spaces

from clipper.compat.sb3.common.preprocessing import check_for_nested_spaces, is_image_space_channels_first
from clipper.compat.sb3.common.vec_env import DummyVecEnv, VecCheckNan
from clipper.data.tree_type import Tree
from clipper.errors import ConfigError

UNKNOWN = {
    "Tuple": spaces.Tuple,
    "Sequence": spaces.Sequence,
    "Graph": spaces.Graph,
    "OneOf": spaces.OneOf,
    "Text": spaces.Text,
}
"""Kinds of observation spaces for which there is no policy."""
SMALLEST_IMAGE = 36


def warn(text: str) -> None:
    """To who called ``check_env``."""
    warnings.warn(text, UserWarning, stacklevel=4)


def unsupported_within(space: gymnasium.Space) -> list[str]:
    """Names of kinds without a policy, in a space and its parts."""
    found = [name for name, kind in UNKNOWN.items() if isinstance(space, kind)]
    parts: Tree = ()
    if isinstance(space, spaces.Dict):
        parts = space.spaces.values()
    elif isinstance(space, spaces.Tuple | spaces.OneOf):
        parts = space.spaces
    return found + [name for part in parts for name in unsupported_within(part)]


def check_image(space: spaces.Box, key: str) -> None:
    """Warn of images that are none, or too small."""
    if space.dtype != np.uint8:
        warn(f"Your observation {key} looks like an image but the `dtype` is {space.dtype}, not np.uint8")
    if np.any(space.low != 0) or np.any(space.high != 255):
        warn(f"Your observation space {key} looks like an image but the upper and lower bounds are not in [0, 255]")
    plane = space.shape[1:] if is_image_space_channels_first(space) else space.shape[:2]
    if min(plane) < SMALLEST_IMAGE:
        warn(
            f"The minimal resolution for an image is {SMALLEST_IMAGE}x{SMALLEST_IMAGE} "
            f"for CnnPolicy: {key} is {space.shape}"
        )


def check_obs_space(space: gymnasium.Space, key: str = "") -> None:
    """Warn of what a policy copes with badly."""
    if isinstance(space, spaces.Discrete) and space.start != 0:
        warn(f"Discrete observation space {key} with a non-zero start is not supported by Stable-Baselines3")
    if isinstance(space, spaces.MultiDiscrete):
        if np.any(space.start != 0):
            warn(f"MultiDiscrete observation space {key} with a non-zero start is not supported by Stable-Baselines3")
        if space.nvec.ndim > 1:
            warn(f"The MultiDiscrete observation space {key} uses a multidimensional array, which is not supported")
    if isinstance(space, spaces.Box):
        if len(space.shape) == 3:
            check_image(space, key)
        elif len(space.shape) not in (0, 1):
            warn(f"Your observation {key} has an unconventional shape (neither an image, nor a 1D vector): flatten it")


def check_action_space(space: gymnasium.Space) -> None:
    """Warn of what a policy copes with badly."""
    if isinstance(space, spaces.Discrete) and space.start != 0:
        warn("Discrete action space with a non-zero start is not supported by Stable-Baselines3")
    if isinstance(space, spaces.MultiDiscrete):
        if np.any(space.start != 0):
            warn("MultiDiscrete action space with a non-zero start is not supported by Stable-Baselines3")
        if space.nvec.ndim > 1:
            warn("The MultiDiscrete action space uses a multidimensional array, which is not supported: flatten it")
    if isinstance(space, spaces.Dict | spaces.Tuple):
        warn("The action space is not based off a numpy array: Stable-Baselines3 has no Dict or Tuple actions")
    if not isinstance(space, spaces.Box):
        return
    if np.any(np.abs(space.low) != np.abs(space.high)) or np.any(space.low != -1) or np.any(space.high != 1):
        warn("We recommend you to use a symmetric and normalized Box action space (range=[-1, 1]): rescale the actions")
    if not np.all(np.isfinite(space.low) & np.isfinite(space.high)):
        warn(f"The action space {space} has an infinite bound")
    assert np.all(np.isfinite(space.low) & np.isfinite(space.high)), (
        f"the bounds of the actions, {space}, must be finite"
    )
    if space.dtype != np.dtype(np.float32):
        warn(f"actions are of {space.dtype}; np.float32 needs no conversion")


def check_obs(obs: Tree, space: gymnasium.Space, method: str) -> None:
    """Raise ``AssertionError`` for an observation that is not of its space."""
    where = f"what {method}() returns is no observation of {space}. "
    if not isinstance(space, spaces.Tuple | spaces.Sequence | spaces.OneOf):
        assert not isinstance(obs, tuple), (
            f"an observation of {space} is one value, and {method}() returns a tuple of {len(obs)}"
        )
    if isinstance(space, spaces.Discrete):
        assert np.ndim(obs) == 0, f"{where}It must be a whole number"
    elif isinstance(space, spaces.Box | spaces.MultiBinary | spaces.MultiDiscrete):
        assert isinstance(obs, np.ndarray), f"{where}It must be an array of numpy"
        assert obs.shape == space.shape, f"{where}Expected: {space.shape}, actual shape: {obs.shape}"
        assert np.can_cast(obs.dtype, space.dtype), f"{where}Expected: {space.dtype}, actual dtype: {obs.dtype}"
        if isinstance(space, spaces.Box):
            check_bounds(obs, space, where)
    given: Tree = obs
    assert space.contains(given), where


def check_bounds(obs: np.ndarray, space: spaces.Box, where: str) -> None:
    """Raise ``AssertionError`` that names the numbers outside, up to a hundred."""
    wrong = np.argwhere(~((space.low <= obs) & (obs <= space.high)))
    if not len(wrong):
        return
    many = f"{len(wrong)} invalid indices:\n" if len(wrong) > 1 else ""
    told = [
        f"Expected: {space.low[place]} <= obs[{','.join(map(str, place))}] <= {space.high[place]}, "
        f"actual value: {obs[place]}"
        for place in map(tuple, wrong[:100].tolist())
    ]
    raise AssertionError(f"{where}{many}" + "\n".join(told))


def check_parts(obs: Tree, space: gymnasium.Space, method: str) -> None:
    """A Dict by its keys; the key is named in the error."""
    if not isinstance(space, spaces.Dict):
        check_obs(obs, space, method)
        return
    assert isinstance(obs, dict), f"{method}() must return a dict of the parts of {space}"
    assert obs.keys() == space.spaces.keys(), (
        f"{method}() returns an observation with the keys {sorted(obs)}, and its space has {sorted(space.spaces)}"
    )
    for key, part in space.spaces.items():
        try:
            check_obs(obs[key], part, method)
        except AssertionError as error:
            raise AssertionError(f"Error while checking key={key}: {error}") from error


def check_goals(env: gymnasium.Env, space: spaces.Dict) -> None:
    """Raise ``AssertionError`` where an environment with ``compute_reward`` lacks a part."""
    for key in ("observation", "achieved_goal", "desired_goal"):
        assert key in space.spaces, (
            f"The observation returned by the `reset()` of a GoalEnv must contain {key}: it has {sorted(space.spaces)}"
        )


def check_reset(env: gymnasium.Env, space: gymnasium.Space, sees: bool) -> None:
    """Reset, and look at what came."""
    try:
        found = env.reset(seed=0)
    except TypeError as error:
        raise TypeError("reset takes no seed: def reset(self, *, seed=None, options=None)") from error
    assert isinstance(found, tuple), f"reset returns the pair (obs, info), and here {found!r}"
    assert len(found) == 2, f"reset returns the pair (obs, info), and here {len(found)} things"
    obs, info = found
    assert isinstance(info, dict), f"the infos of reset are a dict, not {info!r}"
    if sees:
        check_parts(obs, space, "reset")


def check_step(env: gymnasium.Env, space: gymnasium.Space, sees: bool) -> None:
    """Step once, and look at what came."""
    data = env.step(env.action_space.sample())
    assert len(data) == 5, (
        f"`step()` must return five values: obs, reward, terminated, truncated, info, not {len(data)}"
    )
    obs, reward, terminated, truncated, info = data
    if sees:
        check_parts(obs, space, "step")
    assert isinstance(reward, float | int | np.floating | np.integer), (
        f"The reward returned by `step()` must be a float, not {type(reward)}"
    )
    assert isinstance(terminated, bool | np.bool_), f"terminated is True or False, not {terminated!r}"
    assert isinstance(truncated, bool | np.bool_), f"truncated is True or False, not {truncated!r}"
    assert isinstance(info, dict), f"the infos of step are a dict, not {info!r}"


def check_render(env: gymnasium.Env) -> None:
    """Show it in each way that it says it has."""
    modes = env.metadata.get("render_modes")
    if modes is None:
        warn("No render modes was declared in the environment: env.metadata['render_modes'] is None or not defined")
        return
    if env.render_mode and env.spec:
        assert env.render_mode in modes, f"render_mode={env.render_mode!r} is none of {modes}"
    if env.render_mode:
        env.render()


def check_env(env: gymnasium.Env, warn: bool = True, skip_render_check: bool = True) -> None:
    """Raise ``AssertionError`` for a broken interface, and warn of what policies cope with badly."""
    if not isinstance(env, gymnasium.Env):
        raise ConfigError(f"check_env takes a gymnasium.Env, not {type(env).__name__}")
    for name in ("observation_space", "action_space"):
        assert hasattr(env, name), f"You must specify a {name.replace('_', ' ')}"
        assert isinstance(getattr(env, name), gymnasium.Space), (
            f"The {name.replace('_', ' ')} must inherit from gymnasium.spaces"
        )
    space = env.observation_space
    with warnings.catch_warnings():
        if not warn:
            warnings.simplefilter("ignore")
        unknown = unsupported_within(space)
        for name in dict.fromkeys(unknown):
            warnings.warn(
                f"{name} observation space is not supported by Stable-Baselines3: flatten it, or pad it", stacklevel=2
            )
        nested = False
        try:
            check_for_nested_spaces(space)
        except NotImplementedError as error:
            nested = True
            warnings.warn(str(error), stacklevel=2)
        parts = space.spaces.items() if isinstance(space, spaces.Dict) else [("", space)]
        for key, part in parts:
            check_obs_space(part, key)
        check_action_space(env.action_space)
    odd = not isinstance(env.action_space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary)
    if isinstance(space, spaces.Dict) and hasattr(env, "compute_reward"):
        check_goals(env, space)
    sees = not (unknown or nested)
    check_reset(env, space, sees)
    if not odd:
        check_step(env, space, sees)
    if not skip_render_check:
        check_render(env)
    if sees and not odd and not isinstance(space, spaces.Dict):
        check_finite(env)


def check_finite(env: gymnasium.Env) -> None:
    """Raise ``ValueError`` for NaN and infinity in ten steps."""
    vector = VecCheckNan(DummyVecEnv([lambda: env]), raise_exception=True)
    for _ in range(10):
        vector.reset()
        action = env.action_space.sample()
        vector.step(np.array([action]))
