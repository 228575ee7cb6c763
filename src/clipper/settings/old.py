"""What files of before mean: fields that came later and changed what their class does by default, and other names."""

from typing import Any

from torch import Tensor

BEFORE: dict[str, dict[str, Any]] = {"Reinforce": {"standardise_over": "decisions"}}
"""By the class's name in the file: fields, and what a file means that does not name them."""


def as_now(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """The fields that a file gives a class, as today's class has them."""
    return BEFORE.get(name, {}) | data


def checkpoint_as_now(tensors: dict[str, Tensor], values: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A checkpoint's tensors and JSON by their names of today: what rollouts keep was once the run's own."""
    if "rollouts" in values:
        return tensors, values
    before = {"collect.": "rollouts.", "env.": "rollouts.env."}
    named = dict(tensors)
    for old, new in before.items():
        named |= {new + k.removeprefix(old): named.pop(k) for k in tensors if k.startswith(old)}
    own = {key: values[key] for key in ("steps", "fresh", "environments") if key in values}
    return named, values | {"rollouts": own}
