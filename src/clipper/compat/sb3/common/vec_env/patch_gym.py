"""Environments as this library takes them: Gymnasium's."""

import gymnasium

from clipper.errors import ConfigError


def _patch_env(env: gymnasium.Env) -> gymnasium.Env:
    """The environment, which has to be one of Gymnasium's; raises ``ConfigError`` for another kind."""
    if not isinstance(env, gymnasium.Env):
        raise ConfigError(
            f"the environment is a {type(env).__module__}.{type(env).__name__}, not a gymnasium.Env: wrap one of the "
            "old gym in shimmy.GymV21CompatibilityV0 or GymV26CompatibilityV0"
        )
    return env


def _convert_space(space: gymnasium.Space) -> gymnasium.Space:
    """The space, which has to be one of Gymnasium's."""
    if not isinstance(space, gymnasium.Space):
        raise ConfigError(f"{space} is no gymnasium.Space: make it one")
    return space
