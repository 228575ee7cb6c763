"""By what a reward is known again when a run goes on: its name, its settings, its weights; and its state, if it has."""

import dataclasses
import functools
import hashlib
import inspect
import json
import types
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from clipper.data.trees import Tree
from clipper.data.values import shown
from clipper.errors import ClipperError, ConfigError
from clipper.language.models import digest
from clipper.settings.config_json import is_own
from clipper.storage.saved import plain_json

DEEPEST = 20
LIBRARIES = ("tokenizers", "transformers")
OTHER = "the reward, or what it holds, is not as it was when this was saved"
STATELESS = "; what a reward changes by itself is kept where it has state_dict() and load_state_dict(state)"


@runtime_checkable
class HasState(Protocol):
    """What a reward's state is read from and given back to."""

    def state_dict(self) -> Mapping[str, object]: ...
    def load_state_dict(self, state: dict[str, object], /) -> object: ...


class KeptReward:
    """A reward, and where it has ``state_dict`` and ``load_state_dict``, as networks have, its state in checkpoints.

    A state is a dict of tensors, arrays and what JSON can hold. It is given back to a reward that is as it was when the
    run began: another one, such as a network of other weights, is meant to be used as it is.
    """

    def __init__(self, reward: Callable[..., object]) -> None:
        self.reward = reward
        owner = reward.__self__ if inspect.ismethod(reward) else reward
        self.owner = owner if isinstance(owner, HasState) and not isinstance(owner, type) else None
        self.begun = fingerprint(reward)
        """How it was when it was handed over first."""

    def state_dict(self) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        """Its state, and by what it is known again."""
        tensors: dict[str, torch.Tensor] = {}
        values: dict[str, object] = {}
        whose = f"state_dict of the reward {type(self.owner).__name__}"
        given = {} if self.owner is None else self.owner.state_dict()
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise ConfigError(f"{whose} gives {shown(given)}: return a dict of tensors and of what JSON can hold")
        for name, x in given.items():
            if isinstance(x, torch.Tensor | np.ndarray):
                tensors[f"reward.{name}"] = torch.as_tensor(x).detach()
            else:
                values[name] = plain_json(x, f"{whose} gives {name!r}")
        known: dict[str, object] = {"reward": fingerprint(self.reward), "reward_begun": self.begun}
        if self.owner is not None:
            known["reward_state"] = values
        return tensors, known

    def load_state_dict(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, object]) -> str:
        """Give a saved state back; why the reward goes on as another one, or an empty text where it does not."""
        saved, begun = values.get("reward"), values.get("reward_begun")
        if saved in (None, self.begun):  # older files do not say; or it is as it was left
            self.begun = begun if isinstance(begun, str) else self.begun
            return ""
        if begun != self.begun:
            return OTHER
        plain = values.get("reward_state")
        if self.owner is None or not isinstance(plain, dict):
            return OTHER + STATELESS
        own = {name.removeprefix("reward."): x.clone() for name, x in tensors.items() if name.startswith("reward.")}
        try:
            self.owner.load_state_dict({**own, **plain})
        except ClipperError:
            raise
        except Exception as error:  # of the user's own method, and no fault of the file's
            raise ConfigError(f"load_state_dict of the reward {type(self.owner).__name__} fails: {error!r}") from error
        return "" if fingerprint(self.reward) == saved else OTHER + ", though it was given its state back"


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
