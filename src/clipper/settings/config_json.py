"""Settings to and from JSON, without evaluating anything."""

import dataclasses
import types
import typing
from typing import Any, Literal

from clipper.errors import ConfigError


def to_json(value: Any) -> Any:
    """Frozen dataclasses → ``{"type": name, field: …}``; tuples → lists; numbers, strings and None as they are."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    return [to_json(v) for v in value] if isinstance(value, tuple) else value


BEFORE: dict[str, dict[str, Any]] = {"Reinforce": {"standardise_over": "decisions"}}
"""Fields that came later and changed what their class does by default: what a file means that does not name them."""


def from_json(data: Any, expected: Any, path: str = "config") -> Any:
    """The inverse of ``to_json``: builds only what the annotation ``expected`` allows, whatever the data says.

    Raises ``ConfigError`` with the path of the first entry that does not fit.
    """
    origin = typing.get_origin(expected)
    if origin in (typing.Union, types.UnionType):
        for option in typing.get_args(expected):
            if fits(data, option):
                return from_json(data, option, path)
        raise ConfigError(f"{path}: {data!r} is none of {expected}")
    if not fits(data, expected):
        raise ConfigError(f"{path}: {data!r} is not {expected}")
    if origin is tuple:
        inner = typing.get_args(expected)
        inner = (inner[0],) * len(data) if inner[-1] is Ellipsis else inner
        return tuple(from_json(d, t, f"{path}[{i}]") for i, (d, t) in enumerate(zip(data, inner, strict=True)))
    if not (isinstance(expected, type) and dataclasses.is_dataclass(expected)):
        return float(data) if expected is float else data
    hints, data = typing.get_type_hints(expected), BEFORE.get(expected.__name__, {}) | data
    unknown = set(data) - set(hints) - {"type"}
    if unknown:
        raise ConfigError(f"{path}: {expected.__name__} has no field {', '.join(sorted(unknown))}")
    try:
        return expected(**{k: from_json(v, hints[k], f"{path}.{k}") for k, v in data.items() if k != "type"})
    except (TypeError, OverflowError) as error:  # a field is missing, or beyond what a float can hold
        raise ConfigError(f"{path}: {error}") from error


def fits(data: Any, expected: Any) -> bool:
    """Could ``data`` be JSON of the type ``expected``?"""
    origin = typing.get_origin(expected)
    if origin is Literal:
        return data in typing.get_args(expected)
    if origin is tuple:
        inner = typing.get_args(expected)
        return isinstance(data, list) and (inner[-1] is Ellipsis or len(data) == len(inner))
    if dataclasses.is_dataclass(expected):
        return isinstance(data, dict) and data.get("type") == getattr(expected, "__name__", None)
    if expected in (int, float):
        return isinstance(data, (int, float) if expected is float else int) and not isinstance(data, bool)
    return data is None if expected in (None, type(None)) else isinstance(data, expected)
