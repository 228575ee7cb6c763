"""Who shares parameters, of the agents that an environment has."""

import dataclasses

from clipper.algorithms import Algorithm
from clipper.environments.checks import AGENTS, describe
from clipper.errors import ConfigError
from clipper.learning.two_steps import targets_then_improve
from clipper.rollout.protocol import Rollouts, abilities
from clipper.settings.config import Config


def with_agents(config: Config, rollouts: Rollouts, several: bool) -> Config:
    """The settings, in which the groups of ``policy.agents`` are those of the environment's agents.

    Raises ``ConfigError`` where agents cannot be apart: the environment has one, or another number of them, the
    algorithm learns from all columns at once, or ``several`` processes train the run.
    """
    asked = config.policy.agents
    if asked == "shared":
        return config
    env = abilities(rollouts).env
    names: tuple[str, ...] = () if env is None else tuple(env.metadata.get(AGENTS, ()))
    where = type(rollouts).__name__ if env is None else describe(env)
    if not names:
        raise ConfigError(
            f"policy.agents is {asked!r}, and {where} has no agents that could have parameters of their own: leave out "
            "agents (--agents), or train in an environment of several (clipper.Agents)"
        )
    if isinstance(asked, tuple) and len(asked) != len(names):
        raise ConfigError(
            f"policy.agents names the groups of {len(asked)} agents, and {where} has {len(names)}, {', '.join(names)}: "
            "name a group for each"
        )
    if not learns_apart(config.algorithm):
        raise ConfigError(
            f"{type(config.algorithm).__name__} learns from the columns of all agents at once: leave out agents "
            "(--agents), or take an algorithm in two steps, as PPO, A2C and TRPO are"
        )
    if several:
        raise ConfigError("agents with parameters of their own are trained in one process: leave out torchrun")
    groups = names if isinstance(asked, str) else asked
    return dataclasses.replace(config, policy=dataclasses.replace(config.policy, agents=groups))


def learns_apart(algorithm: Algorithm) -> bool:
    """Can each group of agents have a learner of its own? An algorithm with another ``update`` says so."""
    kind = type(algorithm)
    return getattr(kind, "update", None) is targets_then_improve or bool(getattr(kind, "learns_apart", False))
