"""The type checker that annotations in the package meet in the tests; an int is a float, as PEP 484 says.

To check a call costs far more than most calls do, and a test that trains makes the same ones again and again: a test's
first calls are checked, and in ``make test-long`` all.
"""

import os
import sys

from beartype import BeartypeConf, beartype
from jaxtyping import config

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
FIRST = sys.maxsize if os.environ.get("CLIPPER_CHECK_ALL_CALLS") else 1_000  # calls of a test


class Counting(type(config)):
    """jaxtyping's switch, which it looks at in each call: on until so many ``left`` are made."""

    left = FIRST

    @property
    def jaxtyping_disable(self) -> bool:
        self.left -= 1
        return self.left < 0


config.__class__ = Counting


def begin() -> None:
    """Check the first calls from here on."""
    config.left = FIRST  # pyright: ignore[reportAttributeAccessIssue]


def rest() -> None:
    """Check no further call of this test, which hands over what annotations forbid, as programs do."""
    config.left = 0  # pyright: ignore[reportAttributeAccessIssue]
