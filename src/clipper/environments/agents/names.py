"""PettingZoo's environments by name: ``pettingzoo:mpe2.simple_spread_v3,N=3``; PettingZoo is imported only then."""

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from importlib import import_module
from typing import Protocol, cast, runtime_checkable

import gymnasium
import numpy as np

from clipper.data.tree_type import Tree
from clipper.environments.ids import called, split_id
from clipper.environments.make import errors_of_making, imported
from clipper.environments.sources import source_name
from clipper.environments.told_episodes import Info
from clipper.errors import ConfigError, EnvironmentContractError, MissingPackageError, install_command

PREFIX = "pettingzoo:"
OWN = ("agent_id", "pad", "team_reward", "state")
"""Arguments behind a name that are the adapter's; all others are the environment's."""


@runtime_checkable
class Parallel(Protocol):
    """An environment whose agents all act at once, as PettingZoo has it; what it has before its first reset."""

    possible_agents: list[Hashable]

    def reset(self, seed: int | None = None, options: dict | None = None) -> tuple[dict[Hashable, Tree], dict]:
        """Begin an episode: what each agent sees, and its info."""
        ...

    def step(
        self, actions: dict[Hashable, Tree]
    ) -> tuple[dict[Hashable, Tree], Mapping, Mapping, Mapping, Mapping[Hashable, Info]]:
        """What each agent sees, its reward, whether it has terminated, whether it was truncated, and its info."""
        ...

    def observation_space(self, agent: Hashable) -> gymnasium.Space:
        """Of one agent."""
        ...

    def action_space(self, agent: Hashable) -> gymnasium.Space:
        """Of one agent."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class Begun(Protocol):
    """What it has after that."""

    agents: list[Hashable]
    """Those that take part; fewer and fewer during an episode."""

    def render(self) -> np.ndarray:
        """A picture."""
        ...


@runtime_checkable
class ByTurns(Protocol):
    """An environment whose agents act one after another, as PettingZoo's AEC interface has it."""

    metadata: dict

    def agent_iter(self, max_iter: int = 0) -> object:
        """Whose turn it is, and whose next."""
        ...


def playing(env: Parallel) -> set[Hashable]:
    """The agents that take part at this moment."""
    return set(cast(Begun, env).agents)


def is_pettingzoo(name: object) -> bool:
    """Is it the name of an environment of PettingZoo's?"""
    return isinstance(name, str) and name.startswith(PREFIX)


def factory_of(source: str) -> tuple[Callable[[], object], dict[str, object], str]:
    """What makes one such environment, the adapter's own arguments, and the name alone.

    Raises ``MissingPackageError`` where its package is not installed, and ``ConfigError`` for a module without an
    environment.
    """
    name, given = split_id(source)
    module_name = name.removeprefix(PREFIX)
    try:
        module = imported(module_name, name)
    except ModuleNotFoundError as error:
        if error.name is not None and not module_name.startswith(error.name):
            raise MissingPackageError(f"{name} needs the module {error.name!r}, which is not installed") from error
        raise MissingPackageError(
            f"{name}: there is no module {error.name!r}. PettingZoo and its particle worlds (mpe2) come with "
            f"{install_command('multiagent')}"
        ) from error
    made = {key: x for key, x in vars(module).items() if key in ("parallel_env", "env") and callable(x)}
    if not made:
        raise ConfigError(f"{name}: the module {module_name} has neither parallel_env nor env, as PettingZoo's have")
    maker = made["parallel_env"] if "parallel_env" in made else made["env"]
    own: dict[str, object] = {key: value for key, value in given.items() if key in OWN}
    return partial(made_by, maker, name, {k: v for k, v in given.items() if k not in OWN}), own, name


def made_by(maker: Callable[..., object], name: str, given: dict[str, object]) -> object:
    """One environment; errors of its own code name it."""
    with errors_of_making(name, given):
        return called(maker, **given)


def parallel(source: Callable[[], object], name: str = "") -> Parallel:
    """One environment of several agents, from a factory; one by turns becomes parallel where PettingZoo says it may.

    Raises ``ConfigError`` where it may not, or has no ``possible_agents``; ``EnvironmentContractError`` for what is no
    environment of several agents.
    """
    name = name or source_name(source)
    made = source()
    if isinstance(made, ByTurns):
        if not made.metadata.get("is_parallelizable"):
            raise ConfigError(
                f"{name} is a game of turns (AEC) that PettingZoo does not call parallelizable: agents that act at "
                "once cannot play it; write it as a game of turns of Clipper's own, or change its metadata if it can be"
            )
        try:
            made = import_module("pettingzoo.utils.conversions").aec_to_parallel(made)
        except ModuleNotFoundError as error:
            raise MissingPackageError(f"{name} needs PettingZoo: {install_command('multiagent')}") from error
    if not isinstance(made, Parallel):
        raise EnvironmentContractError(
            f"{name} gave {type(made).__name__}, which is no parallel environment of PettingZoo's form: it needs "
            "possible_agents, agents, reset, step, observation_space and action_space"
        )
    return made
