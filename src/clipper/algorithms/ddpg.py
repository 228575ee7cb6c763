"""Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv:1509.02971, algorithm 1)."""

import torch
from torch import nn

from clipper.data.values import value
from clipper.functional.q_targets import td_target
from clipper.learning.critic_targets import Polyak
from clipper.learning.deterministic_policy import WithDeterministicPolicy
from clipper.learning.gradient_step import gradient_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.off_policy import (
    batch_mean,
)
from clipper.learning.replay import Transitions


@value(kw_only=True)
class DDPG(WithDeterministicPolicy):
    """A Q network learns what a deterministic policy is worth, and the policy climbs it; noise makes it explore.

    It needs actions in one Box of finite bounds. The replay lies beside the checkpoints. Networks, sizes of
    steps and the noise are those of later code, which TD3's authors call "our DDPG" (arXiv:1802.09477, section 6.1),
    without batch normalisation and weight decay; the noise is normal, each one apart, not the paper's process.
    """

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        return self.begin(policy, 1, seed)

    def gradient_step(self, learner: Learner, batch: Transitions) -> Metrics:
        """One step of the critic and of the policy, and of their lagged copies after them."""
        policy, modules, (rate, critic_rate) = learner.policy, learner.modules, self.rates(learner)
        with torch.no_grad():
            action = modules["lagged_actor"].act(batch.next_obs)[0].mode  # μ′(s′)
            value = modules["lagged_critics"](batch.next_obs, action)[0]
            target = td_target(batch.reward, batch.discount, value)  # y = r + γ Q′(s′, μ′(s′))
        q = modules["critics"](batch.obs, batch.action)[0]
        error = batch_mean(learner, (q - target).square())  # L = (1/N) Σ (y − Q(s, a))²
        gradient_step(learner, error, critic_rate, self.max_grad_norm, "critics")
        value = modules["critics"](batch.obs, policy.act(batch.obs)[0].mode)[0]
        loss = -batch_mean(learner, value)  # −J, whose gradient is eq 6
        gradient_step(learner, loss, rate, self.max_grad_norm)
        Polyak(self.tau)(modules["lagged_critics"], modules["critics"], 0)
        Polyak(self.tau)(modules["lagged_actor"], policy, 0)
        return {"loss/q": error, "loss/policy": loss, "value/q": batch_mean(learner, q)}
