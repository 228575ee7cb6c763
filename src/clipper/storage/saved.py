"""What a checkpoint holds, taken out entry by entry: of the type, shape and dtype that it should have."""

import math
from collections.abc import Mapping
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from clipper.data.values import shown
from clipper.errors import ConfigError

Kind = TypeVar("Kind")


def value_of(name: str, kind: type[Kind], values: Mapping[str, object]) -> Kind:
    """``values[name]``, if it is a ``kind``; an integer is a float, a truth value is no number."""
    if name not in values:
        raise LookupError(f"it has no {name}")
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


def plain_state(given: object, whose: str) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and JSON of what somebody's ``state_dict`` gives, as copies; numpy's arrays and numbers become such.

    Raises ``ConfigError``, which names the entry, for what a file could not hold or would not give back.
    """
    if not isinstance(given, tuple) or len(given) != 2 or not all(isinstance(x, dict) for x in given):
        raise ConfigError(f"{whose} must return a dict of tensors and a dict of values, not {shown(given)}")
    tensors = {name: torch.from_numpy(x) if isinstance(x, np.ndarray) else x for name, x in given[0].items()}
    for name, x in tensors.items():
        if not isinstance(name, str) or not isinstance(x, Tensor):
            raise ConfigError(f"{whose} gives {name!r} as {shown(x)}, which is no tensor: put it among the values")
    values = {name: plain_json(x, f"{whose} gives {name!r}") for name, x in given[1].items()}
    if not isinstance(values.get("steps"), int):
        raise ConfigError(f"{whose} gives no steps: put {{'steps': self.steps}} among the values")
    return {name: x.detach().clone() for name, x in tensors.items()}, values


def plain_json(x: object, place: str) -> object:
    """What JSON gives back of ``x``; ``ConfigError`` where it cannot, as for NaN."""
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, dict) and all(isinstance(name, str) for name in x):
        return {name: plain_json(own, f"{place}, {name!r}") for name, own in x.items()}
    if isinstance(x, list | tuple):
        return [plain_json(own, f"{place}, {i}") for i, own in enumerate(x)]
    if x is None or isinstance(x, str | int) or (isinstance(x, float) and not math.isnan(x)):
        return x
    instead = "put it among the tensors" if isinstance(x, Tensor | np.ndarray) else "give a number, text, list or dict"
    raise ConfigError(f"{place} as {shown(x)}, which a checkpoint cannot hold there: {instead}")


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose name begins with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
