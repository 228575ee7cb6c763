"""Environments without parts of their observations, which nobody reads, as texts that no network can."""

from collections.abc import Callable
from functools import partial

import gymnasium
from gymnasium.spaces import Dict

from clipper.data.tree_type import Tree
from clipper.errors import ConfigError


class Without(gymnasium.ObservationWrapper):
    """An environment whose Dict observations lack some keys."""

    def __init__(self, env: gymnasium.Env, keys: tuple[str, ...]) -> None:
        super().__init__(env)
        check_keys(env.observation_space, keys)
        self.keys = keys
        assert isinstance(env.observation_space, Dict)
        left = {key: part for key, part in env.observation_space.items() if key not in keys}
        self.observation_space = Dict(left, sort_keys=False)

    def observation(self, observation: dict[str, Tree]) -> dict[str, Tree]:
        return {key: part for key, part in observation.items() if key not in self.keys}

    def get_state(self) -> dict[str, Tree]:
        """It has none of its own."""
        return {}

    def set_state(self, tree: Tree) -> None:
        """Nothing to set."""


def check_keys(space: gymnasium.Space, keys: tuple[str, ...]) -> None:
    """Raise ``ConfigError`` where an observation has no such keys, or no others."""
    there = list(space) if isinstance(space, Dict) else []
    missing = [key for key in keys if key not in there]
    if missing:
        found = f"the keys {', '.join(there)}" if there else f"no keys: it is {space}"
        raise ConfigError(f"ignore names {missing[0]!r}, but the observation has {found}")
    if keys and not set(there) - set(keys):
        raise ConfigError(f"of the observation's keys {', '.join(there)} none is left: shorten ignore")


def without(factory: Callable[[], gymnasium.Env], keys: tuple[str, ...]) -> Callable[[], gymnasium.Env]:
    """The factory, whose environments then lack these keys."""
    return partial(made_without, factory, keys) if keys else factory


def made_without(factory: Callable[[], gymnasium.Env], keys: tuple[str, ...]) -> gymnasium.Env:
    """An environment of the factory's, without these keys."""
    return Without(factory(), keys)
