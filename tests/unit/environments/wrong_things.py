"""What people hand over, tried without the shape checking of the tests, which would refuse other types before we do.

As a program: prints JSON, name → the error's class and message.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

import clipper
from clipper.networks.make_policy import make_policy

QUICK = clipper.PPO(horizon=8, epochs=1, minibatches=1)
evaluate: Any = clipper.evaluate  # which is given what its annotations exclude
make_env: Any = clipper.make_env


class Level(gymnasium.Env):
    """Its reward, and what it shows, is its level; every episode has three steps."""

    observation_space, action_space = Box(-99, 99, (1,), np.float32), Discrete(2)

    def __init__(self, level: int = 0) -> None:
        self.level, self.n = level, 0

    def reset(self, *, seed=None, options=None):
        self.n = 0
        return np.full(1, self.level, np.float32), {}

    def step(self, action):
        self.n += 1
        return np.full(1, self.level, np.float32), float(self.level), False, self.n >= 3, {}


class Looks:
    """Only looks like an environment."""

    observation_space, action_space = Level.observation_space, Level.action_space
    reset, step = Level.reset, Level.step
    level, n = 0, 0


class Agents:
    """As PettingZoo's parallel environments are."""

    possible_agents, agents = ["a", "b"], ["a", "b"]

    def observation_space(self, agent):
        return Level.observation_space

    def reset(self, seed=None, options=None):
        return {}, {}

    def step(self, actions):
        return {}, {}, {}, {}, {}


class Raises(Level):
    def __init__(self) -> None:
        raise RuntimeError("Cannot connect to display")


class Exits(Level):
    def __init__(self) -> None:
        sys.exit("no licence")


def needs(size: int) -> gymnasium.Env:
    return Level(size)


def a_policy(
    observation: gymnasium.Space = Level.observation_space, action: gymnasium.Space = Level.action_space
) -> Any:
    return make_policy(observation, action, clipper.PolicyOptions(hidden=(4,)), torch.Generator())


SOURCES: dict[str, tuple[Any, str, str]] = {
    "an instance": (Level(), "ConfigError", "ready environment.*write lambda: MyEnv"),
    "a wrapped instance": (gymnasium.make("CartPole-v1"), "ConfigError", "ready environment.*write lambda: MyEnv"),
    "an entry of the registry": (gymnasium.spec("CartPole-v1"), "ConfigError", "write its id, 'CartPole-v1'"),
    "PettingZoo's": (Agents(), "ConfigError", "several agents"),
    "a factory of PettingZoo's": (Agents, "EnvironmentContractError", "Agents gave .*several agents"),
    "no Env": (Looks(), "ConfigError", "no gymnasium.Env, though it has reset and step: derive its class"),
    "a class that is no Env": (Looks, "EnvironmentContractError", "Looks gave .*derive its class from gymnasium.Env"),
    "a factory of nothing": (lambda: None, "EnvironmentContractError", "gave None, which is no gymnasium.Env"),
    "a factory of many": (
        lambda: clipper.make_env("CartPole-v1", 2),
        "EnvironmentContractError",
        "hand it over itself",
    ),
    "a recipe that was not called": (clipper.recipes.cartpole, "EnvironmentContractError", "cartpole gave Config"),
    "a class that takes arguments": (needs, "EnvWorkerError", r"needs cannot be made.*lambda: needs\(…\)"),
    "a constructor that raises": (
        Raises,
        "EnvWorkerError",
        "Raises cannot be made: RuntimeError: Cannot connect to display",
    ),
    "a constructor that exits": (Exits, "EnvWorkerError", "Exits cannot be made: SystemExit: no licence"),
    "an empty list": ([], "ConfigError", "the list of factories is empty"),
    "a list of instances": ([Level(), Level()], "ConfigError", "ready environment"),
    "a dict": ({"env": "CartPole-v1"}, "ConfigError", "neither an id nor a factory"),
    "a space": (Discrete(2), "ConfigError", "neither an id nor a factory"),
    "a number": (8, "ConfigError", "neither an id nor a factory"),
}


POLICIES: dict[str, tuple[Any, str]] = {
    "layers": (
        torch.nn.Sequential(torch.nn.Linear(4, 2)),
        r"Sequential is a module that takes no actions.*PolicyOptions\(hidden",
    ),
    "a layer": (torch.nn.Linear(4, 2), "Linear is a module that takes no actions"),
    "text": ("MlpPolicy", "write policy=clipper.PolicyOptions"),
    "a class": (clipper.PolicyOptions, "PolicyOptions: make one"),
}
OTHERS: dict[str, tuple[Callable[[], object], str]] = {
    "evaluate an environment": (lambda: evaluate(Level(), episodes=1), "the policy comes first"),
    "evaluate the wrong way round": (
        lambda: evaluate(Level(), a_policy(), episodes=1),
        "the policy comes first",
    ),
    "evaluate nothing": (lambda: evaluate(None, Level, episodes=1), "no run, no policy"),
    "evaluate a layer": (lambda: evaluate(torch.nn.Linear(1, 2), Level, episodes=1), "no run, no policy"),
    "evaluate in an instance": (lambda: evaluate(a_policy(), Level(), episodes=1), "ready environment"),
    "evaluate nowhere": (lambda: evaluate(a_policy(), episodes=1), "name its environment"),
    "no episodes": (
        lambda: evaluate(a_policy(), Level, episodes=0),
        "episodes must be a whole number from 1 on",
    ),
    "half an episode": (lambda: evaluate(a_policy(), Level, episodes=1.5), "episodes must be a whole number"),
    "episodes as text": (lambda: evaluate(a_policy(), Level, episodes="3"), "episodes must be a whole number"),
    "a seed below 0": (lambda: evaluate(a_policy(), Level, episodes=1, seed=-1), "seed must be a whole number"),
    "a seed without end": (
        lambda: evaluate(a_policy(), Level, episodes=1, seed=10**22),
        "seed must be a whole",
    ),
    "no environments": (lambda: make_env("CartPole-v1", "4"), "num_envs must be at least 1, a whole number"),
    "no number of environments": (lambda: clipper.VectorRollouts(Counted()), "Counted has num_envs = None"),
}


class Counted(gymnasium.vector.VectorEnv):
    """Does not know how many it has."""

    num_envs: Any = None


def told(act: Callable[[], object]) -> tuple[str, str]:
    """How it ends."""
    try:
        act()
    except BaseException as error:  # noqa: BLE001, RUF100 (whatever it is)
        return type(error).__name__, str(error)
    return "", "nothing was said"


def main() -> None:
    train: Any = clipper.train
    found = {
        f"{vector}: {name}": told(
            lambda source=source, vector=vector: train(source, QUICK, total_steps=32, vector=vector)
        )
        for vector in ("serial", "auto")
        for name, (source, _, _) in SOURCES.items()
    }
    for name, (policy, _) in POLICIES.items():
        found[name] = told(lambda policy=policy: train("CartPole-v1", QUICK, policy=policy, total_steps=32))
    found |= {name: told(act) for name, (act, _) in OTHERS.items()}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
