"""What files of before mean: fields that came later and changed what their class does by default."""

from typing import Any

BEFORE: dict[str, dict[str, Any]] = {"Reinforce": {"standardise_over": "decisions"}}
"""By the class's name in the file: fields, and what a file means that does not name them."""


def as_now(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """The fields that a file gives a class, as today's class has them."""
    return BEFORE.get(name, {}) | data
