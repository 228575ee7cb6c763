"""The natural policy gradient (Kakade 2001, "A natural policy gradient"), with a step length in units of KL."""

import torch
from jaxtyping import Float
from torch import Tensor

from clipper.data.steps import Targets
from clipper.data.values import Count, NonNegative, value
from clipper.functional.objectives import policy_gradient
from clipper.learning.actor_then_critic import ActorThenCritic
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, summarise
from clipper.learning.minibatches import whole
from clipper.learning.natural_gradient import natural_gradient, step_metrics
from clipper.learning.schedules import Rate, at
from clipper.learning.two_steps import Again


@value(kw_only=True)
class NPG(ActorThenCritic):
    """θ ← θ + √(2δ / gᵀF⁻¹g) F⁻¹g: the steepest ascent of a metric on policies: TRPO without its search."""

    delta: Rate = 0.01
    """δ, mean KL(π_old ‖ π) that a step has in the quadratic model of it."""
    cg_iterations: Count = 10
    """Iterations of conjugate gradients that solve F x = g."""
    damping: NonNegative = 0.1
    """Added to F's diagonal, so that directions in which π hardly changes do not dominate."""

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−E[log π(a|s) Â], whose gradient is −g, and what to watch."""
        steps, world = batch.steps, learner.world
        dist, _ = learner.policy.act(steps.obs, steps.memory, steps.action_mask)
        advantage = self.advantages.of_minibatch(batch.advantage, steps.mask, world)
        loss = world.mean(policy_gradient(dist.log_prob(steps.action), advantage), steps.mask)
        entropy = world.mean(dist.entropy(), steps.mask)
        return loss, {"loss/policy": loss.detach(), "policy/entropy": entropy.detach()}

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        """A step of the actor along F⁻¹g, then steps of the critic."""
        batch, delta = whole(targets, learner.generator, learner.world), at(self.delta, learner.progress)
        natural = natural_gradient(learner, batch, self.loss, delta, self.cg_iterations, self.damping)
        with torch.no_grad():
            learner.actor.add_(natural.step)
        metrics = step_metrics(learner, batch, natural)
        metrics["loss/value"] = self.fit_critic(learner, targets)
        learner.absorb(targets)
        return summarise([metrics], targets, learner.world)
