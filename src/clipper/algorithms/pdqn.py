"""Parametrised deep Q-networks: P-DQN (Xiong et al. 2018, arXiv:1810.06394), MP-DQN (Bester et al. 2019)."""

import torch
from torch import nn

from clipper.data.values import Bound, Count, Fraction, value
from clipper.functional.q_targets import chosen_value, greedy_value, td_target
from clipper.learning.exploration import Epsilon, UniformOrPolicy
from clipper.learning.gradient_step import gradient_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.off_policy import (
    OffPolicy,
    ascent,
    batch_mean,
    choosing_by_q,
    follow,
    legal_after,
    make_learner,
    q_apart,
    summed,
)
from clipper.learning.replay import Transitions
from clipper.learning.schedules import Annealed, Rate, at
from clipper.networks.heads import BestHead
from clipper.networks.policy_options import PolicyOptions


@value(kw_only=True)
class PDQN(OffPolicy):
    """Q of each choice with its arguments, as in DQN; a network gives all arguments, and climbs the sum of all Q.

    It needs actions in one ``OneOf``, each choice with one finite ``Box`` of arguments, or ``Discrete(1)`` for none;
    what is legal of the choice may be masked. Every Q sees all arguments, also those of other choices.

    Beyond the paper, as in the code of MP-DQN's authors: arguments are bounded by inverted gradients
    (arXiv:1511.04143), and Q and arguments both have lagged copies. That code adds a fixed linear function of the state
    to the arguments, explores for 1,000 episodes, and lets random choices keep the policy's arguments. Here random
    choices have random arguments, as in algorithm 1, with ε by the run's progress, and ``initial_mean`` of the policy's
    head says where arguments begin, which is near 0 by default.
    """

    tau: Fraction = 0.1
    """τ, the part of the way to Q that its lagged copy goes in each gradient step."""
    argument_tau: Fraction = 0.001
    """The same of the arguments' network."""
    epsilon: Epsilon = Annealed(1.0, 0.01, 0.5)
    """ε, the part of decisions that are uniform: a number, or a schedule, as annealed(start,end,until)."""
    learning_rate: Rate = 1e-3
    """β, the step size of Q."""
    argument_learning_rate: Rate = 1e-4
    """α, that of the arguments' network, which moves slower than Q (section 4)."""
    max_grad_norm: Bound = 10.0
    """Bound on each gradient's Euclidean norm."""
    batch_size: Count = 128
    """B, decisions of which a gradient step learns."""

    def policy_options(self, options: PolicyOptions | None) -> PolicyOptions:
        """The network for these options, or the usual one, with a choice by Q of all arguments together."""
        return choosing_by_q(options, passes=False)

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        learner = make_learner(policy, BestHead, self.optimizer, self.capacity, seed)
        q_apart(learner, self.optimizer)
        learner.behaviour = UniformOrPolicy(learner, self.epsilon, self.learning_starts)
        return learner

    def gradient_step(self, learner: Learner, batch: Transitions) -> Metrics:
        """One step of Q and of the arguments' network, and of their lagged copies after them."""
        policy, lagged = learner.policy, learner.modules["lagged"]
        legal, now = (legal_after(mask[0] if mask else ()) for mask in (batch.next_mask, batch.action_mask))
        with torch.no_grad():
            after = lagged.act(batch.next_obs)[0].choice.logits  # Q⁻(s′, ·, x⁻(s′))
            target = td_target(batch.reward, batch.discount, greedy_value(after, legal))  # y = r + γ maxₖ Q⁻
        choice, arguments = batch.action
        q = chosen_value(policy.head.q(policy.encoder(batch.obs), arguments)[0], choice)  # Q(s, k, xₖ)
        error = batch_mean(learner, 0.5 * (q - target).square())
        gradient_step(learner, error, at(self.learning_rate, learner.progress), self.max_grad_norm, "critics")
        watched = {"loss/q": error, "value/q": batch_mean(learner, q)}
        encoded = policy.encoder(batch.obs)
        x = policy.head.unclipped(policy.actor(encoded))
        total = summed(policy.head.q(encoded, x)[0], now)  # Σₖ Q(s, k, x(s))
        if moved := [own for own in x if own.requires_grad]:
            rate, loss = at(self.argument_learning_rate, learner.progress), -batch_mean(learner, ascent(total, moved))
            gradient_step(learner, loss, rate, self.max_grad_norm)
            watched |= {"loss/policy": -batch_mean(learner, total)}
        follow(learner, self.tau, self.argument_tau)
        return watched


@value(kw_only=True)
class MPDQN(PDQN):
    """P-DQN whose Q of a choice sees that choice's arguments only: a pass (s, 0 … xₖ … 0) for each, all as one batch.

    So ∂Qₖ/∂xⱼ = 0 for j ≠ k, while P-DQN moves arguments also by choices that do not use them. The rest is P-DQN's.
    """

    def policy_options(self, options: PolicyOptions | None) -> PolicyOptions:
        """The network for these options, or the usual one, with a choice by Q of its own arguments."""
        return choosing_by_q(options, passes=True)
