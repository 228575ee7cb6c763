"""JSON from files that nobody vouches for."""

import json
from pathlib import Path

from clipper.errors import CorruptCheckpointError
from clipper.storage import files

LARGEST_TEXT = 32_000_000  # characters; a list of empty lists takes twenty times its text in memory


def parse(text: str | bytes, what: str) -> object:
    """The values of a JSON text. NaN, a key twice in one object, and nesting or numbers without end are refused.

    Raises ``CorruptCheckpointError`` that names ``what``.
    """
    if len(text) > LARGEST_TEXT:
        raise CorruptCheckpointError(f"{what} is longer than {LARGEST_TEXT:,} characters")
    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=infinity)
    except (ValueError, RecursionError) as error:
        raise CorruptCheckpointError(f"{what} is not JSON that can be read: {error}") from error


def read(path: Path) -> object:
    """The values of a JSON file; ``ReadError`` where the system does not let it be read."""
    files.check_readable(path)
    with path.open("rb") as file:
        return parse(file.read(LARGEST_TEXT + 1), str(path))


def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object; raises where two entries share a name, of which one would be dropped in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has two entries of one name")
    return found


def infinity(name: str) -> float:
    """``Infinity`` and ``-Infinity``, which Python writes; NaN stands for nothing in a file of ours."""
    if name == "NaN":
        raise ValueError("NaN is no number")
    return float(name)
