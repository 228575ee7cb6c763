"""A Dict whose parts stay in the order given."""

from collections.abc import Mapping

from gymnasium import Space
from gymnasium.spaces import Dict


def ordered_dict(parts: Mapping[str, Space]) -> Dict:
    """A Dict of ``parts``, not sorted; Gymnasium before 1.4 knows pairs for that, but no ``sort_keys``."""
    space = Dict(tuple(parts.items()))
    space.sort_keys = False  # what Gymnasium makes of this one is not sorted, either
    return space
