"""The layout of a batch of observations, whose space may be a tree.

Arrays ``[N, …]`` stand at the leaves: of a Dict in a dict, of a Tuple in a tuple, nested as the space is. Apart from
``clipper.networks.encoders``, since worker processes need not load torch.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Dict, Discrete, MultiDiscrete, Tuple

from clipper.data.tree_type import Tree
from clipper.data.values import shown
from clipper.errors import ConfigError, NonFiniteError, SpaceMismatchError, UnsupportedSpaceError, text_of


class Leaf(NamedTuple):
    """A part of an observation that is one array."""

    path: tuple[str | int, ...]
    """Keys and indices that lead to it; empty where the observation is the array."""
    shape: tuple[int, ...]
    dtype: np.dtype
    least: np.ndarray | np.integer | None = None
    """The least value where these are choices, which networks look up; None where they are numbers."""
    most: np.ndarray | np.integer | None = None
    """The largest one."""

    @property
    def one_choice(self) -> tuple[int, int] | None:
        """The least and the largest value, where the part is a single choice."""
        return None if self.least is None or self.most is None or self.shape else (int(self.least), int(self.most))

    def of(self, obs: Tree) -> Tree:
        """The part of an observation; ``LookupError`` or ``TypeError`` where it has none."""
        for key in self.path:
            obs = obs[key]
        return obs


def observation_leaves(space: Space, path: tuple[str | int, ...] = ()) -> list[Leaf]:
    """The arrays that an observation consists of; raises ``UnsupportedSpaceError`` where a part is none."""
    if isinstance(space, Dict | Tuple):
        parts = space.items() if isinstance(space, Dict) else enumerate(space)
        leaves = [leaf for key, part in parts for leaf in observation_leaves(part, (*path, key))]
        if not leaves:
            raise UnsupportedSpaceError(
                f"observation{place(path)} is an empty {type(space).__name__}, which tells nothing"
            )
        return leaves
    if space.shape is None or space.dtype is None:
        raise UnsupportedSpaceError(
            f"observation{place(path)} is {space}, no array of one shape: Clipper reads Box, Discrete, MultiDiscrete, "
            "MultiBinary, and Dict or Tuple of them. Turn it into one of these with a gymnasium.ObservationWrapper"
            f"{left_out(path)}"
        )
    least = most = None
    if isinstance(space, Discrete | MultiDiscrete):
        least, most = space.start, space.start + (space.n if isinstance(space, Discrete) else space.nvec) - 1
    return [Leaf(path, space.shape, np.dtype(space.dtype), least, most)]


def place(path: Sequence[str | int]) -> str:
    """What errors add to the word "observation": ``['map'][0]``."""
    return "".join(f"[{key!r}]" for key in path)


def left_out(path: Sequence[str | int]) -> str:
    """How a part is left out, where that can be."""
    key = path[0] if len(path) == 1 and isinstance(path[0], str) else None
    return f", or leave it out: --ignore {key}, EncoderOptions(ignore=({key!r},))" if key else ""


def observation_tree(space: Space, arrays: Iterator[np.ndarray]) -> Tree:
    """The tree whose leaves are ``arrays``, in the order of ``observation_leaves``."""
    if isinstance(space, Dict):
        return {key: observation_tree(part, arrays) for key, part in space.items()}
    return tuple(observation_tree(part, arrays) for part in space) if isinstance(space, Tuple) else next(arrays)


def observation_batch(space: Space, obs: Tree) -> tuple[Tree, tuple[int, ...]]:
    """Observation(s) from outside as a tree of arrays, and the shape that leads at each leaf, ``()`` for a single one.

    Keys that the space lacks are left out. Raises ``SpaceMismatchError`` naming the part that is missing or of another
    shape,
    and ``NonFiniteError`` naming the part that holds NaN or infinity, also what is infinite as float32.
    """
    found: list[np.ndarray] = []
    lead: tuple[int, ...] | None = None
    if is_answer(space, obs):
        write = "obs, info = env.reset()" if len(obs) == 2 else "obs, reward, terminated, truncated, info = env.step(…)"
        raise ConfigError(f"this is all that the environment gave, and the policy reads the observation: write {write}")
    for leaf in observation_leaves(space):
        try:
            part = leaf.of(obs)
        except (LookupError, TypeError) as error:
            raise SpaceMismatchError(
                f"the observation has no part {place(leaf.path)}, which the policy reads"
            ) from error
        x = numbers_of(part, f"observation{place(leaf.path)}")
        here = x.shape[: x.ndim - len(leaf.shape)]
        if x.shape[len(here) :] != leaf.shape:
            raise SpaceMismatchError(
                f"observation{place(leaf.path)} of shape {x.shape}, but the policy reads {leaf.shape} or a batch of it"
            )
        lead = here if lead is None else lead
        if here != lead:
            raise SpaceMismatchError(
                f"observation{place(leaf.path)} is a batch of {here}, but another part is one of {lead}: all parts "
                "need the same"
            )
        if x.dtype.kind == "f" and not (np.abs(x) <= np.finfo(np.float32).max).all():
            bad = x[~(np.abs(x) <= np.finfo(np.float32).max)].flat[0]
            raise NonFiniteError(
                f"observation{place(leaf.path)} holds {bad}: an action can be chosen for numbers up to 3.4e38 only"
            )
        if leaf.least is not None and not ((x == np.rint(x)) & (leaf.least <= x) & (x <= leaf.most)).all():
            raise SpaceMismatchError(
                f"observation{place(leaf.path)} is {shown(part)}, but the policy reads whole numbers from {leaf.least} "
                f"to {leaf.most}"
            )
        found.append(x)
    return observation_tree(space, iter(found)), lead or ()


NUMBERS = "biuf"  # the kinds of dtype whose values are numbers: truth values, integers, floating-point numbers


def numbers_of(given: object, what: str) -> np.ndarray:
    """Something from outside as an array of numbers; raises ``SpaceMismatchError`` where it is none."""
    try:
        detach = getattr(given, "detach", None)  # of a tensor, which may be part of a gradient
        x = np.asarray(detach() if callable(detach) else given)
    except Exception as error:  # whatever somebody's own kind of array may raise
        raise SpaceMismatchError(f"{what} is no array of one shape: {text_of(error)}") from error
    if x.dtype.kind not in NUMBERS:
        raise SpaceMismatchError(f"{what} is {shown(given)}, of {x.dtype}, and numbers are wanted")
    return x


def is_answer(space: Space, obs: Tree) -> bool:
    """Is it what an environment's ``reset`` or ``step`` gives, the info last, and not an observation?"""
    if not isinstance(obs, tuple) or len(obs) not in (2, 5) or not isinstance(obs[-1], dict):
        return False
    return not (isinstance(space, Tuple) and len(space) == len(obs) and isinstance(space[-1], Dict))
