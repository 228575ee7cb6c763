"""PPO whose proximal policy is an average of past ones (PPO-EWMA: Hilton, Cobbe & Schulman 2022, arXiv:2110.00641).

PPO's π_old says both who acted and what the step is bounded around. Here the second is π_prox, an exponentially
weighted average of the parameters after each gradient step; so the size of batches may change without the steps' size.
"""

import copy
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Targets
from clipper.data.values import Bound, Range, value
from clipper.functional.statistics import weighted_average
from clipper.learning.action_parts import Joint, Parts, compare
from clipper.learning.advantages import Advantages, Standardised
from clipper.learning.by_epochs import ByEpochs
from clipper.learning.by_gae import gae_learner
from clipper.learning.gradient_step import backward, step
from clipper.learning.kl import Sampled
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, clip_metrics, summarise
from clipper.learning.minibatches import minibatches
from clipper.learning.objectives import Clip, RatioObjective
from clipper.learning.proximal import decoupled
from clipper.learning.schedules import Distance, at
from clipper.learning.two_steps import Again


@value(kw_only=True)
class PPOEWMA(ByEpochs):
    """PPO's epochs of minibatches down the decoupled objective, after each step of which π_prox follows."""

    beta: Annotated[float, Range(0, 1, open_above=True)] = 0.95
    """β_prox: π_prox is β/(1 − β) gradient steps old on average, 19 of them here, as PPO's π_old is in an update of 40.
    0 leaves no old policy to stay near, and so no bound."""
    weight_bound: Bound = 100.0
    """The largest weight π_prox/μ; infinity bounds nothing, as in the paper's equation (its code: π/μ up to 100)."""
    clip: Distance = 0.2
    """ε, how far the ratio π/π_prox may help the surrogate."""
    objective: RatioObjective = Clip()
    """The surrogate: clip, dual_clip(c), unclipped, rollback(α), spo or cispo."""
    parts: Parts = Joint()
    """The ratio of a hybrid action: joint(entropy), one for the whole, or per_part(entropy), one for each part."""
    advantages: Advantages = Standardised("minibatch")
    """Advantages in standard units, standardised(over,correction), or as they are (raw)."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        proximal = copy.deepcopy(policy).requires_grad_(False)
        learner = gae_learner(self, policy, self.optimizer, seed)
        learner.modules["proximal"] = proximal
        learner.extra["proximal_weight"] = torch.ones((), dtype=torch.float64)
        return learner

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−E[π_prox/μ min(r Â, clip(r) Â)], r = π/π_prox, with PPO's value loss and entropy bonus; what to watch."""
        steps, world, progress = batch.steps, learner.world, learner.progress
        batch = decoupled(learner.modules["proximal"], batch, self.weight_bound)
        dist, value = learner.policy(steps.obs, steps.memory, steps.action_mask)
        advantage = self.advantages.of_minibatch(batch.advantage, steps.mask, world)
        action, bound = compare(dist, batch, Sampled("k3")), at(self.clip, progress)
        surrogate = self.parts.surrogate(self.objective, action, advantage, bound, bound)
        value_error = self.value_loss(value, batch.value_target, batch.value)
        total = surrogate + self.value_coef * value_error - self.parts.bonus(self.entropy_coef, action, progress)
        rows = {"loss/policy": surrogate, "loss/value": value_error, "policy/proximal_weight": batch.weight}
        return world.share(total, steps.mask), clip_metrics(rows, batch, action, bound, bound, world)

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        """PPO's steps, after each of which the average takes the policy in."""
        rate, history = at(self.learning_rate, learner.progress), list[Metrics]()
        for of_average, own in zip(learner.modules["proximal"].buffers(), learner.policy.buffers(), strict=True):
            of_average.copy_(own)  # running statistics and schedules, which belong to both
        for batch in minibatches(targets, self.epochs, self.minibatches, learner.generator, learner.world):
            loss, metrics = self.loss(learner, batch)
            backward(learner, loss, metrics)
            metrics["loss/gradient_norm"] = step(learner, rate, self.max_grad_norm)
            self.follow(learner)
            history.append(metrics)
        learner.absorb(targets)
        return summarise(history, targets, learner.world)

    @torch.no_grad()
    def follow(self, learner: Learner) -> None:
        """π_prox ← the average that includes the policy as it is now."""
        before = learner.extra["proximal_weight"]
        after = self.beta * before + 1
        for average, own in zip(learner.modules["proximal"].parameters(), learner.policy.parameters(), strict=True):
            average.copy_(weighted_average(average, own, float(before), self.beta))
        learner.extra["proximal_weight"] = after
