"""Algorithms that learn a deterministic policy from a replay and explore with noise about it, as DDPG does."""

from torch import nn

from clipper.data.values import Fraction, value
from clipper.learning.exploration import UniformFirst
from clipper.learning.learner import Learner
from clipper.learning.off_policy import OffPolicy, acting_with, add_critics, lagging, make_learner
from clipper.learning.schedules import Rate, at
from clipper.networks.heads import Deterministic, DeterministicHead, Learned
from clipper.networks.policy_options import PolicyOptions
from clipper.networks.q_networks import make_q_networks


@value(kw_only=True)
class WithDeterministicPolicy(OffPolicy):
    """The settings that they share, their network, and a learner with copies that lag behind policy and critics."""

    tau: Fraction = 0.005
    """τ, the part of the way to critics and policy that their lagged copies go when they follow."""
    learning_rate: Rate = 1e-3
    """The step size of both optimizers."""
    critic_learning_rate: Rate | None = None
    """Of the critics, where it is another one."""

    def policy_options(self, options: PolicyOptions | None) -> PolicyOptions:
        """The network for these options, or the usual one, with their head: deterministic(noise)."""
        return acting_with(options, Deterministic(), Learned())

    def begin(self, policy: nn.Module, critics: int, seed: int) -> Learner:
        """A learner with so many critics."""
        learner = make_learner(policy, DeterministicHead, self.optimizer, self.capacity, seed)
        add_critics(learner, make_q_networks(learner.policy, critics, learner.generator), self.optimizer)
        learner.behaviour = UniformFirst(learner.policy, learner.extra, self.learning_starts)
        learner.modules["lagged_actor"] = lagging(policy)
        return learner

    def rates(self, learner: Learner) -> tuple[float, float]:
        """The step sizes of policy and critics at this moment of the run."""
        rate = at(self.learning_rate, learner.progress)
        return rate, rate if self.critic_learning_rate is None else at(self.critic_learning_rate, learner.progress)
