"""One paper, one file. No algorithm imports another."""

from typing import TypeAlias

from clipper.algorithms.npg import NPG
from clipper.algorithms.ppo import PPO
from clipper.algorithms.reinforce import Reinforce
from clipper.algorithms.trpo import TRPO

Algorithm: TypeAlias = PPO | Reinforce | NPG | TRPO

__all__ = ["NPG", "PPO", "TRPO", "Algorithm", "Reinforce"]
