"""What an earlier part of an action tells the later ones: its value as numbers."""

from collections.abc import Callable, Iterable, Sequence
from functools import singledispatch
from typing import NamedTuple

import gymnasium
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Tuple
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from clipper.data.trees import Tree, each
from clipper.errors import UnsupportedSpaceError

FEW = 64  # more values than this are not listed


class Encoding(NamedTuple):
    """How later parts see samples of one part."""

    size: int
    of: Callable[[Tree], Float[Tensor, "*batch size"]]
    """Samples, each tensor ``[*batch, *event]`` → numbers."""
    values: Tensor | None = None
    """All samples there are, ``[K, *event]``; None where they are not few or no single tensor."""


@singledispatch
def encoding(space: gymnasium.Space) -> Encoding:
    """The encoding for an action space; extend with ``encoding.register``."""
    raise UnsupportedSpaceError(
        f"later parts of an action cannot be conditioned on {space}: register how its samples are encoded with "
        f"clipper.networks.heads.encodings.encoding.register({type(space).__name__})"
    )


@encoding.register
def _(space: Discrete) -> Encoding:
    n = int(space.n)
    return Encoding(n, lambda k: one_hot(k, n), torch.arange(n) if n <= FEW else None)


@encoding.register
def _(space: MultiDiscrete) -> Encoding:
    return several([int(n) for n in space.nvec.reshape(-1)])


@encoding.register
def _(space: MultiBinary) -> Encoding:
    return several([2] * int(torch.Size(space.shape).numel()))


def several(sizes: Sequence[int]) -> Encoding:
    """Of some choices at once: each one-hot."""
    most, count = max(sizes), int(torch.Size(sizes).numel())
    every = torch.cartesian_prod(*map(torch.arange, sizes)).reshape(count, -1) if count <= FEW else None
    return Encoding(len(sizes) * most, lambda x: one_hot(x, most).flatten(-2), every)


@encoding.register
def _(space: Box) -> Encoding:
    # As drawn; asinh leaves what lies around 0 as it is, and tames what an unbounded draw may be.
    return Encoding(int(torch.Size(space.shape).numel()), torch.asinh)


@encoding.register
def _(space: Dict) -> Encoding:
    parts = {key: encoding(part) for key, part in space.items()}
    return Encoding(numbers_in(parts.values()), lambda x: torch.cat([told(e, x[key]) for key, e in parts.items()], -1))


@encoding.register
def _(space: Tuple) -> Encoding:
    parts = [encoding(part) for part in space]
    return Encoding(numbers_in(parts), lambda x: torch.cat([told(*pair) for pair in zip(parts, x, strict=True)], -1))


@encoding.register
def _(space: OneOf) -> Encoding:
    branches = [encoding(branch) for branch in space.spaces]

    def of(action: tuple[Tensor, tuple[Tree, ...]]) -> Tensor:
        """The choice one-hot, and the arguments of each branch, 0 of those not chosen, whatever they hold."""
        choice, arguments = action
        chosen = one_hot(choice, len(branches)).bool()
        shown = [
            told(branch, each(lambda x, k=k: only(chosen[..., k], x), argument)).where(chosen[..., k, None], 0.0)
            for k, (branch, argument) in enumerate(zip(branches, arguments, strict=True))
        ]
        return torch.cat([chosen.to(shown[0].dtype), *shown], -1)

    return Encoding(len(branches) + numbers_in(branches), of)


def only(used: Tensor, x: Tensor) -> Tensor:
    """``x`` ``[*batch, *event]`` where it is used (``[*batch]``), 0 elsewhere."""
    return x.where(used.reshape(*used.shape, *(1,) * (x.ndim - used.ndim)), 0)


def told(part: Encoding, x: Tree) -> Tensor:
    """The part's numbers as floats."""
    y = part.of(x)
    return y if y.is_floating_point() else y.to(torch.get_default_dtype())


def numbers_in(parts: Iterable[Encoding]) -> int:
    """Numbers in all."""
    return sum(part.size for part in parts)
