"""How the environments of a run are stepped: in this process, in others, or by a vector environment of their own.

The first two give the same trajectories, so a measurement may choose between them; the third is for the user to ask.
"""

import math
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Literal, NamedTuple

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from clipper.environments import agents, atari, hybrid
from clipper.environments.checks import MASK_KEYS
from clipper.environments.closing import close
from clipper.environments.envpool_ids import PREFIX, Lone, is_envpools, make_many
from clipper.environments.ids import called, split_id
from clipper.environments.ignored_keys import check_keys, without
from clipper.environments.make import make, make_single, named_errors, spec_of_tasks
from clipper.environments.sources import EnvSource, SingleSource, each_source
from clipper.environments.told_episodes import Info
from clipper.environments.vector.envpool import installed, make_pool
from clipper.environments.vector.serial import Serial
from clipper.environments.vector.workers import Workers
from clipper.errors import ConfigError, UnknownEnvironmentError

Vector = Literal["auto", "serial", "workers", "native", "envpool"]
STARTING = 3.0  # seconds in which several interpreters start and make their environments
WAKING = 60e-6  # seconds per row that waking other processes and being woken by them takes
MEASURED = 5e-3  # seconds spent on measuring
WORTH = 0.75  # of the time that one process needs: where others promise more, they are not worth it


class Stepping(NamedTuple):
    """A vector environment, and how it came to be chosen."""

    env: VectorEnv
    vector: Vector
    """What a resumed run has to ask for."""
    description: str
    """For people."""


def vectorise(
    source: EnvSource,
    num_envs: int,
    vector: Vector = "auto",
    *,
    total_steps: int = 0,
    env_timeout: float = 0.0,
    max_restarts: int = 0,
    ignore: tuple[str, ...] = (),
    first: int | None = None,
) -> Stepping:
    """``num_envs`` copies as one vector environment; a ready ``VectorEnv`` is taken as ``make`` takes it.

    Of a list of factories each makes an environment, in turn. ``auto`` measures what a step takes, on a copy, and takes
    several processes where they save more of ``total_steps`` than it costs to start them; of Clipper's own environments
    it takes the natively vectorised form, and of EnvPool's own (``envpool:…``) a pool. A time-out can be kept by other
    processes only. ``ignore`` are keys of Dict observations that copies are made without. ``first`` is the number of
    the first one where others are elsewhere: then each has a generator of its own, which those of a native vector
    environment have not.
    """
    if isinstance(source, VectorEnv):
        if vector != "auto" or env_timeout or max_restarts:
            raise ConfigError(
                "vector, env_timeout and on_env_error need an id or a factory, not a VectorEnv made ready"
            )
        return Stepping(make(source, num_envs, ignore=ignore), "auto", f"stepped by {type(source).__name__}")
    name, _ = split_id(source) if isinstance(source, str) else ("", {})
    if several := agents.is_several(name):
        check_together(name, vector, bool(env_timeout or max_restarts or first is not None))
        vector = "native"
    if not several and vector == "auto" and not env_timeout and not max_restarts:
        alone = first is None
        own = name in hybrid.TASKS or (not name.startswith("clipper/") and spec_of_tasks(name) is not None)
        vector = "native" if own and alone else "envpool" if is_envpools(name) else vector
    if vector in ("native", "envpool"):
        if env_timeout or max_restarts:
            raise ConfigError("a native vector environment is one process: env_timeout and on_env_error do not apply")
        env = native(source, num_envs) if vector == "native" else pooled(source, num_envs)
        check_keys(env.single_observation_space, ignore)
        by = f"natively by {type(env.unwrapped).__name__}" if vector == "native" else "natively by EnvPool"
        ours = type(env.unwrapped).__module__.startswith("clipper.")
        return Stepping(env, vector, f"stepped {'together, as arrays' if ours else by}")
    sources = each_source(source, num_envs)
    factories = [without(partial(make_single, one), ignore) for one in sources]
    processes, told = min(num_envs, cores()), ""
    if env_timeout and vector == "serial":
        raise ConfigError("env_timeout needs worker processes: a step that hangs in this one cannot be ended")
    if env_timeout:
        vector, told = "workers", f", since a step may take {env_timeout:g} s at most"
    elif vector == "auto" and processes > 1 and sys.platform != "win32":
        seconds = step_time(factories[0])
        told = f", since a step takes {1e6 * seconds:.0f} µs" if seconds else ""
        vector = "workers" if pays(seconds, num_envs, processes, total_steps) else "serial"
    if vector != "workers":
        return Stepping(
            Serial(factories, max_restarts=max_restarts, first_index=first or 0), "serial", f"in this process{told}"
        )
    if sys.platform == "win32":
        raise ConfigError("worker processes need Linux or macOS: use --vector serial")
    specs = known_here(sources)
    env = Workers(factories, processes, env_timeout=env_timeout, max_restarts=max_restarts, specs=specs)
    several = "processes" if processes > 1 else "process"
    return Stepping(env, "workers", f"in {processes} worker {several}{told}")


