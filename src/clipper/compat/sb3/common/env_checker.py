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
        warn(f"observation {key} has an image's three dimensions, and numbers of {space.dtype}: images are np.uint8")
    if np.any(space.low != 0) or np.any(space.high != 255):
        warn(f"observation {key} has an image's three dimensions, and bounds other than 0 and 255")
    plane = space.shape[1:] if is_image_space_channels_first(space) else space.shape[:2]
    if min(plane) < SMALLEST_IMAGE:
        warn(
            f"CnnPolicy reads images from {SMALLEST_IMAGE} × {SMALLEST_IMAGE} on, and {key} has the shape {space.shape}"
        )


def check_choices(space: gymnasium.Space, words: str) -> None:
    """Warn of choices that do not begin at 0, or that lie in a table."""
    if isinstance(space, spaces.Discrete) and space.start != 0:
        warn(f"{words} {space}: Stable-Baselines3 takes a Discrete that starts at 0")
    if isinstance(space, spaces.MultiDiscrete):
        if np.any(space.start != 0):
            warn(f"{words} {space}: Stable-Baselines3 takes a MultiDiscrete that starts at 0")
        if space.nvec.ndim > 1:
            warn(f"{words} a MultiDiscrete of {space.nvec.ndim} dimensions: flatten it")


def check_obs_space(space: gymnasium.Space, key: str = "") -> None:
    """Warn of what a policy copes with badly."""
    check_choices(space, f"observation {key} is")
    if isinstance(space, spaces.Box):
        if len(space.shape) == 3:
            check_image(space, key)
        elif len(space.shape) not in (0, 1):
            warn(f"observation {key} has the shape {space.shape}, of no image and no vector: flatten it")


def check_action_space(space: gymnasium.Space) -> None:
    """Warn of what a policy copes with badly."""
    check_choices(space, "actions are")
    if isinstance(space, spaces.Dict | spaces.Tuple):
        warn("Stable-Baselines3 has no Dict or Tuple actions: clipper.train takes them")
    if not isinstance(space, spaces.Box):
        return
    if np.any(np.abs(space.low) != np.abs(space.high)) or np.any(space.low != -1) or np.any(space.high != 1):
        warn(f"actions lie in {space}: policies begin near 0 with a spread of 1, so bounds of -1 and 1 suit them best")
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
    told = [
        f"Expected: {space.low[place]} <= obs[{','.join(map(str, place))}] <= {space.high[place]}, "
        f"actual value: {obs[place]}"
        for place in map(tuple, wrong[:100].tolist())
    ]
    raise AssertionError(f"{where}Of {obs.size} numbers {len(wrong)} invalid indices:\n" + "\n".join(told))


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
            f"an environment with compute_reward shows {key}, and this one shows {', '.join(sorted(space.spaces))}"
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
    assert len(data) == 5, f"step returns obs, reward, terminated, truncated and info, and here {len(data)} values"
    obs, reward, terminated, truncated, info = data
    if sees:
        check_parts(obs, space, "step")
    assert isinstance(reward, float | int | np.floating | np.integer), f"a reward is a number, not {reward!r}"
    assert isinstance(terminated, bool | np.bool_), f"terminated is True or False, not {terminated!r}"
    assert isinstance(truncated, bool | np.bool_), f"truncated is True or False, not {truncated!r}"
    assert isinstance(info, dict), f"the infos of step are a dict, not {info!r}"


def check_render(env: gymnasium.Env) -> None:
    """Show it in each way that it says it has."""
    modes = env.metadata.get("render_modes")
    if modes is None:
        warn("env.metadata['render_modes'] does not say how the environment can be shown")
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
        assert hasattr(env, name), f"{type(env).__name__} has no {name}"
        assert isinstance(getattr(env, name), gymnasium.Space), (
            f"{name} is one of gymnasium.spaces, not {getattr(env, name)!r}"
        )
    space = env.observation_space
    with warnings.catch_warnings():
        if not warn:
            warnings.simplefilter("ignore")
        unknown = unsupported_within(space)
        for name in dict.fromkeys(unknown):
            warnings.warn(
                f"{name} observations are not supported, since no policy reads them: flatten, or pad", stacklevel=2
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
