"""What sb3-contrib keeps in ``sb3_contrib.common.maskable``."""

from clipper.compat.sb3 import public_names


def __getattr__(name: str) -> object:
    """Names that are refused, in words, when they are used."""
    return public_names.resolve("common.maskable", name)
