"""The type checker that annotations in the package meet in the tests; an int is a float, as PEP 484 says.

To check a call costs far more than most calls do, and a test that trains makes the same ones again and again: a test's
first calls are checked, then one of several for some time, and in ``make test-long`` all.
"""

import os
import sys

from beartype import BeartypeConf, beartype
from jaxtyping import config

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
ALL = bool(os.environ.get("CLIPPER_CHECK_ALL_CALLS"))
FIRST, SOME, OF = (sys.maxsize, 0, 1) if ALL else (100, 1_000, 29)
"""Calls of a test that are checked; after them one of so many is, until there were ``SOME``."""


class Counting(type(config)):
    """jaxtyping's switch, which it looks at in each call: on for the first ones, then now and then, then off."""

    made = 0

    @property
    def jaxtyping_disable(self) -> bool:
        self.made += 1
        return self.made > FIRST and (self.made > SOME or self.made % OF > 0)


config.__class__ = Counting


def begin() -> None:
    """Check the first calls from here on."""
    config.made = 0  # pyright: ignore[reportAttributeAccessIssue]


def rest() -> None:
    """Check no further call of this test, which hands over what annotations forbid, as programs do."""
    config.made = max(FIRST, SOME)  # pyright: ignore[reportAttributeAccessIssue]
