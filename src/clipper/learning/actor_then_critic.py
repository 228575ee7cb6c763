"""Algorithms that move the actor first, and then the critic alone, with an optimizer of its own."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Targets
from clipper.data.values import Bound, Count, Passes, value
from clipper.learning.by_gae import ByGAE, gae_learner
from clipper.learning.gradient_step import backward, step
from clipper.learning.learner import Learner
from clipper.learning.minibatches import minibatches
from clipper.learning.optimizers import Adam, Optimizer
from clipper.learning.schedules import Rate, at
from clipper.learning.value_losses import MSE, ValueLoss


@value(kw_only=True)
class ActorThenCritic(ByGAE):
    """The settings that they share, two halves of a learner, and the critic's steps."""

    value_epochs: Passes = 10
    """Passes of the critic over the collected decisions."""
    value_minibatches: Count = 4
    """Parts into which each of these passes is shuffled; 1 is the full batch."""
    value_learning_rate: Rate = 1e-3
    """The optimizer's step size for the critic."""
    optimizer: Optimizer = Adam()
    """adam(ε), rmsprop(α,ε) or rmsprop_tf(α,ε)."""
    max_grad_norm: Bound = 0.5
    """Bound on the Euclidean norm of each gradient that an optimizer steps along."""
    value_loss: ValueLoss = MSE()
    """Error of the critic: mse, huber(δ), or clipped_mse(ε)."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        return gae_learner(self, policy, self.optimizer, seed, separate=True)

    def fit_critic(self, learner: Learner, targets: Targets) -> Float[Tensor, ""]:
        """Steps of the critic towards ``value_target``, ``value_minibatches`` an epoch; the mean loss."""
        losses, rate, policy = [], at(self.value_learning_rate, learner.progress), learner.policy
        passes = self.value_epochs, self.value_minibatches
        for batch in minibatches(targets, *passes, learner.generator, learner.world):
            predicted = policy.value(batch.steps.obs, batch.steps.memory)
            error = self.value_loss(predicted, batch.value_target, batch.value)
            loss = learner.world.share(error, batch.steps.mask)
            watched = {"loss": loss.detach()}
            backward(learner, loss, watched, "critic")
            losses.append(watched["loss"])
            step(learner, rate, self.max_grad_norm, "critic")
        return torch.stack(losses).mean()
