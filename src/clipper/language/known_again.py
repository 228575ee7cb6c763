"""By what a reward is known again when a run goes on: its name, its settings, its weights."""

import dataclasses
import functools
import hashlib
import inspect
import json
import types
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn

from clipper.data.trees import Tree
from clipper.language.models import digest
from clipper.settings.config_json import is_own

DEEPEST = 20
LIBRARIES = ("tokenizers", "transformers")


def fingerprint(given: object) -> str:
    """SHA-256 of what is known of a function or an object: names, attributes, what a closure holds, weights.

    Where it is the same, the reward may still differ in its code, or in what it reads from elsewhere.
    """
    text = json.dumps(told(given, {}), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


Below = Callable[[object], Tree]
"""What tells of a part."""


def told(x: object, seen: dict[int, object], depth: int = 0) -> Tree:
    """As JSON; of what was ``seen`` already, or lies too deep, the class alone. Names of modules do not count."""
    if x is None or isinstance(x, bool | int | float | str | bytes):
        return repr(x)
    if depth > DEEPEST or id(x) in seen:
        return type(x).__qualname__

    def below(inner: object) -> Tree:
        return told(inner, seen, depth + 1)

    if isinstance(x, torch.Tensor | np.ndarray | np.generic):
        array = x.detach().cpu().to(torch.float64).numpy() if isinstance(x, torch.Tensor) else np.ascontiguousarray(x)
        return [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
    if isinstance(x, Mapping | list | tuple | set | frozenset):
        return of_container(x, below)
    seen[id(x)] = x  # kept, so that nothing else gets its id
    return of_callable(x, below) if callable(x) and not is_followed(x) else of_object(x, below)


def of_container(x: Mapping | list | tuple | set | frozenset, below: Below) -> Tree:
    """Its entries; a set's in an order of their own."""
    if isinstance(x, Mapping):
        return [[below(k), below(v)] for k, v in x.items()]
    return sorted(json.dumps(below(inner)) for inner in x) if isinstance(x, set | frozenset) else [*map(below, x)]


def of_callable(x: Callable[..., object], below: Below) -> Tree:
    """A network's weights; a function's name, what it holds, and whose method it is."""
    if isinstance(x, nn.Module):
        return [type(x).__qualname__, digest(x)]
    if isinstance(x, functools.partial):
        return ["partial", below(x.func), below(x.args), below(x.keywords)]
    if inspect.ismethod(x):
        return [x.__func__.__qualname__, below(x.__self__)]
    if inspect.isfunction(x):
        held = inspect.getclosurevars(x).nonlocals
        return [x.__qualname__, below(x.__defaults__), below(x.__kwdefaults__), below(held)]
    return getattr(x, "__qualname__", type(x).__qualname__)


def of_object(x: object, below: Below) -> Tree:
    """The class, and its attributes where the user has written it."""
    if not is_followed(x):
        return type(x).__qualname__
    names = [f.name for f in dataclasses.fields(x)] if dataclasses.is_dataclass(x) else vars(x)
    return [type(x).__qualname__, {name: below(getattr(x, name)) for name in names}]


def is_followed(x: object) -> bool:
    """Has the user written its class, so that its attributes are its settings?"""
    if isinstance(x, type | types.FunctionType | nn.Module):
        return False
    return dataclasses.is_dataclass(x) or (is_own(x) and type(x).__module__.partition(".")[0] not in LIBRARIES)