def check_together(name: str, vector: Vector, otherwise: bool) -> None:
    """Raise ``ConfigError`` where an environment of several agents is to be stepped in other processes, or by ranks."""
    if otherwise or vector not in ("auto", "native"):
        raise ConfigError(
            f"{name} has several agents, which are stepped together in this process: leave out vector, env_timeout and "
            "on_env_error, and train in one process"
        )


def known_here(sources: Sequence[SingleSource]) -> list[EnvSpec]:
    """What the ids among these stand for, where it was registered by this program: other processes cannot know."""
    names = dict.fromkeys(split_id(source)[0] for source in sources if isinstance(source, str))
    own = [name for name in names if not atari.is_atari(name)]  # ale-py registers its own there, too
    return [gymnasium.registry[name] for name in own if name in gymnasium.registry]


def pays(seconds: float, num_envs: int, processes: int, total_steps: int) -> bool:
    """Do several processes save more than they cost, where one step takes so many ``seconds``?"""
    alone, together = num_envs * seconds, math.ceil(num_envs / processes) * seconds + WAKING
    return together < WORTH * alone and (alone - together) * total_steps / num_envs > STARTING


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def step_time(factory: Callable[[], gymnasium.Env]) -> float:
    """Seconds that a step with a random action takes, on a copy; no global generator is moved."""
    states = random.getstate(), np.random.get_state()
    env = factory()
    try:
        env.action_space.seed(0)
        _, info = env.reset(seed=0)
        info = env.step(drawn(env.action_space, info))[-1]  # the first one may build things
        taken: list[float] = []
        while sum(taken) < MEASURED:
            action, began = drawn(env.action_space, info), time.perf_counter()
            _, _, terminated, truncated, info = env.step(action)
            taken.append(time.perf_counter() - began)
            if terminated or truncated:
                _, info = env.reset()
        return float(np.median(taken))  # others may have interrupted some of them
    except (Exception, SystemExit):  # it will be told of where it happens in training
        return 0.0
    finally:
        close(env, "an environment to measure what a step takes")
        random.setstate(states[0])
        np.random.set_state(states[1])


def drawn(space: gymnasium.Space, info: Info) -> object:
    """A random legal action (masks of Discrete only); an illegal one may make the environment raise."""
    mask = next((info[key] for key in MASK_KEYS if key in info), None)
    if mask is None or not isinstance(space, gymnasium.spaces.Discrete):
        return space.sample()
    return space.sample(mask=np.asarray(mask, dtype=np.int8))


def native(source: EnvSource, num_envs: int) -> VectorEnv:
    """The vector environment that an id's package brings: ale-py's, or the one that is registered with Gymnasium."""
    if agents.is_pettingzoo(named(source, "native")):
        return make(source, num_envs)
    source, given = split_id(named(source, "native"))
    if is_envpools(source):
        raise ConfigError(f"{source} is EnvPool's own: use --vector envpool (or auto), or workers, or serial")
    with named_errors(source, given):
        if atari.is_atari(source):
            return atari.make_native(source, atari.read_options(source, given), num_envs, cores())
        spec = gymnasium.spec(source)
        if spec.vector_entry_point is None:
            raise ConfigError(
                f"{source} has no vector environment of its own: use --vector workers (or serial), which step any, or "
                "envpool, if EnvPool has it"
            )
        mode = "vector_entry_point"
        return make(called(gymnasium.make_vec, source, num_envs, vectorization_mode=mode, **given), num_envs)


def pooled(source: EnvSource, num_envs: int) -> VectorEnv:
    """EnvPool's environments of an id that Gymnasium knows too, or of EnvPool's own."""
    source = named(source, "envpool")
    name, given = split_id(source)
    if is_envpools(name):
        single = make_single(source)
        assert isinstance(single, Lone)
        with closing(single):
            return make_many(single, num_envs, cores())
    options = atari.read_options(name, given) if atari.is_atari(name) else None
    if given and options is None:
        raise ConfigError(f"EnvPool's {name} is taken as it is, without {', '.join(given)}: use --vector workers")
    try:
        single = make_single(source)
    except UnknownEnvironmentError as error:
        if name in installed().list_all_envs():
            raise UnknownEnvironmentError(
                f"Gymnasium has no {name}, which would evaluate the policy: write {PREFIX}{name} for EnvPool's own"
            ) from error
        raise
    try:
        return make_pool(single, name, num_envs, cores(), options)
    finally:
        close(single, name)


def named(source: EnvSource, vector: str) -> str:
    """An id, since of a factory nobody knows what else could step it."""
    if not isinstance(source, str):
        raise ConfigError(f"vector={vector} needs an environment's id; hand over a VectorEnv of your own as it is")
    return source
