"""What Stable-Baselines3 keeps in ``stable_baselines3.common``, as far as programs need it."""

from clipper.compat.sb3 import public_names


def __getattr__(name: str) -> object:
    """Names that are refused, in words, when they are used."""
    return public_names.resolve("common", name)
