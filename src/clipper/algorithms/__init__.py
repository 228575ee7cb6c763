"""One paper, one file. No algorithm imports another, but for those that hold one."""

from numbers import Integral
from typing import Protocol, TypeAlias, runtime_checkable

from torch import nn

from clipper.algorithms.a2c import A2C
from clipper.algorithms.ddpg import DDPG
from clipper.algorithms.dqn import DQN
from clipper.algorithms.exploring import Exploring
from clipper.algorithms.grpo import GRPO
from clipper.algorithms.happo import HAPPO
from clipper.algorithms.hyar import HyAR
from clipper.algorithms.importance_sampling import ImportanceSampling
from clipper.algorithms.npg import NPG
from clipper.algorithms.paddpg import PADDPG
from clipper.algorithms.pairwise_ppo import PairwisePPO
from clipper.algorithms.pdqn import MPDQN, PDQN
from clipper.algorithms.ppo import PPO
from clipper.algorithms.ppo_ewma import PPOEWMA
from clipper.algorithms.ppo_penalty import PPOPenalty
from clipper.algorithms.ppo_separate import PPOSeparate
from clipper.algorithms.reinforce import Reinforce
from clipper.algorithms.reusing import Reusing
from clipper.algorithms.sac import SAC
from clipper.algorithms.sac_discrete import DiscreteSAC
from clipper.algorithms.sac_hybrid import HybridSAC
from clipper.algorithms.td3 import TD3
from clipper.algorithms.trpo import TRPO
from clipper.algorithms.vpg import VPG
from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.data.values import shown
from clipper.errors import ConfigError
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics


@runtime_checkable
class OwnAlgorithm(Protocol):
    """An algorithm of your own.

    Its ``horizon`` or ``episodes``, or a ``quota`` of one of the two, is what is collected for an update; without any
    it gets 128 rows. Where it has a method ``policy_options``, that says with which network it learns: called with the
    user's ``PolicyOptions``, or None where there are none.
    """

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        """A learner of the policy."""
        ...

    def update(self, learner: Learner, steps: Steps, last_obs: Tree) -> Metrics:
        """Learn from what was collected; what to watch. In two steps it is ``learning.two_steps``'s."""
        ...


ON_POLICY = (PPO, PPOSeparate, PPOPenalty, PPOEWMA, Reinforce, ImportanceSampling, VPG, A2C, NPG, TRPO)
"""Clipper's own that learn from what the policy has just done."""
OFF_POLICY = (SAC, DiscreteSAC, HybridSAC, TD3, DDPG, DQN, PDQN, MPDQN, PADDPG, HyAR)
"""Clipper's own that learn from a replay."""
ON_RESPONSES = (GRPO, PairwisePPO)
"""Clipper's own that compare whole responses of a language model to one prompt."""
HOLDERS = (Exploring, Reusing)
"""Clipper's own that hold one."""
KNOWN = (*ON_POLICY, *OFF_POLICY, *ON_RESPONSES, *HOLDERS, HAPPO)
"""Clipper's own."""
Algorithm: TypeAlias = (
    PPO
    | PPOSeparate
    | PPOPenalty
    | PPOEWMA
    | Reinforce
    | ImportanceSampling
    | VPG
    | A2C
    | NPG
    | TRPO
    | SAC
    | DiscreteSAC
    | HybridSAC
    | TD3
    | DDPG
    | DQN
    | PDQN
    | MPDQN
    | PADDPG
    | HyAR
    | GRPO
    | PairwisePPO
    | Exploring
    | Reusing
    | HAPPO
    | OwnAlgorithm
)


def held_by(algorithm: Algorithm) -> Algorithm:
    """Who learns to act: the algorithm itself, or the one that it holds."""
    return algorithm.algorithm if isinstance(algorithm, HOLDERS) else algorithm


def quota_of(algorithm: Algorithm) -> dict[str, int]:
    """What ``collect`` gathers for one update."""
    if type(algorithm) in KNOWN:
        return {"episodes": algorithm.episodes} if hasattr(algorithm, "episodes") else {"horizon": algorithm.horizon}  # pyright: ignore[reportAttributeAccessIssue]
    own = [name for name in ("horizon", "episodes") if hasattr(algorithm, name)]
    fields = {name: getattr(algorithm, name) for name in own[:1]}
    quota = getattr(algorithm, "quota", None) or fields or {"horizon": 128}
    known = isinstance(quota, dict) and quota.keys() <= {"horizon", "episodes"}
    if not known or not all(x is None or isinstance(x, Integral) for x in quota.values()):
        raise ConfigError(
            f"the quota of {type(algorithm).__name__} must be a property that gives {{'horizon': T}} or "
            f"{{'episodes': n}}, a whole number, not {shown(quota)}"
        )
    return quota


__all__ = [
    "A2C", "DDPG", "DQN", "GRPO", "HAPPO", "MPDQN", "NPG", "PADDPG", "PDQN", "PPO", "PPOEWMA", "SAC", "TD3", "TRPO",
    "VPG", "Algorithm", "DiscreteSAC", "Exploring", "HyAR", "HybridSAC", "ImportanceSampling", "PPOPenalty",
    "PPOSeparate", "PairwisePPO", "Reinforce", "Reusing",
]  # fmt: skip
