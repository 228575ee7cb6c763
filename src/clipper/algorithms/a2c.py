"""Advantage actor-critic, the synchronous form of A3C (Mnih et al. 2016, arXiv:1602.01783, algorithm S3)."""

from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Targets
from clipper.data.values import Bound, Count, Fraction, NonNegative, value
from clipper.functional.objectives import policy_gradient
from clipper.learning.advantages import Advantages
from clipper.learning.by_gae import ByGAE, gae_learner
from clipper.learning.gradient_step import single_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, means, summarise
from clipper.learning.minibatches import whole
from clipper.learning.optimizers import Optimizer, RMSProp
from clipper.learning.rewards import Raw
from clipper.learning.schedules import Rate, Schedule, at
from clipper.learning.two_steps import Again
from clipper.learning.value_losses import MSE, ValueLoss


@value(kw_only=True)
class A2C(ByGAE):
    """One step of actor and critic together for each short segment.

    PPO with one epoch and one minibatch takes the same step (Huang et al. 2022, arXiv:2205.09123).
    """

    lam: Fraction = 1.0
    """λ of the generalised advantage estimate; 1 is the paper's n-step return minus V."""
    horizon: Count = 5
    """t_max, rows collected per environment and iteration."""
    learning_rate: Rate = 7e-4
    """η, the optimizer's step size."""
    optimizer: Optimizer = RMSProp()
    """rmsprop(α,ε), the paper's, rmsprop_tf(α,ε), TensorFlow's, or adam(ε)."""
    max_grad_norm: Bound = 0.5
    """Bound on the gradient's Euclidean norm."""
    value_coef: NonNegative = 0.5
    """Weight of the value loss."""
    value_loss: ValueLoss = MSE()
    """Error of the critic: mse, huber(δ), or clipped_mse(ε)."""
    entropy_coef: Schedule = 0.0
    """β, weight of the entropy bonus."""
    advantages: Advantages = Raw()
    """Advantages as they are (raw), or in standard units, standardised(over,correction)."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        return gae_learner(self, policy, self.optimizer, seed)

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−E[log π(a|s) Â] + c (V − R)² − β H, and what to watch."""
        steps, world = batch.steps, learner.world
        dist, value = learner.policy(steps.obs, steps.memory, steps.action_mask)
        advantage = self.advantages.of_minibatch(batch.advantage, steps.mask, world)
        actor = policy_gradient(dist.log_prob(steps.action), advantage)
        value_error = self.value_loss(value, batch.value_target, batch.value)
        entropy = dist.entropy()
        total = actor + self.value_coef * value_error - at(self.entropy_coef, learner.progress) * entropy
        rows = {"loss/policy": actor, "loss/value": value_error, "policy/entropy": entropy}
        return world.mean(total, steps.mask), means(rows, steps.mask, world)

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        batch = whole(targets, learner.generator, learner.world)
        metrics = single_step(learner, batch, self.loss, self.learning_rate, self.max_grad_norm)
        learner.absorb(targets)
        return summarise([metrics], targets, learner.world)
