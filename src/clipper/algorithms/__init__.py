"""One paper, one file. No algorithm imports another."""

from typing import TypeAlias

from clipper.algorithms.ppo import PPO
from clipper.algorithms.reinforce import Reinforce

Algorithm: TypeAlias = PPO | Reinforce

__all__ = ["PPO", "Algorithm", "Reinforce"]
