"""The main function of an unrolled file: the environments, the settings as code, and the loop."""

import dataclasses
import re
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Dict, OneOf, Tuple
from gymnasium.vector import SyncVectorEnv, VectorEnv

from clipper.algorithms import KNOWN, OFF_POLICY, quota_of
from clipper.data.values import Elsewhere
from clipper.environments.agents import TEAM_TASKS, is_pettingzoo
from clipper.environments.atari import is_atari
from clipper.environments.checks import MASK_KEYS
from clipper.environments.envpool_ids import is_envpools
from clipper.environments.hybrid import TASKS
from clipper.environments.ids import split_id
from clipper.environments.make import make, make_single
from clipper.environments.recall import MEMORY_TASKS
from clipper.environments.vector.serial import Serial
from clipper.networks.policy_options import EncoderOptions
from clipper.settings.config import Config
from clipper.unroll.source import It, UnrollError

COMPARED = 200
"""Rows over which Gymnasium's vector environment is held to Clipper's."""


class Environment(NamedTuple):
    """What makes a run's environments, as code, with its imports, and such environments themselves."""

    code: str
    imports: list[str]
    made: VectorEnv


def main_source(config: Config, environment: Environment) -> str:
    """``main()``, with the imports from which everything else is found."""
    if type(config.algorithm) not in KNOWN:
        raise UnrollError(f"{type(config.algorithm).__name__} is an algorithm of your own: its file is one already")
    if config.policy.agents != "shared":
        raise UnrollError("agents that share no parameters are not cut into files yet: leave out agents (--agents)")
    device = "" if config.device == "cpu" else f".to({config.device!r})"
    rest = "" if config.device == "cpu" else f", {config.device!r}"
    if config.policy.encoder.mask_key != EncoderOptions().mask_key:
        rest += f", mask_key={config.policy.encoder.mask_key!r}"
    values = [v for part in (config.policy, config.algorithm) for v in instances(part)]
    if elsewhere := [v.name for v in values if isinstance(v, Elsewhere)]:
        raise UnrollError(f"{elsewhere[0]} is code of your own, which this run's file only names")
    imports = sorted({f"from {type(v).__module__} import {type(v).__name__}" for v in values} | {*environment.imports})
    (name,) = quota_of(config.algorithm)
    actor = "learner.behaviour" if isinstance(config.algorithm, OFF_POLICY) else "policy"
    spaces = "env.single_observation_space, env.single_action_space"
    return f'''
import hashlib
import torch
import gymnasium
from gymnasium.vector import SyncVectorEnv
from torch import Generator
from clipper.networks.make_policy import make_policy
from clipper.rollout.vector_rollouts import VectorRollouts
{chr(10).join(imports)}

def main() -> None:
    """Train, print the mean return of the episodes that finished in each iteration, then what identifies the result."""
    torch.set_num_threads({config.threads})
    seed, total_steps = {config.seed}, {config.total_steps}
    env = {environment.code}
    algorithm = {code(config.algorithm)}
    options = {code(config.policy)}
    policy = make_policy({spaces}, options, Generator().manual_seed(seed)){device}
    learner = algorithm.init(policy, seed=seed)
    rollouts = VectorRollouts(env, seed{rest})
    while rollouts.steps < total_steps:
        learner.advance(rollouts.steps / total_steps)
        steps, last_obs = rollouts.collect({actor}, {name}=algorithm.{name})
        algorithm.update(learner, steps, last_obs)
        if rollouts.episodes:
            mean_return = sum(episode.total for episode in rollouts.episodes) / len(rollouts.episodes)
            print(f"{{rollouts.steps:>9}} steps   mean return {{mean_return:.1f}}")
    env.close()
    parameters = learner.parameters.detach().cpu().numpy()
    print("sha256 of the parameters:", hashlib.sha256(parameters.tobytes()).hexdigest())
'''


def environment_of(config: Config) -> Environment:
    """Gymnasium's own vector environment where that gives what Clipper's does, row by row; otherwise Clipper's."""
    name, given = split_id(config.env)
    n, episodes = config.num_envs, "episodes" in quota_of(config.algorithm)
    if name in TASKS:
        task, _, settings = TASKS[name]
        module, _, maker = task.partition(":")
        package = "clipper.environments.hybrid"
        needed = [f"from {package}.vector import Native", f"from {package}.{module} import {maker}"]
        return Environment(f"Native({maker}, {n}{keywords(settings | given)})", needed, make(config.env, n))
    if name in TEAM_TASKS:
        task = TEAM_TASKS[name]
        needed = ["from clipper.environments.agents.together import Together"]
        needed += [f"from {task.__module__} import {task.__name__}"]
        return Environment(f"Together({task.__name__}, {n}{keywords(given)})", needed, make(config.env, n))
    if is_pettingzoo(name):
        raise UnrollError(f"{name} is stepped through PettingZoo, whose code is not cut into files")
    factory, needed = factory_of(name, given)
    ours, theirs = make(config.env, n), SyncVectorEnv([partial(make_single, config.env)] * n)
    needed += ["from functools import partial"] if factory.startswith("partial(") else []
    if not alike(ours, theirs, config.seed, episodes):
        serial = "from clipper.environments.vector.serial import Serial"
        return Environment(f"Serial([{factory}] * {n})", [*needed, serial], ours)
    if name in gymnasium.registry and factory.startswith("partial(gymnasium.make,"):
        made = f'gymnasium.make_vec({name!r}, num_envs={n}, vectorization_mode="sync"{keywords(given)})'
        return Environment(made, [], theirs)
    return Environment(f"SyncVectorEnv([{factory}] * {n})", needed, theirs)


