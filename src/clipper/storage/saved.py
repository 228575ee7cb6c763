"""What a checkpoint holds, taken out entry by entry: of the type, shape and dtype that it should have."""

from collections.abc import Mapping
from typing import TypeVar, cast

from torch import Tensor

Kind = TypeVar("Kind")


def value_of(name: str, kind: type[Kind], values: Mapping[str, object]) -> Kind:
    """``values[name]``, if it is a ``kind``; an integer is a float, a truth value is no number."""
    given, wanted = values[name], (int, float) if kind is float else kind
    if not isinstance(given, wanted) or (isinstance(given, bool) and kind is not bool):
        raise TypeError(f"{name} is {given!r}, not of type {kind.__name__}")
    return cast(Kind, given)


def like(name: str, fresh: Tensor, tensors: dict[str, Tensor]) -> Tensor:
    """A copy of ``tensors[name]`` on the device of ``fresh``, if it has its shape and dtype.

    Tensors out of a file are not aligned as torch's own are, on which the last bits of matrix products may depend.
    """
    x = tensors[name]
    if (x.shape, x.dtype) != (fresh.shape, fresh.dtype):
        raise TypeError(f"{name} is {x.dtype} of shape {list(x.shape)}, not {fresh.dtype} of {list(fresh.shape)}")
    return x.clone().to(fresh.device)


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose name begins with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
