"""Gymnasium space → action head, which mirrors it; ``clipper.spaces.actions`` says how a batch of actions lies."""

from functools import singledispatch

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Tuple
from torch import Generator

from clipper.errors import UnsupportedSpaceError
from clipper.networks.heads import (
    AutoregressiveHead,
    Binned,
    BinnedHead,
    CategoricalHead,
    Head,
    HeadOptions,
    MultiCategoricalHead,
    OneOfHead,
    ProductHead,
    Scores,
    ScoresHead,
)
from clipper.networks.heads.binned import values_of

MOST_CHOICES = 100_000
"""In one action: each decision has a logit for each of them, and an update holds those of a whole minibatch."""


def check_choices(space: Space, number: int) -> None:
    """Raise ``UnsupportedSpaceError`` before a network is made that would take minutes and gigabytes."""
    if number > MOST_CHOICES:
        raise UnsupportedSpaceError(
            f"no action head for {space}: a network would have to weigh {number:,} choices at every decision, and the "
            f"most are {MOST_CHOICES:,}; make an action of several parts, MultiDiscrete or Tuple, each with fewer"
        )


def check_parts(space: Dict | Tuple) -> None:
    """Raise ``UnsupportedSpaceError`` where there is nothing to decide."""
    if not len(space):
        raise UnsupportedSpaceError(f"no action head for {space}: it has no part, so that nothing can be decided")


@singledispatch
def make_head(space: Space, features: int, options: HeadOptions, generator: Generator) -> Head:
    """The head for an action space; extend with ``make_head.register``.

    Raises ``UnsupportedSpaceError`` for spaces that have none.
    """
    raise UnsupportedSpaceError(
        f"no action head for {space}: Clipper has heads for Box, Discrete, MultiDiscrete, MultiBinary, Dict, Tuple and "
        f"OneOf; register your own with clipper.networks.heads.make_head.make_head.register({type(space).__name__})"
    )


@make_head.register
def _(space: Discrete, features: int, options: HeadOptions, generator: Generator) -> Head:
    check_choices(space, int(space.n))
    return CategoricalHead(int(space.n), int(space.start), features, options.action_gain, generator)


@make_head.register
def _(space: MultiDiscrete, features: int, options: HeadOptions, generator: Generator) -> Head:
    check_choices(space, space.nvec.size * int(space.nvec.max()))
    start = np.broadcast_to(space.start, space.nvec.shape)
    return MultiCategoricalHead(space.nvec, start, space.dtype, features, options.action_gain, generator)


@make_head.register
def _(space: MultiBinary, features: int, options: HeadOptions, generator: Generator) -> Head:
    start = np.zeros(space.shape, dtype=np.int64)
    return MultiCategoricalHead(start + 2, start, space.dtype, features, options.action_gain, generator)


@make_head.register
def _(space: Box, features: int, options: HeadOptions, generator: Generator) -> Head:
    if 0 in space.shape:
        raise UnsupportedSpaceError(f"no action head for {space}: it holds no number")
    if not np.issubdtype(space.dtype, np.floating) and not isinstance(options.distribution, Binned):
        return BinnedHead(space, values_of(space), features, options.action_gain, generator)
    return options.distribution.box_head(
        space, features, generator, gain=options.action_gain, std=options.std, initial_log_std=options.initial_log_std,
        rescale=options.rescale_action,
    )  # fmt: skip


@make_head.register
def _(space: Dict, features: int, options: HeadOptions, generator: Generator) -> Head:
    check_parts(space)
    parts = {key: make_head(part, features, options, generator) for key, part in space.items()}
    if options.autoregressive:
        return AutoregressiveHead(parts, dict(space.items()), features, options, generator)
    return ProductHead(parts)


@make_head.register
def _(space: Tuple, features: int, options: HeadOptions, generator: Generator) -> Head:
    check_parts(space)
    parts = tuple(make_head(part, features, options, generator) for part in space)
    if options.autoregressive:
        return AutoregressiveHead(parts, tuple(space), features, options, generator)
    return ProductHead(parts)


@make_head.register
def _(space: OneOf, features: int, options: HeadOptions, generator: Generator) -> Head:
    if isinstance(options.one_of, Scores):
        return ScoresHead(space, features, options.action_gain, options.one_of.noise, generator)
    choice = CategoricalHead(len(space.spaces), 0, features, options.action_gain, generator)
    return OneOfHead(choice, tuple(make_head(branch, features, options, generator) for branch in space.spaces))