def factory_of(name: str, given: dict[str, It]) -> tuple[str, list[str]]:
    """What makes one environment, as code, and its imports."""
    if name in MEMORY_TASKS:
        maker, _, settings = MEMORY_TASKS[name]
        return bound(maker, settings | given), [f"from clipper.environments.recall.tasks import {maker}"]
    if name == "clipper/Joints-v0":
        return bound("joints", given), ["from clipper.environments.joint_groups import joints"]
    if is_atari(name):
        listed = ", ".join(f"{key!r}: {code(value)}" for key, value in given.items())
        return f"partial(make_game, {name!r}, {{{listed}}})", ["from clipper.environments.atari.game import make_game"]
    if name in gymnasium.registry and not name.startswith("clipper/"):
        return bound("gymnasium.make", given, repr(name)), []
    if name.startswith("clipper/"):
        raise UnrollError(f"{name} is an environment of Clipper's own that is not cut into files yet")
    if is_envpools(name):
        raise UnrollError(f"{name} is stepped by EnvPool's threads: a file would play other episodes than the run")
    module, _, maker = name.partition(":")
    if not maker:
        make_single(name)  # which says what is wrong
    return bound(maker, given), [f"from {module} import {maker}"]


def alike(ours: VectorEnv, theirs: VectorEnv, seed: int, episodes: bool) -> bool:
    """Do both give the same rows, and do the infos of both say the same of what is read there?"""
    if not isinstance(ours, Serial) or has_choice(ours.single_action_space) or (ours.tells and episodes):
        return False
    ours.action_space.seed(seed)
    (mine, info), (other, _) = (env.reset(seed=seed) for env in (ours, theirs))
    if ours.asks or not same(mine, other) or not set(MASK_KEYS).isdisjoint(info):
        return False
    for _ in range(COMPARED):
        actions = ours.action_space.sample()
        (*mine, info), (*other, _) = ours.step(actions), theirs.step(actions)
        if not same(tuple(mine), tuple(other)) or not set(MASK_KEYS).isdisjoint(info):
            return False
    return True


def has_choice(space: gymnasium.Space) -> bool:
    """Is a part of it a ``OneOf``, which Gymnasium batches in another way?"""
    parts = space.values() if isinstance(space, Dict) else space if isinstance(space, Tuple) else ()
    return isinstance(space, OneOf) or any(map(has_choice, parts))


def same(a: It, b: It) -> bool:
    """Are two trees of arrays the same, bit for bit?"""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(x, b[key]) for key, x in a.items())
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return np.array_equal(a, b) and np.asarray(a).dtype == np.asarray(b).dtype


def keywords(given: dict[str, It]) -> str:
    """As further arguments of a call."""
    return "".join(f", {key}={code(value)}" for key, value in given.items())


def bound(maker: str, given: dict[str, It], *places: str) -> str:
    """What makes one environment."""
    inner = ", ".join([maker, *places]) + keywords(given)
    return f"partial({inner})" if given or places else maker


def instances(value: It) -> Iterator[It]:
    """A dataclass instance and those in its fields that are not at their default."""
    if isinstance(value, tuple):
        for item in value:
            yield from instances(item)
    if dataclasses.is_dataclass(value):
        yield value
        for _, item in changed_fields(value):
            yield from instances(item)


def changed_fields(value: It) -> list[tuple[str, It]]:
    """Fields of a dataclass instance that differ from their default."""
    pairs = []
    for f in dataclasses.fields(value):
        default = f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        if (item := getattr(value, f.name)) != default or type(item) is not type(default):
            pairs.append((f.name, item))
    return pairs


def code(value: It) -> str:
    """A setting as Python code."""
    if isinstance(value, tuple):
        return f"({', '.join(map(code, value))}{',' * (len(value) == 1)})"
    if not dataclasses.is_dataclass(value):
        return f'float("{value}")' if value in (float("inf"), float("-inf")) else repr(value)
    fields = [f"{name}={code(v)}" for name, v in changed_fields(value)]
    return f"{type(value).__name__}({', '.join(fields)})"


def extra(config: Config) -> str:
    """The extra of Gymnasium that brings the environment's own packages; empty where there is none."""
    name = config.env.partition(",")[0]
    spec = gymnasium.registry.get(name)
    found = re.match(r"gymnasium\.envs\.(box2d|mujoco)\b", str(spec.entry_point) if spec is not None else "")
    return "atari" if is_atari(name) else found[1] if found else ""
