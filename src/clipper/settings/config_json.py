"""Settings to and from JSON, without evaluating anything."""

import abc
import dataclasses
import json
import math
import sys
import types
import typing
from collections.abc import Iterator
from typing import Literal, TypeGuard, TypeVar

import numpy as np

from clipper.data.values import PLAIN, Elsewhere, is_protocol, listed, shown
from clipper.errors import ConfigError
from clipper.settings.config import Config
from clipper.settings.old import as_now
from clipper.storage.json_text import LARGEST_TEXT

Made = TypeVar("Made")


class MisfitInFileError(ConfigError):
    """A file is well formed, but a value in it cannot be made of what it says: a number is out of its range."""


DEEPEST = 50  # what holds itself has no end
LONGEST = 10_000  # bits of a whole number; Python reads no more than 4,300 digits
HOLDS = (
    "numbers, texts, True, False and None may stand there, tuples of them, functions, and frozen dataclasses or "
    "objects of your own that are made of these"
)


def to_json(value: object, path: str = "config") -> object:
    """Values → ``{"type": name, field: …}``; tuples → lists; numbers, strings and None as they are.

    Clipper's own values are named by their class alone, so that a file outlives the module's place; one of the user's
    own by ``module:Name``. Raises ``ConfigError`` for what a file cannot hold.
    """
    if isinstance(value, Elsewhere):
        return value.data
    if path.count(".") + path.count("[") > DEEPEST:
        raise ConfigError(f"{path[:60]}… nests deeper than a file can hold, or holds itself: let it hold less")
    if isinstance(value, np.generic):
        value = value.item()
    if (type(value) is float and math.isnan(value)) or (type(value) is int and value.bit_length() > LONGEST):
        what = "NaN" if type(value) is float else f"a number of more than {LONGEST:,} bits"
        raise ConfigError(f"{path} is {what}, which a file cannot hold: let it be another number, or None")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, tuple):
        return [to_json(v, f"{path}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, type) or not (dataclasses.is_dataclass(value) or is_own(value)):
        raise ConfigError(f"{path} is {shown(value)}, which a file cannot hold: {HOLDS}")
    names = [f.name for f in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else list(own_state(value))
    if "type" in names:
        raise ConfigError(f"{path} has a field that is called type, which is what files call the class: rename it")
    fields = {name: to_json(getattr(value, name), f"{path}.{name}") for name in names}
    return {"type": name_of(value), **fields}


def settings_json(config: Config) -> dict[str, object]:
    """All settings of a run as its files hold them; raises ``ConfigError`` for what could not be read back."""
    settings = to_json(config)
    assert isinstance(settings, dict)
    if len(json.dumps(settings)) > LARGEST_TEXT:
        raise ConfigError(
            f"the settings are longer than the {LARGEST_TEXT:,} characters that are read: hold less in them"
        )
    return settings


def is_own(value: object) -> bool:
    """Is it a function, or an object whose class the user has written and whose attributes are all that it holds?

    Not where a base of the class is another library's: a dict's entries, a module's weights are no attributes.
    """
    if isinstance(value, types.FunctionType):
        return True
    bases = [base for base in type(value).__mro__ if base not in (object, abc.ABC, typing.Generic, typing.Protocol)]
    foreign = sys.stdlib_module_names - {"__main__"} | {"numpy", "torch"}
    packages = {base.__module__.partition(".")[0] for base in bases}
    slots = any(vars(base).get("__slots__") for base in bases)
    return not (packages & foreign or slots) and hasattr(value, "__dict__")


def is_ours(value: object) -> bool:
    """Has its class one of Clipper's own among its bases? What of files is not here can only be a field of such."""
    return any(base.__module__.partition(".")[0] == "clipper" for base in type(value).__mro__)


def own_state(value: object) -> dict[str, object]:
    """The attributes of an object of a plain class; a function has none."""
    return {} if isinstance(value, types.FunctionType) else dict(getattr(value, "__dict__", {}))


def name_of(value: object) -> str:
    """``Clip`` of Clipper's own values; ``module:Name`` of the user's, also where it is ``Elsewhere``."""
    if isinstance(value, Elsewhere):
        return value.name
    kind = value if isinstance(value, types.FunctionType) else type(value)
    ours = isinstance(kind, type) and kind.__module__.partition(".")[0] == "clipper"
    return kind.__name__ if ours else f"{kind.__module__}:{kind.__qualname__}"


def same(first: object, second: object) -> bool:
    """Are two settings' JSON the same? Modules do not count: what ran as a script is imported by its name later."""
    if isinstance(first, dict) and isinstance(second, dict):
        return (
            first.keys() == second.keys()
            and same_name(str(first.get("type")), str(second.get("type")))
            and all(same(first[key], second[key]) for key in first if key != "type")
        )
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def same_name(first: str, second: str) -> bool:
    """Do two names mean one class? A class of the user's own is another than one of ours of that name."""
    return first.partition(":")[1] == second.partition(":")[1] and first.rpartition(":")[2] == second.rpartition(":")[2]


def short_name(value: object) -> str:
    """The class's name alone, for people."""
    return value.name.rpartition(":")[2] if isinstance(value, Elsewhere) else type(value).__name__


def elsewhere(value: object, path: str = "") -> Iterator[tuple[str, Elsewhere]]:
    """The parts of settings that are not here and have not been handed over, with where they stand."""
    if isinstance(value, Elsewhere):
        yield path, value
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            yield from elsewhere(item, f"{path}[{i}]")
    elif dataclasses.is_dataclass(value) and is_ours(value):
        for f in dataclasses.fields(value):
            yield from elsewhere(getattr(value, f.name), f"{path}.{f.name}" if path else f.name)


@typing.overload
def from_json(data: object, expected: type[Made], path: str = "config") -> Made: ...
@typing.overload
def from_json(data: object, expected: object, path: str = "config") -> object: ...
def from_json(data: object, expected: object, path: str = "config") -> object:
    """The inverse of ``to_json``: builds only what the annotation ``expected`` allows, whatever the data says.

    Raises ``ConfigError`` with the path of the first entry that does not fit.
    """
    data, origin = as_now(data), typing.get_origin(expected)
    if union := origin in (typing.Union, types.UnionType):
        for option in typing.get_args(expected):
            if fits(data, option):
                return from_json(data, option, path)
        if is_elsewhere(data) and any(map(is_protocol, typing.get_args(expected))):
            return Elsewhere(str(data["type"]), data)
    if union or not fits(data, expected):
        raise ConfigError(f"{path}: {shown(data)} is not {listed(words_for(expected))}")
    if origin is tuple and isinstance(data, list):
        inner = typing.get_args(expected)
        inner = (inner[0],) * len(data) if inner[-1] is Ellipsis else inner
        return tuple(from_json(d, t, f"{path}[{i}]") for i, (d, t) in enumerate(zip(data, inner, strict=True)))
    if not (isinstance(expected, type) and dataclasses.is_dataclass(expected)):
        try:
            return float(data) if expected is float and isinstance(data, int) else data
        except OverflowError as error:
            raise ConfigError(f"{path}: {error}") from error
    assert isinstance(data, dict)
    hints = typing.get_type_hints(expected)
    unknown = set(data) - set(hints) - {"type"}
    if unknown:
        raise ConfigError(f"{path}: {expected.__name__} has no field {', '.join(sorted(unknown))}")
    fields = {k: from_json(v, hints[k], f"{path}.{k}") for k, v in data.items() if k != "type"}
    try:
        return expected(**fields)
    except ConfigError as error:
        raise MisfitInFileError(f"{path}: {error}") from error
    except (TypeError, OverflowError) as error:  # a field is missing, or cannot be what the file says
        raise ConfigError(f"{path}: {error}") from error


def read_settings(data: object) -> Config:
    """The settings that a file holds; its algorithm stays ``Elsewhere`` where only that has become a misfit.

    What was in range when a run was written may no longer be, and who plays with its policy needs no algorithm.
    """
    try:
        return from_json(data, Config)
    except MisfitInFileError as error:
        assert isinstance(data, dict)
        rest = from_json({name: x for name, x in data.items() if name != "algorithm"}, Config)
        algorithm = data["algorithm"]
        return dataclasses.replace(rest, algorithm=Elsewhere(algorithm["type"], algorithm, str(error)))


def words_for(expected: object) -> list[str]:
    """What an annotation lets stand in a file: a whole number, a text, PPO, one of your own."""
    origin, inner = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        return [word for option in inner for word in words_for(option)]
    if origin is Literal:
        return [repr(word) for word in inner]
    if origin is tuple:
        return ["a list" if inner[-1] is Ellipsis else f"a list of {len(inner)}"]
    if expected in PLAIN:
        return [PLAIN[expected][1]]
    return ["one of your own" if is_protocol(expected) or not isinstance(expected, type) else expected.__name__]


def is_elsewhere(data: object) -> TypeGuard[dict[str, object]]:
    """Is it JSON of a value of the user's own?"""
    return isinstance(data, dict) and isinstance(data.get("type"), str) and ":" in data["type"]


def fits(data: object, expected: object) -> bool:
    """Could ``data`` be JSON of the type ``expected``?"""
    origin = typing.get_origin(expected)
    if origin is Literal:
        return data in typing.get_args(expected)
    if origin is tuple:
        inner = typing.get_args(expected)
        return isinstance(data, list) and (inner[-1] is Ellipsis or len(data) == len(inner))
    if dataclasses.is_dataclass(expected):
        return isinstance(data, dict) and data.get("type") == getattr(expected, "__name__", None)
    if is_protocol(expected):
        return False  # that is only told of what is handed over
    if expected in (int, float):
        return isinstance(data, (int, float) if expected is float else int) and not isinstance(data, bool)
    return data is None if expected in (None, type(None)) else isinstance(expected, type) and isinstance(data, expected)
