"""An objective and an algorithm of one's own, as the guide shows them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clipper.data.trees import each
from clipper.functional.reduce import masked_mean
from clipper.functional.returns import gae
from clipper.learning.gradient_step import gradient_step
from clipper.learning.learner import Learner


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

    @property
    def quota(self) -> dict[str, int]:
        return {"horizon": self.horizon}

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        return Learner(policy, seed=seed)

    def update(self, learner: Learner, steps, last_obs) -> dict[str, Tensor]:
        if not steps.mask.any():  # rows that only begin episodes
            return learner.pass_over(steps)
        obs = each(lambda x, last: torch.cat([x, last[None]]), steps.obs, last_obs)
        value = learner.policy.value(obs).mean  # [T + 1, N]
        old = value.detach()
        advantage = gae(steps.reward, old, steps.terminated, steps.done, steps.mask, 0.99, 0.95)
        dist, _ = learner.policy(steps.obs)
        error = value[:-1] - (old[:-1] + advantage)
        loss = masked_mean(-dist.log_prob(steps.action) * advantage + 0.5 * error.square(), steps.mask)
        gradient_step(learner, loss, self.learning_rate, 0.5)
        return {"loss/total": loss.detach()}
