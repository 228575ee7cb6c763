"""Soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905, algorithm 1)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.values import Fraction, value
from clipper.functional.q_targets import clipped_double_q, soft_value, td_target
from clipper.learning.critic_targets import Polyak
from clipper.learning.gradient_step import gradient_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.off_policy import (
    OffPolicy,
    acting_with,
    batch_mean,
)
from clipper.learning.replay import Transitions
from clipper.learning.schedules import Rate, at
from clipper.learning.temperature import Alpha, EntropyTarget, soft_learner
from clipper.networks.heads import ExpOfState, SquashedHead, TanhGaussian
from clipper.networks.policy_options import PolicyOptions


@value(kw_only=True)
class SAC(OffPolicy):
    """Two Q networks learn what a policy is worth whose entropy counts as reward; the policy climbs the lower of them.

    It needs actions in one Box of finite bounds. The replay lies beside the checkpoints.
    """

    tau: Fraction = 0.005
    """τ, the part of the way to the critics that their lagged copy goes in each gradient step."""
    alpha: Alpha = EntropyTarget()
    """α, weight of the entropy: a number, or entropy_target(entropy,start), which moves it."""
    learning_rate: Rate = 3e-4
    """λ, the step size of all three optimizers."""
    critic_learning_rate: Rate | None = None
    """Of the critics and of α, where it is another one."""

    def policy_options(self, options: PolicyOptions | None) -> PolicyOptions:
        """The network for these options, or the usual one, with SAC's head: a tanh Gaussian, σ of the state."""
        return acting_with(options, TanhGaussian(), ExpOfState())

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        return soft_learner(self, self.alpha, policy, SquashedHead, seed)

    def gradient_step(self, learner: Learner, batch: Transitions) -> Metrics:
        """One step of the critics, of the policy and of α, and of the lagged critics after them."""
        policy, modules, rate = learner.policy, learner.modules, at(self.learning_rate, learner.progress)
        critic_rate = rate if self.critic_learning_rate is None else at(self.critic_learning_rate, learner.progress)
        alpha: Float[Tensor, ""] = modules["alpha"]()
        with torch.no_grad():
            after = policy.act(batch.next_obs)[0]
            u = after.sample(learner.generator)  # a′ = tanh(u′) ~ π(·|s′)
            q = clipped_double_q(modules["lagged_critics"](batch.next_obs, u.tanh()))
            target = td_target(batch.reward, batch.discount, soft_value(q, after.log_prob(u), alpha))  # eqs 2 and 3
        q = modules["critics"](batch.obs, batch.action)
        error = batch_mean(learner, 0.5 * (q - target).square())  # J_Q(θᵢ), eq 5
        gradient_step(learner, error.sum(), critic_rate, self.max_grad_norm, "critics")
        dist = policy.act(batch.obs)[0]
        u = dist.sample(learner.generator)  # a = f(ε; s), eq 8
        log_prob = dist.log_prob(u)
        value = clipped_double_q(modules["critics"](batch.obs, u.tanh()))
        loss = batch_mean(learner, alpha * log_prob - value)  # J_π, eq 9
        gradient_step(learner, loss, rate, self.max_grad_norm)
        if isinstance(self.alpha, EntropyTarget):
            wanted = -float(batch.action.shape[-1]) if self.alpha.entropy is None else self.alpha.entropy
            loss_of_alpha = batch_mean(learner, modules["alpha"].loss(log_prob, wanted))  # eq 18
            gradient_step(learner, loss_of_alpha, critic_rate, self.max_grad_norm, "alpha")
        Polyak(self.tau)(modules["lagged_critics"], modules["critics"], 0)
        watched = {
            "loss/q": error.mean(),
            "loss/policy": loss,
            "value/q": batch_mean(learner, q).mean(),
            "policy/alpha": alpha,
        }
        return watched | {"policy/entropy": -batch_mean(learner, log_prob)}
