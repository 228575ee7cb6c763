"""An objective and an algorithm of one's own, as the guide shows them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clipper.data.steps import Targets
from clipper.data.trees import each
from clipper.functional.reduce import masked_mean
from clipper.functional.returns import gae
from clipper.learning.gradient_step import gradient_step
from clipper.learning.learner import Learner
from clipper.learning.two_steps import targets_then_improve


@dataclass(frozen=True)
class Brake:
    """r Â − k |Â| (r − 1)²: the further the ratio r has moved, the harder it is pulled back."""

    k: float = 2.0

    def __call__(self, log_ratio: Tensor, advantage: Tensor, low: float, high: float) -> Tensor:
        ratio = log_ratio.exp()
        return -ratio * advantage + self.k * advantage.abs() * (ratio - 1) ** 2


@dataclass(frozen=True, kw_only=True)
class OneStep:
    """An actor-critic that takes one step for each segment."""

    horizon: int = 16
    learning_rate: float = 2e-3

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        return Learner(policy, seed=seed)

    update = targets_then_improve

    @torch.no_grad()
    def targets(self, learner: Learner, steps, last_obs) -> Targets:
        obs = each(lambda x, last: torch.cat([x, last[None]]), steps.obs, last_obs)
        value = learner.policy.value(obs).mean  # [T + 1, N]
        advantage = gae(steps.reward, value, steps.terminated, steps.done, steps.mask, 0.99, 0.95)
        return Targets(steps, advantage, value_target=value[:-1] + advantage, value=value[:-1])

    def improve(self, learner: Learner, targets: Targets, again=None) -> dict[str, Tensor]:
        steps = targets.steps
        dist, value = learner.policy(steps.obs)
        error = value.mean - targets.value_target
        loss = masked_mean(-dist.log_prob(steps.action) * targets.advantage + 0.5 * error.square(), steps.mask)
        gradient_step(learner, loss, self.learning_rate, 0.5)
        return {"loss/total": loss.detach()}
