"""Algorithms that learn from whole responses of a language model, without a critic: the settings that they share."""

from torch import nn

from clipper.data.values import Bound, Count, value
from clipper.learning.learner import Learner
from clipper.learning.optimizers import Adam, Optimizer
from clipper.learning.schedules import Rate


@value(kw_only=True)
class WithoutCritic:
    """The settings that they share; each class adds those of its paper."""

    horizon: Count = 128
    """Tokens of a response, at most."""
    minibatches: Count = 1
    """Parts into which each pass is shuffled, of whole groups."""
    learning_rate: Rate = 1e-6
    """α, the optimizer's step size."""
    optimizer: Optimizer = Adam()
    """adam(ε), rmsprop(α,ε) or rmsprop_tf(α,ε)."""
    max_grad_norm: Bound = 1.0
    """Bound on the gradient's Euclidean norm."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        return Learner(policy, seed=seed, optimizer=self.optimizer)
