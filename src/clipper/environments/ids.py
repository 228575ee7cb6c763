"""An environment's id, with arguments behind it: ``LunarLander-v3,continuous=true,gravity=-5``."""

import json
from collections.abc import Callable
from typing import TypeVar

from clipper.errors import ConfigError

Gives = TypeVar("Gives")
LONGEST = 2_000  # letters of an id with its arguments; to look for the nearest of the registry's takes time for each


def called(function: Callable[..., Gives], /, *args: object, **given: object) -> Gives:
    """What a function gives of arguments that somebody else has named: it alone knows whether they fit."""
    return function(*args, **given)


def split_id(source: str) -> tuple[str, dict[str, str | float | bool | None]]:
    """The id, and what its maker is called with: numbers, true, false and null as such, all else as text.

    Raises ``ConfigError`` where a part is not ``name=value``, or where all of it is longer than ``LONGEST``.
    """
    if len(source) > LONGEST:
        raise ConfigError(f"an environment's id of {len(source):,} letters, which begins {source[:40]!r}, is none")
    name, *parts = source.split(",")
    arguments: dict[str, str | float | bool | None] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or not key.strip().isidentifier():
            raise ConfigError(f"{source!r}: after the id come arguments as in {name},continuous=true, not {part!r}")
        arguments[key.strip()] = value_of(value.strip())
    return name, arguments


def value_of(text: str) -> str | float | bool | None:
    """A JSON scalar, or the text itself."""
    if text[:1] in ("[", "{"):  # no scalar, and nested deeply it would not be read at all
        return text
    try:
        value = json.loads(text if text not in ("True", "False") else text.lower())
    except ValueError:
        return text
    return value
