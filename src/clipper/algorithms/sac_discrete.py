"""Soft actor-critic for discrete actions (Christodoulou 2019, arXiv:1910.07207, algorithm 1)."""

import torch
from torch import nn

from clipper.data.values import Count, Fraction, value
from clipper.functional.q_targets import chosen_value, clipped_double_q, expected_soft_value, td_target
from clipper.learning.critic_targets import Polyak
from clipper.learning.gradient_step import gradient_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.off_policy import (
    OffPolicy,
    batch_mean,
    legal_after,
    without_value,
)
from clipper.learning.replay import Transitions
from clipper.learning.schedules import Rate, at
from clipper.learning.temperature import ChoiceAlpha, EntropyShare, soft_learner, wanted_entropy
from clipper.networks.heads import CategoricalHead
from clipper.networks.policy_options import PolicyOptions


@value(kw_only=True)
class DiscreteSAC(OffPolicy):
    """SAC with one ``Discrete`` for actions: what there is an expectation over actions, is an exact sum over them.

    An illegal action has probability 0 and counts nowhere. The replay lies beside the checkpoints.
    """

    tau: Fraction = 0.005
    """τ, the part of the way to the critics that their lagged copy goes in each gradient step."""
    alpha: ChoiceAlpha = EntropyShare()
    """α, weight of the entropy: a number, entropy_share(share,start) or entropy_target(entropy,start)."""
    learning_rate: Rate = 3e-4
    """λ, the step size of all three optimizers."""
    batch_size: Count = 64
    """Decisions of which a gradient step learns."""

    def policy_options(self, options: PolicyOptions | None) -> PolicyOptions:
        """The network for these options, or the usual one, without V."""
        return without_value(options)

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        return soft_learner(self, self.alpha, policy, CategoricalHead, seed)

    def gradient_step(self, learner: Learner, batch: Transitions) -> Metrics:
        """One step of the critics, of the policy and of α, and of the lagged critics after them."""
        rate, policy, modules = at(self.learning_rate, learner.progress), learner.policy, learner.modules
        alpha, legal = modules["alpha"](), legal_after(batch.next_mask)
        with torch.no_grad():
            dist = policy.act(batch.next_obs, action_mask=() if legal is None else legal)[0]
            q = clipped_double_q(modules["lagged_critics"](batch.next_obs))
            v = expected_soft_value(q, dist.logits.log_softmax(-1), alpha)  # V(s′), eq 10
            target = td_target(batch.reward, batch.discount, v)
        q = modules["critics"](batch.obs)
        chosen = chosen_value(q, batch.action.expand(q.shape[:-1]))
        error = batch_mean(learner, 0.5 * (chosen - target).square())  # J_Q(θᵢ)
        gradient_step(learner, error.sum(), rate, self.max_grad_norm, "critics")
        log_p = policy.act(batch.obs, action_mask=batch.action_mask)[0].logits.log_softmax(-1)
        with torch.no_grad():
            q = clipped_double_q(modules["critics"](batch.obs))
        loss = -batch_mean(learner, expected_soft_value(q, log_p, alpha))  # J_π, eq 12
        gradient_step(learner, loss, rate, self.max_grad_norm)
        entropy = -(log_p.exp() * log_p).sum(-1).detach()
        wanted = wanted_entropy(self.alpha, log_p)
        if wanted is not None:
            loss_of_alpha = batch_mean(learner, modules["alpha"].loss(-entropy, wanted))  # eq 11
            gradient_step(learner, loss_of_alpha, rate, self.max_grad_norm, "alpha")
        Polyak(self.tau)(modules["lagged_critics"], modules["critics"], 0)
        watched = {"loss/q": error.mean(), "loss/policy": loss, "value/q": batch_mean(learner, chosen).mean()}
        return watched | {"policy/alpha": alpha, "policy/entropy": batch_mean(learner, entropy)}
