"""What environments are made from, an id, a factory, or a list of them; and what to write instead of anything else."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from clipper.data.values import shown
from clipper.environments.checks import describe
from clipper.errors import ClipperError, ConfigError, EnvironmentContractError, text_of

SingleSource = str | Callable[[], gymnasium.Env]
EnvSource = SingleSource | Sequence[SingleSource] | VectorEnv
INSTEAD = "write lambda: MyEnv(…), or hand over a gymnasium.vector.VectorEnv"
MOST = 100_000  # environments, each an object of its own, in one vector environment


def each_source(source: SingleSource | Sequence[SingleSource], num_envs: int) -> list[SingleSource]:
    """What makes each of ``num_envs`` environments: the same for all, or the entries of a list, in turn.

    Raises ``ConfigError`` for more than ``MOST``, before minutes are spent on making them.
    """
    if num_envs > MOST:
        raise ConfigError(
            f"num_envs is {num_envs:,}, and of environments that are objects of their own there are at most {MOST:,}: "
            "lower it, or take a task whose copies are stepped together (clipper.NumbaTask)"
        )
    if isinstance(source, str) or not isinstance(source, list | tuple):
        return [source] * num_envs  # pyright: ignore[reportReturnType] (no list)
    if not source:
        raise ConfigError("the list of factories is empty: give one for each environment")
    return [source[i % len(source)] for i in range(num_envs)]


def source_name(source: object) -> str:
    """What errors call an environment's maker: its id, or the name of a function or class."""
    while isinstance(source, partial):
        source = source.func
    return source if isinstance(source, str) else getattr(source, "__qualname__", type(source).__qualname__)


def describe_source(source: object) -> str:
    """A name for an environment that was not given by id; for people, never imported."""
    if isinstance(source, VectorEnv) and isinstance(name := getattr(source.spec, "id", None), str):
        return name
    if isinstance(source, list | tuple):
        names = dict.fromkeys(one if isinstance(one, str) else describe_source(one)[1:-1] for one in source)
        return f"<{', '.join(names)}>"
    module = getattr(source, "__module__", "") or type(source).__module__
    return f"<{module}.{source_name(source)}>"


def check_factory(source: object) -> None:
    """Raise ``ConfigError`` for what several environments cannot be made from, with what to write instead."""
    if isinstance(source, EnvSpec):
        raise ConfigError(f"{shown(source)} is an environment's entry in the registry: write its id, {source.id!r}")
    if isinstance(source, gymnasium.Env):
        raise ConfigError(
            f"{shown(source)} is a ready environment: neither an id nor a factory, of which several can be made: "
            f"{INSTEAD}"
        )
    if not callable(source):
        known = kind_of(source) or f"neither an id nor a factory, of which several can be made: {INSTEAD}"
        raise ConfigError(f"{shown(source)} is {known}")


def kind_of(made: object) -> str:
    """What a well-known kind of environment that is not Gymnasium's is, and what to do; otherwise empty."""
    if isinstance(made, VectorEnv):
        return "a VectorEnv, many environments in one: hand it over itself, not a factory of it"
    if hasattr(made, "possible_agents") or (hasattr(made, "agents") and hasattr(made, "observation_spaces")):
        return (
            "an environment of several agents (PettingZoo's): hand over clipper.Agents(factory, num_envs), whose "
            "columns are agents, or a gymnasium.Env in which the others play by themselves"
        )
    if hasattr(made, "list_all_envs") or type(made).__module__.startswith("envpool"):
        return 'an environment of EnvPool\'s: write train("envpool:ID")'
    if callable(getattr(made, "reset", None)) and callable(getattr(made, "step", None)):
        return (
            "no gymnasium.Env, though it has reset and step: derive its class from gymnasium.Env (one of the old gym "
            "package can be wrapped, by shimmy)"
        )
    return ""


def checked_env(made: object, name: str) -> gymnasium.Env:
    """What a factory has made, if it is an environment with spaces; otherwise ``EnvironmentContractError``."""
    if not isinstance(made, gymnasium.Env):
        known = kind_of(made) or "no gymnasium.Env"
        raise EnvironmentContractError(f"{name} gave {shown(made)}, which is {known}")
    with named_properties(name, made):
        check_attributes(made, type(made).__name__, ("observation_space", "action_space"))
    return made


@contextmanager
def named_properties(name: str, env: gymnasium.Env | VectorEnv) -> Iterator[None]:
    """What an environment's attributes raise that are read of every one, as properties may, names the first of them."""
    try:
        yield
        _ = env.spec, env.unwrapped  # the rest of what is read before the first reset
    except ClipperError:
        raise
    except (Exception, SystemExit) as error:
        raise EnvironmentContractError(
            f"{name} raises {type(error).__name__} where its spaces, metadata, spec or unwrapped are read: "
            f"{text_of(error)}"
        ) from error


def check_attributes(env: gymnasium.Env | VectorEnv, name: str, spaces: Sequence[str]) -> None:
    """Raise ``EnvironmentContractError`` where an environment's spaces are none, or its metadata is no dict."""
    for attribute in spaces:
        space = getattr(env, attribute, None)
        if not isinstance(space, gymnasium.Space):
            raise EnvironmentContractError(
                f"{name} has {attribute} = {shown(space)}: it must be a gymnasium.spaces.Space, set before the first "
                "reset"
            )
    if not isinstance(getattr(env, "metadata", None), Mapping):
        raise EnvironmentContractError(f"{name} has metadata = {shown(env.metadata)}: it must be a dict")


def check_vector(env: VectorEnv) -> None:
    """Raise ``EnvironmentContractError`` where a ready vector environment lacks what stepping it needs."""
    with named_properties(type(env).__name__, env):
        name = describe(env)
    count: object = getattr(env, "num_envs", None)
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise EnvironmentContractError(f"{name} has num_envs = {shown(count)}: it must be a whole number from 1 on")
    check_attributes(env, name, ("single_observation_space", "single_action_space"))
