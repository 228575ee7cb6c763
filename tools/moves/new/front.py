"""Clipper: the PPO library.

>>> import clipper
>>> run = clipper.train("CartPole-v1", clipper.PPO(clip=0.2), total_steps=100_000)
>>> run.policy.predict(obs)
"""

from typing import Any

from clipper import former, functional
from clipper.algorithms import A2C, NPG, PPO, TRPO, VPG, ImportanceSampling, PPOApart, PPOPenalty, Reinforce
from clipper.data.steps import Steps, Targets
from clipper.environments import make as make_env
from clipper.errors import ClipperError
from clipper.learning import critic_targets, importance_weights, objectives, optimizers, schedules, value_losses
from clipper.networks import critics, heads, memory
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.heads import HeadOptions
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import EncoderOptions, PolicyOptions
from clipper.rollout.collect import collect
from clipper.rollout.evaluation import Evaluation
from clipper.rollout.state import start
from clipper.runs.evaluate import evaluate
from clipper.runs.load import load
from clipper.runs.run import Run
from clipper.runs.train import train
from clipper.settings import presets, recipes
from clipper.settings.config import Config

__version__ = "0.1.0"
