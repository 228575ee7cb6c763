"""Algorithms that take epochs of minibatches down one loss of actor and critic: the settings that they share."""

from torch import nn

from clipper.data.values import Bound, Count, NonNegative, Passes, value
from clipper.learning.by_gae import ByGAE, gae_learner
from clipper.learning.learner import Learner
from clipper.learning.optimizers import Adam, Optimizer
from clipper.learning.schedules import Rate, Schedule
from clipper.learning.value_losses import MSE, ValueLoss


@value(kw_only=True)
class ByEpochs(ByGAE):
    """The settings that they share; each class adds those of its paper."""

    epochs: Passes = 10
    """K, passes over the collected decisions."""
    minibatches: Count = 4
    """Parts into which each pass is shuffled; M = N·T / this."""
    learning_rate: Rate = 1e-3
    """α, the optimizer's step size."""
    optimizer: Optimizer = Adam()
    """adam(ε), rmsprop(α,ε) or rmsprop_tf(α,ε)."""
    max_grad_norm: Bound = 0.5
    """Bound on the gradient's Euclidean norm."""
    value_coef: NonNegative = 0.5
    """c₁, weight of the value loss."""
    value_loss: ValueLoss = MSE()
    """Error of the critic: mse, huber(δ), or clipped_mse(ε) (the value clip)."""
    entropy_coef: Schedule = 0.0
    """c₂, weight of the entropy bonus."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        return gae_learner(self, policy, self.optimizer, seed)
