"""What leads the arguments of ``train`` and ``unroll``: an environment or a recipe, and an algorithm."""

import dataclasses
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import gymnasium

from clipper import algorithms
from clipper.algorithms import Algorithm
from clipper.errors import ConfigError
from clipper.settings.config import Config
from clipper.settings.defaults import config_for
from clipper.settings.option_text import OWN, named_value
from clipper.settings.presets import PRESETS
from clipper.settings.recipes import RECIPES

ALGORITHMS: dict[str, type[Algorithm]] = {
    "ppo": algorithms.PPO, "ppo-separate": algorithms.PPOSeparate, "ppo-penalty": algorithms.PPOPenalty,
    "ppo-ewma": algorithms.PPOEWMA, "reinforce": algorithms.Reinforce,
    "importance-sampling": algorithms.ImportanceSampling, "vpg": algorithms.VPG, "a2c": algorithms.A2C,
    "npg": algorithms.NPG, "trpo": algorithms.TRPO, "sac": algorithms.SAC, "sac-discrete": algorithms.DiscreteSAC,
    "sac-hybrid": algorithms.HybridSAC, "td3": algorithms.TD3, "ddpg": algorithms.DDPG, "dqn": algorithms.DQN,
    "pdqn": algorithms.PDQN, "mpdqn": algorithms.MPDQN, "paddpg": algorithms.PADDPG, "hyar": algorithms.HyAR,
    "exploring": algorithms.Exploring, "reusing": algorithms.Reusing, "happo": algorithms.HAPPO,
}  # fmt: skip


SHORT_FLAGS = {"target_kl", "scale_rewards", "ratio", "learning_rate"}
"""Flags of ours whose name is another field's elsewhere."""


def train_defaults(args: Sequence[str]) -> tuple[Config, list[str]]:
    """The environment or recipe and the algorithm that lead the arguments → defaults, and the flags that follow."""
    words = []
    while len(words) < len(args) and len(words) < 2 and not args[len(words)].startswith("-"):
        words.append(args[len(words)])
    name, algorithm = [*words, None, None][:2]
    rest = list(args[len(words) :])
    if algorithm is None and (own := said("--algorithm", rest)) is not None:
        algorithm, rest = own, without("--algorithm", rest)
    if algorithm is not None and ":" in algorithm:
        config, rest = train_defaults([*words[:1], *rest])
        return dataclasses.replace(config, algorithm=own_algorithm(algorithm)), rest
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise ConfigError(f"there is no algorithm {algorithm!r}.{nearest(algorithm, ALGORITHMS)}")
    named = said("--env", rest) if name is None else name
    if named == "":
        raise ConfigError("the environment's name is empty: clipper train CartPole-v1")
    check_first_word(name)
    config = RECIPES[name]() if name in RECIPES else config_for("CartPole-v1" if named is None else named)
    preset = said("--preset", rest)
    if preset is not None:
        config = with_preset(config, preset, keep_budget=name in RECIPES)
    if algorithm is not None and not isinstance(config.algorithm, ALGORITHMS[algorithm]):
        if preset is not None:
            raise ConfigError(f"--preset {preset} sets {type(config.algorithm).__name__}, not {algorithm}")
        chosen = ALGORITHMS[algorithm]()
        config = dataclasses.replace(config, algorithm=chosen) if name in RECIPES else config_for(config.env, chosen)
    if name is None and "--env" not in rest and not {"-h", "--help", "--help-all"} & set(rest):
        raise ConfigError("name an environment or a recipe: clipper train CartPole-v1")
    return config, rest


def check_first_word(name: str | None) -> None:
    """Raise ``ConfigError`` for a word that is an algorithm, or looks like a recipe and is none."""
    if name in ALGORITHMS:
        raise ConfigError(
            f"{name} is an algorithm: an environment or a recipe comes first: clipper train CartPole-v1 {name}"
        )
    if name is not None and re.fullmatch("[a-z][a-z0-9_]*", name) and name not in {*RECIPES, *gymnasium.registry}:
        raise ConfigError(f"there is no recipe or environment {name!r}.{nearest(name, RECIPES)}")


def said(flag: str, args: Sequence[str]) -> str | None:
    """What follows a flag among the arguments, as in ``--flag x`` or ``--flag=x``."""
    for i, argument in enumerate(args):
        if argument.startswith(f"{flag}="):
            return argument.removeprefix(f"{flag}=")
        if argument == flag:
            return "".join(args[i + 1 : i + 2])
    return None


def fields_named(args: Sequence[str]) -> set[str]:
    """The fields of the algorithm that the arguments name."""
    words = {*args[:2], said("--algorithm", args)}
    kinds = [kind for name, kind in ALGORITHMS.items() if name in words]
    return {field.name for kind in kinds for field in dataclasses.fields(kind)}  # pyright: ignore[reportArgumentType]


def without(flag: str, args: Sequence[str]) -> list[str]:
    """The arguments without a flag and what follows it."""
    for i, argument in enumerate(args):
        if argument.startswith(f"{flag}=") or argument == flag:
            return [*args[:i], *args[i + 1 + (argument == flag) :]]
    return list(args)


def own_algorithm(name: str) -> object:
    """The algorithm that ``MODULE:NAME`` is, which the user has named."""
    reach_own_code(name)
    try:
        found = OWN.fullmatch(name)
        return named_value(*((found[1], found[2] or "") if found else (name,)))
    except ValueError as error:
        raise ConfigError(str(error)) from error


def with_preset(config: Config, name: str, keep_budget: bool) -> Config:
    """A preset's settings for ``config.env``; a recipe keeps its budget and its evaluations."""
    if name not in PRESETS:
        raise ConfigError(f"there is no preset {name!r}.{nearest(name, PRESETS)}")
    made = PRESETS[name](config.env)
    if not keep_budget:
        return made
    return dataclasses.replace(config, algorithm=made.algorithm, policy=made.policy, num_envs=made.num_envs)


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at the nearest known words."""
    near = difflib.get_close_matches(word, known, n=2, cutoff=0.5)
    return f" Did you mean {' or '.join(near)}?" if near else f" There are: {', '.join(known)}."


def reach_own_code(named: str | None) -> None:
    """Let MODULE of a named ``MODULE:…`` lie in the folder where the command runs, behind all that is installed."""
    if named is not None and ":" in named and not {"", str(Path.cwd())} & set(sys.path):
        sys.path.append(str(Path.cwd()))
