"""Proximal policy optimisation with a penalty on the KL (Schulman et al. 2017, arXiv:1707.06347, section 4)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.data.values import NonNegative, Positive, value
from clipper.errors import ConfigError
from clipper.functional.objectives import adapt_penalty, conservative
from clipper.learning.advantages import Advantages, Standardised, with_old
from clipper.learning.by_epochs import ByEpochs
from clipper.learning.by_gae import gae_learner, gae_targets
from clipper.learning.gradient_step import backward, step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, minibatch_metrics, ratio_metrics, summarise
from clipper.learning.minibatches import minibatches, whole
from clipper.learning.schedules import Linear, Rate, at
from clipper.learning.two_steps import Again


@value(kw_only=True)
class PPOPenalty(ByEpochs):
    """Climb E[r Â] − β KL(π_old ‖ π) for some epochs of minibatches, then adapt β to the KL that came of it."""

    beta: NonNegative = 1.0
    """β, weight of the penalty; where the first iteration starts from, if it adapts."""
    kl_target: Positive | None = 0.005
    """d_targ, mean KL that an update should have: β is halved below d_targ / 1.5 and doubled above 1.5 d_targ. None
    keeps β. The paper tries 0.003, 0.01 and 0.03; with 0.01 some seeds of CartPole-v1 end below 475, with this none."""
    hinge: NonNegative = 0.0
    """ξ, weight of max(0, KL − 2 d_targ)² of a minibatch's mean KL, which DPPO adds to β's (Heess et al. 2017,
    arXiv:1707.02286, algorithm 1); 0 is off."""
    learning_rate: Rate = Linear(1e-3)
    """α, the optimizer's step size."""
    advantages: Advantages = Standardised("minibatch")
    """Advantages in standard units, standardised(over,correction), or as they are (raw)."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        if self.hinge and self.kl_target is None:
            raise ConfigError("the hinge begins at twice kl_target: set kl_target, or hinge=0")
        learner = gae_learner(self, policy, self.optimizer, seed)
        learner.extra["beta"] = torch.tensor(self.beta, dtype=torch.float64)
        return learner

    def targets(self, learner: Learner, steps: Steps, last_obs: Tree, again: bool = False) -> Targets:
        """Â by GAE, what the critic is fitted to, and π_old."""
        return with_old(learner.policy, gae_targets(self, learner, steps, last_obs, again))

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−L^KLPEN (eq 8) with the value loss and the entropy bonus of eq 9, and what to watch."""
        steps, mask, world = batch.steps, batch.steps.mask, learner.world
        dist, value = learner.policy(steps.obs, steps.memory, steps.action_mask)
        advantage = self.advantages.of_minibatch(batch.advantage, mask, world)
        log_ratio = dist.log_prob(steps.action) - steps.log_prob
        surrogate, entropy = conservative(log_ratio, advantage), dist.entropy()
        kl = type(dist)(*batch.old).kl(dist)
        value_error = self.value_loss(value, batch.value_target, batch.value)
        penalty = learner.extra["beta"].to(kl) * kl
        total = surrogate + penalty + self.value_coef * value_error - at(self.entropy_coef, learner.progress) * entropy
        loss = world.share(total, mask)
        if self.hinge and self.kl_target is not None:
            loss = loss + self.hinge * (world.mean(kl, mask) - 2 * self.kl_target).clamp(min=0).square()
        rows = {"loss/policy": surrogate, "loss/value": value_error, "policy/entropy": entropy, "policy/kl": kl}
        return loss, minibatch_metrics(rows, batch, world) | ratio_metrics(log_ratio, mask, world)

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        learning_rate = at(self.learning_rate, learner.progress)
        beta = learner.extra["beta"]
        history: list[Metrics] = []
        for batch in minibatches(targets, self.epochs, self.minibatches, learner.generator, learner.world):
            loss, metrics = self.loss(learner, batch)
            backward(learner, loss, metrics)
            metrics["loss/gradient_norm"] = step(learner, learning_rate, self.max_grad_norm)
            history.append(metrics)
        with torch.no_grad():
            batch = whole(targets, learner.generator, learner.world)
            dist, _ = learner.policy.act(batch.steps.obs, batch.steps.memory, batch.steps.action_mask)
            kl = learner.world.mean(type(dist)(*batch.old).kl(dist), batch.steps.mask)
        if self.kl_target is not None:
            learner.extra["beta"] = adapt_penalty(beta, kl, self.kl_target)
        learner.absorb(targets)
        return summarise(history, targets, learner.world) | {"policy/kl": kl, "policy/beta": beta.to(kl)}
