"""Twin delayed deep deterministic policy gradient (Fujimoto et al. 2018, arXiv:1802.09477, algorithm 1)."""

import torch
from torch import nn

from clipper.data.values import Count, NonNegative, value
from clipper.functional.q_targets import clipped_double_q, smoothed_action, td_target
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
class TD3(WithDeterministicPolicy):
    """DDPG with two critics, of which the lower counts, targets over near actions, and a policy that moves seldomer.

    It needs actions in one Box of finite bounds. The replay lies beside the checkpoints.
    """

    target_noise: NonNegative = 0.2
    """σ̃ of the noise about the action in a target."""
    noise_clip: NonNegative = 0.5
    """c, its largest size."""
    policy_delay: Count = 2
    """d, gradient steps of the critics for one of the policy."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        return self.begin(policy, 2, seed)

    def gradient_step(self, learner: Learner, batch: Transitions) -> Metrics:
        """One step of the critics; in every d-th one of the policy, and of all lagged copies after it."""
        policy, modules, (rate, critic_rate) = learner.policy, learner.modules, self.rates(learner)
        with torch.no_grad():
            action = modules["lagged_actor"].act(batch.next_obs)[0].mode
            noise = torch.randn(action.shape, generator=learner.generator, dtype=action.dtype) * self.target_noise
            action = smoothed_action(action, noise, self.noise_clip)  # ã, eq 14
            value = clipped_double_q(modules["lagged_critics"](batch.next_obs, action))
            target = td_target(batch.reward, batch.discount, value)  # y = r + γ minᵢ Q′ᵢ(s′, ã), eq 10
        q = modules["critics"](batch.obs, batch.action)
        error = batch_mean(learner, (q - target).square())  # N⁻¹ Σ (y − Qᵢ(s, a))²
        gradient_step(learner, error.sum(), critic_rate, self.max_grad_norm, "critics")
        watched = {"loss/q": error.mean(), "value/q": batch_mean(learner, q).mean()}
        if int(learner.extra["gradient_steps"]) % self.policy_delay:  # t mod d
            return watched
        loss = -batch_mean(learner, modules["critics"](batch.obs, policy.act(batch.obs)[0].mode)[0])  # −J, of Q₁
        gradient_step(learner, loss, rate, self.max_grad_norm)
        Polyak(self.tau)(modules["lagged_critics"], modules["critics"], 0)
        Polyak(self.tau)(modules["lagged_actor"], policy, 0)
        return watched | {"loss/policy": loss}
