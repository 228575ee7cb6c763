"""The last part of an unrolled file: the recipe's settings as code, and the loop."""

import dataclasses
import re
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import gymnasium
from torch import Generator

from clipper.algorithms import quota_of
from clipper.environments import make
from clipper.environments.atari import is_atari
from clipper.environments.hybrid import TASKS
from clipper.environments.ids import split_id
from clipper.environments.recall import MEMORY_TASKS
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import EncoderOptions
from clipper.settings.config import Config
from clipper.unroll.source import ROOT, WIDTH, UnrollError


def main_source(config: Config) -> str:
    """``main()``, with the imports from which everything else is found."""
    device = "" if config.device == "cpu" else f".to({config.device!r})"
    rest = "" if config.device == "cpu" else f", {config.device!r}"
    if config.policy.encoder.mask_key != EncoderOptions().mask_key:
        rest += f", mask_key={config.policy.encoder.mask_key!r}"
    values = [v for part in (config.policy, config.algorithm) for v in instances(part)]
    imports = sorted({f"from {type(v).__module__} import {type(v).__name__}" for v in values})
    made, needed = environment(config)
    (name,) = quota_of(config.algorithm)
    quota = f"{name}=algorithm.{name}"
    imports = sorted({*imports, *needed})
    spaces = "env.single_observation_space, env.single_action_space"
    return f'''
import hashlib
import torch
import gymnasium
from torch import Generator
from clipper.networks.make_policy import make_policy
from clipper.rollout.vector_rollouts import VectorRollouts
{chr(10).join(imports)}

def main() -> None:
    """Train, print the mean return of the episodes that finished in each iteration, then what identifies the result."""
    torch.set_num_threads({config.threads})
    seed, total_steps = {config.seed}, {config.total_steps:_}
    env = {made}
    algorithm = {code(config.algorithm, 4, len("algorithm = "))}
    options = {code(config.policy, 4, len("options = "))}
    policy = make_policy({spaces}, options, Generator().manual_seed(seed)){device}
    learner = algorithm.init(policy, seed=seed)
    rollouts = VectorRollouts(env, seed{rest})
    while rollouts.steps < total_steps:
        learner.advance(rollouts.steps / total_steps)
        steps, last_obs = rollouts.collect(policy, {quota})
        algorithm.update(learner, steps, last_obs)
        if rollouts.episodes:
            mean_return = sum(episode.total for episode in rollouts.episodes) / len(rollouts.episodes)
            print(f"{{rollouts.steps:>9}} steps   mean return {{mean_return:.1f}}")
    env.close()
    parameters = learner.parameters.detach().cpu().numpy()
    print("sha256 of the parameters:", hashlib.sha256(parameters.tobytes()).hexdigest())
'''


def environment(config: Config) -> tuple[str, list[str]]:
    """What makes the environments, as code, and its imports; of Clipper's own tasks, without Gymnasium's registry."""
    name, given = split_id(config.env)
    if name in MEMORY_TASKS:
        maker, _, settings = MEMORY_TASKS[name]
        arguments = "".join(f", {key}={value!r}" for key, value in (settings | given).items())
        needed = ["from clipper.environments import make", f"from clipper.environments.recall.tasks import {maker}"]
        if not arguments:
            return f"make({maker}, num_envs={config.num_envs})", needed
        made = f"make(partial({maker}{arguments}), num_envs={config.num_envs})"
        return made, [*needed, "from functools import partial"]
    if is_atari(name):
        needed = ["from clipper.environments import make", "from clipper.environments.atari.game import make_game"]
        arguments = ", ".join(f"{quoted(key)}: {code(value, 0, 0)}" for key, value in given.items())
        made = f"make(partial(make_game, {quoted(name)}, {{{arguments}}}), num_envs={config.num_envs})"
        return made, [*needed, "from functools import partial"]
    if name not in TASKS:
        if name.startswith("clipper/"):
            raise UnrollError(f"{name} is an environment of Clipper's own that is not cut into files yet")
        return f"make({quoted(config.env)}, num_envs={config.num_envs})", ["from clipper.environments import make"]
    task, _, settings = TASKS[name]
    module, _, maker = task.partition(":")
    arguments = "".join(f", {key}={value!r}" for key, value in (settings | given).items())
    package = "clipper.environments.hybrid"
    needed = [f"from {package}.vector import Native", f"from {package}.{module} import {maker}"]
    return f"Native({maker}, {config.num_envs}{arguments})", needed


def instances(value: Any) -> Iterator[Any]:
    """A dataclass instance and those in its fields that are not at their default."""
    if isinstance(value, tuple):
        for item in value:
            yield from instances(item)
    if dataclasses.is_dataclass(value):
        yield value
        for _, item in changed_fields(value):
            yield from instances(item)


def changed_fields(value: Any) -> list[tuple[str, Any]]:
    """Fields of a dataclass instance that differ from their default."""
    pairs = []
    for f in dataclasses.fields(value):
        default = f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        if (item := getattr(value, f.name)) != default or type(item) is not type(default):
            pairs.append((f.name, item))
    return pairs


def code(value: Any, indent: int, taken: int) -> str:
    """A setting as Python code; ``taken`` columns after ``indent`` are in use before it."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, tuple):
        return f"({', '.join(code(v, indent, taken) for v in value)}{',' * (len(value) == 1)})"
    if not dataclasses.is_dataclass(value):
        return f'float("{value}")' if value in (float("inf"), float("-inf")) else repr(value)
    fields = [f"{name}={code(v, indent + 4, len(name) + 1)}" for name, v in changed_fields(value)]
    line = f"{type(value).__name__}({', '.join(fields)})"
    if indent + taken + len(line) <= WIDTH and "\n" not in line:
        return line
    inner = "".join(f"{' ' * (indent + 4)}{f},\n" for f in fields)
    return f"{type(value).__name__}(\n{inner}{' ' * indent})"


def quoted(text: str) -> str:
    """In double quotes where that needs no escapes."""
    return f'"{text}"' if text.isprintable() and not set(text) & {'"', "\\"} else repr(text)


def extra(config: Config) -> str:
    """The extra of Gymnasium that brings the environment's own packages; empty where there is none."""
    name = config.env.partition(",")[0]
    spec = gymnasium.registry.get(name)
    found = re.match(r"gymnasium\.envs\.(box2d|mujoco)\b", str(spec.entry_point) if spec is not None else "")
    return "atari" if is_atari(name) else found[1] if found else ""


def entered(config: Config) -> set[tuple[str, int]]:
    """(file, first line) of the library's functions that run when the recipe's policy is made."""
    env = make(config.env, 1)
    found: set[tuple[str, int]] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(ROOT)):
            found.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

    before = sys.gettrace()
    sys.settrace(note)
    try:
        make_policy(env.single_observation_space, env.single_action_space, config.policy, Generator())
    finally:
        sys.settrace(before)
        env.close()
    return found
