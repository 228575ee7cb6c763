"""A recipe's program, followed."""

import ast
from importlib import import_module

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Dict, Tuple
from gymnasium.vector import SyncVectorEnv

from clipper.environments.checks import checked_reset, checked_step
from clipper.environments.mask_sources import mask_source
from clipper.learning.parts import alike
from clipper.settings.config import Config
from clipper.unroll.entry import Environment, main_source
from clipper.unroll.facts import ANY, items, known, some
from clipper.unroll.follow import Follow
from clipper.unroll.source import Function, Module, UnrollError
from clipper.unroll.things import Fact


def followed(config: Config, environment: Environment) -> tuple[Follow, Function]:
    """Everything that may run, and ``main``."""
    main, program, env = main_of(main_source(config, environment)), Follow(), environment.made
    program.samples[type(env)] = env
    obs = observation(env.single_observation_space)
    seen, info = env.reset(seed=config.seed)
    flags = [some(np.ndarray)] * 3
    program.answers = {
        gymnasium.make_vec: some(type(env)), SyncVectorEnv: some(SyncVectorEnv),
        checked_step: items([obs, *flags, ANY]), checked_reset: items([obs, known(info)]), alike: known(True),
    }  # fmt: skip
    if (optimizer := getattr(config.algorithm, "optimizer", None)) is not None:
        made = optimizer.make(torch.nn.Parameter(torch.zeros(1)))
        program.samples[type(made)] = made
    if mask_source(env, seen, info, config.policy.encoder.mask_key) is None:
        program.answers[mask_source] = known(None)
    if config.device == "cpu":
        program.device = known("cpu")
    program.follow(main)
    return program, main


def main_of(source: str) -> Function:
    """``main`` of a program that imports whatever else it needs."""
    module = Module("main", source, {})
    for name, imported in module.imports.items():
        found = import_module(imported.module)
        module.space[name] = found if imported.member is None else getattr(found, imported.member)
    node = module.definitions["main"].node
    assert isinstance(node, ast.FunctionDef)
    return Function(node, module)


def observation(space: gymnasium.Space) -> Fact:
    """What is known of observations of all environments."""
    if isinstance(space, Tuple):
        return items(observation(part) for part in space)
    return ANY if isinstance(space, Dict) else some(np.ndarray)


__all__ = ["UnrollError", "followed"]
