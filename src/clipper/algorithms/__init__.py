"""One paper, one file. No algorithm imports another."""

from typing import TypeAlias

from clipper.algorithms.a2c import A2C
from clipper.algorithms.importance_sampling import ImportanceSampling
from clipper.algorithms.npg import NPG
from clipper.algorithms.ppo import PPO
from clipper.algorithms.ppo_penalty import PPOPenalty
from clipper.algorithms.ppo_separate import PPOApart
from clipper.algorithms.reinforce import Reinforce
from clipper.algorithms.trpo import TRPO
from clipper.algorithms.vpg import VPG

Algorithm: TypeAlias = PPO | PPOApart | PPOPenalty | Reinforce | ImportanceSampling | VPG | A2C | NPG | TRPO

__all__ = ["A2C", "NPG", "PPO", "TRPO", "VPG", "Algorithm", "ImportanceSampling", "PPOApart", "PPOPenalty", "Reinforce"]
