"""Where an environment keeps its action masks."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from gymnasium import Env
from gymnasium.vector import AsyncVectorEnv, VectorEnv

from clipper.data.trees import Tree, across
from clipper.environments.checks import MASK_KEYS, describe, failure, shown
from clipper.environments.told_episodes import Info
from clipper.errors import ClipperError, EnvironmentContractError
from clipper.spaces.action_masks import MaskError, action_masks

Source = Callable[[VectorEnv, Tree, Info, np.ndarray], Tree]
"""(environment, observations, info, which environments decide next) → masks, as ``clipper.spaces.action_masks`` takes
them."""


def mask_source(env: VectorEnv, obs: Tree, info: Info, mask_key: str = MASK_KEYS[0]) -> Source | None:
    """Where the masks are after a reset: ``info``, the observation ``mask_key``, or ``env.action_masks()``."""
    for key in MASK_KEYS:
        if key in info:
            return from_info(key)
    if mask_key and isinstance(obs, dict) and mask_key in obs:
        return partial(from_observation, mask_key)
    if isinstance(env.unwrapped, AsyncVectorEnv):
        return from_call if all(env.unwrapped.call("has_wrapper_attr", "action_masks")) else None
    envs = getattr(env.unwrapped, "envs", None)  # which may be anything: an attribute of the user's own
    first = envs[0] if isinstance(envs, list | tuple) and envs else None
    asked = isinstance(first, Env) and first.has_wrapper_attr("action_masks")
    if asked or callable(getattr(env.unwrapped, "action_masks", None)):
        return from_method
    return None


def from_observation(key: str, env: VectorEnv, obs: Tree, info: Info, needed: np.ndarray) -> Tree:
    """The part of the observation that says what is legal."""
    return obs[key]


def from_info(key: str) -> Source:
    """Masks at ``info[key]``, where ``info["_" + key]`` may say which environments gave one (Gymnasium's custom)."""

    def source(env: VectorEnv, obs: Tree, info: Info, needed: np.ndarray) -> Tree:
        present = info[f"_{key}"] if f"_{key}" in info else [key in info] * len(needed)
        if type(present) is not list or not all(present):
            missing = needed & ~np.asarray(present)
            if missing.any():
                raise MaskError(int(missing.argmax()), f"there is no info[{key!r}], though earlier there was")
        return info.get(key)

    return source


def from_method(env: VectorEnv, obs: Tree, info: Info, needed: np.ndarray) -> Tree:
    """``action_masks()`` of the vector environment, or of each environment, asked only where it decides."""
    own: Callable[[], Tree] | None = getattr(env.unwrapped, "action_masks", None)
    if own is not None:
        return own()
    envs: Sequence[Env] = getattr(env.unwrapped, "envs", ())
    return [one.get_wrapper_attr("action_masks")() if ask else None for one, ask in zip(envs, needed, strict=True)]


def from_call(env: VectorEnv, obs: Tree, info: Info, needed: np.ndarray) -> Tree:
    """``action_masks()`` of environments in other processes, which are asked all together."""
    assert isinstance(env.unwrapped, AsyncVectorEnv)
    masks = env.unwrapped.call("action_masks")
    return [mask if ask else None for mask, ask in zip(masks, needed, strict=True)]


def read_masks(
    source: Source, env: VectorEnv, obs: Tree, info: Info, needed: np.ndarray, steps: int, device: str | torch.device
) -> Tree:
    """The masks for the next actions; an error names environment, step and node."""
    try:
        given = source(env, obs, info, needed)
    except MaskError as error:
        raise misfit(env, steps, error, error.env) from error
    except ClipperError:
        raise
    except (Exception, SystemExit) as error:  # of the environment's own method
        raise failure(error, env, steps, "action_masks") from error
    try:
        return action_masks(env.single_action_space, given, env.num_envs, needed, device)
    except MaskError as error:
        raise misfit(env, steps, error, error.env) from error
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise misfit(env, steps, f"the masks are {shown(given)}, of another form than its actions ({error})") from error


def misfit(env: VectorEnv, steps: int, problem: object, which: int | None = None) -> EnvironmentContractError:
    """A mask that cannot be one, of a certain environment where that is known."""
    whose = describe(env) if which is None else f"environment {which} of {describe(env)}"
    return EnvironmentContractError(f"{whose}, after {steps} decisions in all: {problem}")


def masks_where_done(env: VectorEnv, done: np.ndarray, fresh: Info, before: Info) -> Info:
    """The masks of an ``info`` after some environments were reset (``done``): theirs from ``fresh``.

    All else that an info may hold, of whatever form, is left out: nothing reads it.
    """
    found = {}
    for key in [name for mask in MASK_KEYS for name in (mask, f"_{mask}") if name in fresh and name in before]:
        try:
            found[key] = where_done(done, fresh[key], before[key])
        except (TypeError, ValueError, LookupError) as error:
            raise EnvironmentContractError(
                f"{describe(env)} gave info[{key!r}] in another form than one entry for each environment: {error}"
            ) from None
    return found


def where_done(done: np.ndarray, fresh: Tree, before: Tree) -> Tree:
    """An entry of ``info`` after some environments were reset (``done``): theirs from ``fresh``."""
    if isinstance(before, dict | tuple):
        return across(lambda old, new: where_done(done, new, old), before, fresh)
    return [new if ended else old for ended, new, old in zip(done, fresh, before, strict=True)]
