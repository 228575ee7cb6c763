"""Trust region policy optimisation (Schulman et al. 2015, arXiv:1502.05477, section 6 and appendix C)."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from clipper.data.steps import Targets
from clipper.data.values import Count, NonNegative, Range, value
from clipper.functional.linear import backtracking
from clipper.functional.objectives import conservative
from clipper.learning.actor_then_critic import ActorThenCritic
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, summarise
from clipper.learning.minibatches import whole
from clipper.learning.natural_gradient import natural_gradient, step_metrics
from clipper.learning.schedules import Rate, at
from clipper.learning.two_steps import Again


@value(kw_only=True)
class TRPO(ActorThenCritic):
    """max L(θ) subject to a mean KL(π_old ‖ π_θ) ≤ δ: one natural-gradient step with line search, then the critic."""

    delta: Rate = 0.01
    """δ, bound on the mean KL(π_old ‖ π) of a step."""
    cg_iterations: Count = 10
    """Iterations of conjugate gradients that solve H x = g."""
    damping: NonNegative = 0.1
    """Added to H's diagonal, so that directions in which π hardly changes do not dominate."""
    shrink: Annotated[float, Range(0, 1, open_below=True, open_above=True)] = 0.8
    """β, by which the line search shortens a step that worsens L or leaves the trust region."""
    tries: Count = 10
    """Steps that the line search tries before it gives this one up."""

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−L(θ) = −E[π_θ/π_old Â] (section 5), and what to watch."""
        steps, world = batch.steps, learner.world
        dist, _ = learner.policy.act(steps.obs, steps.memory, steps.action_mask)
        advantage = self.advantages.of_minibatch(batch.advantage, steps.mask, world)
        log_ratio = dist.log_prob(steps.action) - steps.log_prob
        loss = world.mean(conservative(log_ratio, advantage), steps.mask)
        entropy = world.mean(dist.entropy(), steps.mask)
        return loss, {"loss/policy": loss.detach(), "policy/entropy": entropy.detach()}

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        """A step of the actor, from θ_old to where the line search ends (appendix C), then steps of the critic."""
        batch, actor = whole(targets, learner.generator, learner.world), learner.actor
        delta = at(self.delta, learner.progress)
        natural = natural_gradient(learner, batch, self.loss, delta, self.cg_iterations, self.damping)
        start, scale = actor.detach().clone(), 0.0

        @torch.no_grad()
        def accept(scale: float) -> bool:
            actor.copy_(start + scale * natural.step)
            improved = self.loss(learner, batch)[0] < natural.loss
            return bool(learner.world.agree(improved & (natural.mean_kl() <= delta)))

        try:
            scale = backtracking(accept, self.shrink, self.tries)
        finally:  # no trial outlasts an error
            actor.data.copy_(start + scale * natural.step)
        metrics = step_metrics(learner, batch, natural) | {"policy/step_scale": start.new_tensor(scale)}
        metrics["loss/value"] = self.fit_critic(learner, targets)
        learner.absorb(targets)
        return summarise([metrics], targets, learner.world)
