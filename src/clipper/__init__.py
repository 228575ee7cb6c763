"""Clipper: the PPO library.

>>> import clipper
>>> run = clipper.train("CartPole-v1", clipper.PPO(clip=0.2), total_steps=100_000)
>>> run.policy.predict(obs)
"""

from typing import Any

from clipper.cli import interrupts, quick_help  # first of all: to import torch takes a second or two

# isort: split
from clipper import former, functional
from clipper.algorithms import (
    A2C,
    DDPG,
    DQN,
    GRPO,
    HAPPO,
    MPDQN,
    NPG,
    PADDPG,
    PDQN,
    PPO,
    PPOEWMA,
    SAC,
    TD3,
    TRPO,
    VPG,
    DiscreteSAC,
    Exploring,
    HyAR,
    HybridSAC,
    ImportanceSampling,
    PairwisePPO,
    PPOPenalty,
    PPOSeparate,
    Reinforce,
    Reusing,
)
from clipper.data.steps import Steps, Targets
from clipper.environments import make as make_env
from clipper.environments.agents import Agents, Turns
from clipper.environments.numba_task import NumbaTask
from clipper.errors import ClipperError
from clipper.language.train import train_language
from clipper.learning import (
    action_parts,
    advantages,
    baselines,
    bonuses,
    critic_targets,
    exploration,
    importance_weights,
    kl,
    objectives,
    optimizers,
    reductions,
    reference_kl,
    rewards,
    schedules,
    temperature,
    value_losses,
)  # fmt: skip
from clipper.networks import critics, heads, memory
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.heads import HeadOptions
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import EncoderOptions, PolicyOptions
from clipper.rollout.evaluation import Evaluation
from clipper.rollout.pool import Pool
from clipper.rollout.protocol import Rollouts
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.runs.evaluate import evaluate
from clipper.runs.load import load
from clipper.runs.run import Run
from clipper.runs.train import train
from clipper.settings import language_presets, presets, recipes
from clipper.settings.config import Config

__version__ = quick_help.VERSION

__all__ = [
    "A2C",
    "DDPG",
    "DQN",
    "GRPO",
    "HAPPO",
    "MPDQN",
    "NPG",
    "PADDPG",
    "PDQN",
    "PPO",
    "PPOEWMA",
    "SAC",
    "TD3",
    "TRPO",
    "VPG",
    "ActorCritic",
    "Agents",
    "ClipperError",
    "Config",
    "DiscreteSAC",
    "EncoderOptions",
    "Evaluation",
    "Exploring",
    "HeadOptions",
    "HyAR",
    "HybridSAC",
    "ImportanceSampling",
    "NumbaTask",
    "PPOPenalty",
    "PPOSeparate",
    "PairwisePPO",
    "PolicyOptions",
    "Pool",
    "Reinforce",
    "Reusing",
    "Rollouts",
    "Run",
    "Steps",
    "Targets",
    "Turns",
    "VectorRollouts",
    "action_parts",
    "advantages",
    "baselines",
    "bonuses",
    "critic_targets",
    "critics",
    "evaluate",
    "exploration",
    "functional",
    "heads",
    "importance_weights",
    "kl",
    "language_presets",
    "load",
    "make_env",
    "make_policy",
    "memory",
    "objectives",
    "optimizers",
    "presets",
    "recipes",
    "reductions",
    "reference_kl",
    "rewards",
    "schedules",
    "temperature",
    "train",
    "train_language",
    "value_losses",
]

former.install()
interrupts.end()


def __getattr__(name: str) -> Any:
    """Names that were here before they had rooms."""
    return former.at_front(name)
