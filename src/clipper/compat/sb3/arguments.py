"""Arguments of Stable-Baselines3 that have no counterpart, refused by name, and numbers that are computed."""

from collections.abc import Mapping

from clipper.errors import ConfigError


def refuse_others(given: Mapping[str, tuple[object, object]], why: str = "Clipper has nothing of the kind") -> None:
    """Raise ``ConfigError`` for the first of ``{name: (value, default)}`` that is not at its default."""
    for name, (value, default) in given.items():
        if value is not default and value != default:
            raise ConfigError(f"clipper.compat.sb3 takes no {name}={value!r}: {why}")


def parts(n_envs: int, n_steps: int, batch_size: int) -> int:
    """Minibatches of at most ``batch_size``."""
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, not {batch_size}")
    return -(-n_envs * n_steps // batch_size)
