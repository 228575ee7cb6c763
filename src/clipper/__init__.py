"""Clipper: the PPO library.

>>> import clipper
>>> run = clipper.train("CartPole-v1", clipper.PPO(clip=0.2), total_steps=100_000)
>>> run.policy.predict(obs)
"""

from clipper import functional
from clipper.algorithms import A2C, NPG, PPO, TRPO, VPG, ImportanceSampling, PPOApart, PPOPenalty, Reinforce
from clipper.data.steps import Steps, Targets
from clipper.environments import make as make_env
from clipper.errors import ClipperError
from clipper.learning.critic_targets import TD0, MonteCarlo, NStep, Periodic, Polyak, TDLambda
from clipper.learning.importance_weights import CausalProduct, FirstOrder, WholeTrajectory
from clipper.learning.objectives import SPO, Clip, DualClip, Rollback, TrustRegion, TrustRegionRollback, Unclipped
from clipper.learning.optimizers import Adam, RMSProp, RMSPropTF
from clipper.learning.schedules import KLAdaptive, Linear
from clipper.learning.value_losses import MSE, ClippedMSE, CrossEntropy, Huber
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.critics import PopArt, Scalar, TwoHot
from clipper.networks.heads import HeadOptions
from clipper.networks.make_policy import make_policy
from clipper.networks.memory import GRU, LSTM, Transformer
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

__all__ = [
    "A2C",
    "GRU",
    "LSTM",
    "MSE",
    "NPG",
    "PPO",
    "SPO",
    "TD0",
    "TRPO",
    "VPG",
    "ActorCritic",
    "Adam",
    "CausalProduct",
    "Clip",
    "ClippedMSE",
    "ClipperError",
    "Config",
    "CrossEntropy",
    "DualClip",
    "EncoderOptions",
    "Evaluation",
    "FirstOrder",
    "HeadOptions",
    "Huber",
    "ImportanceSampling",
    "KLAdaptive",
    "Linear",
    "MonteCarlo",
    "NStep",
    "PPOApart",
    "PPOPenalty",
    "Periodic",
    "PolicyOptions",
    "Polyak",
    "PopArt",
    "RMSProp",
    "RMSPropTF",
    "Reinforce",
    "Rollback",
    "Run",
    "Scalar",
    "Steps",
    "TDLambda",
    "Targets",
    "Transformer",
    "TrustRegion",
    "TrustRegionRollback",
    "TwoHot",
    "Unclipped",
    "WholeTrajectory",
    "collect",
    "evaluate",
    "functional",
    "load",
    "make_env",
    "make_policy",
    "presets",
    "recipes",
    "start",
    "train",
]
