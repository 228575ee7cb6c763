"""Vanilla policy gradient with a learned critic and GAE, as OpenAI's Spinning Up (2018) states it."""

from jaxtyping import Float
from torch import Tensor

from clipper.data.steps import Targets
from clipper.data.values import Fraction, value
from clipper.functional.objectives import policy_gradient
from clipper.learning.actor_then_critic import ActorThenCritic
from clipper.learning.gradient_step import single_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, summarise
from clipper.learning.minibatches import whole
from clipper.learning.schedules import Rate, Schedule, at
from clipper.learning.two_steps import Again


@value(kw_only=True)
class VPG(ActorThenCritic):
    """One step of the actor along E[∇log π(a|s) Â] for each batch, then many of the critic."""

    lam: Fraction = 0.97
    """λ of the generalised advantage estimate: 0 trusts the critic, 1 the returns."""
    learning_rate: Rate = 1e-2
    """α, the optimizer's step size for the actor."""
    entropy_coef: Schedule = 0.0
    """Weight of the entropy bonus."""

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−E[log π(a|s) Â] − c H, and what to watch."""
        steps, world = batch.steps, learner.world
        dist, _ = learner.policy.act(steps.obs, steps.memory, steps.action_mask)
        advantage = self.advantages.of_minibatch(batch.advantage, steps.mask, world)
        actor = world.mean(policy_gradient(dist.log_prob(steps.action), advantage), steps.mask)
        entropy = world.mean(dist.entropy(), steps.mask)
        loss = actor - at(self.entropy_coef, learner.progress) * entropy
        return loss, {"loss/policy": actor.detach(), "policy/entropy": entropy.detach()}

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        batch = whole(targets, learner.generator, learner.world)
        metrics = single_step(learner, batch, self.loss, self.learning_rate, self.max_grad_norm)
        metrics["loss/value"] = self.fit_critic(learner, targets)
        learner.absorb(targets)
        return summarise([metrics], targets, learner.world)
