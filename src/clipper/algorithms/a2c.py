"""Advantage actor-critic, the synchronous form of A3C (Mnih et al. 2016, arXiv:1602.01783, algorithm S3)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Targets
from clipper.data.values import Bound, Count, Fraction, NonNegative, value
from clipper.functional.objectives import policy_gradient
from clipper.learning.advantages import estimate_advantages
from clipper.learning.critic_targets import CriticTarget, TargetCritic
from clipper.learning.gradient_step import gradient_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, summarise
from clipper.learning.minibatches import minibatches
from clipper.learning.optimizers import Optimizer, RMSProp
from clipper.learning.schedules import Rate, Schedule, at
from clipper.learning.two_steps import Again, targets_then_improve
from clipper.learning.value_losses import MSE, ValueLoss
from clipper.networks.normalise import RewardScaler

WATCHED = ("loss/policy", "loss/value", "policy/entropy")


@value(kw_only=True)
class A2C:
    """One step of actor and critic together for each short segment.

    PPO with one epoch and one minibatch takes the same step (Huang et al. 2022, arXiv:2205.09123).
    """

    gamma: Fraction = 0.99
    """γ, the discount."""
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
    critic_target: CriticTarget = None
    """What the critic is fitted to: monte_carlo, td0, nstep(n), tdlambda(λ), or none: Â + V(sₜ)."""
    target_critic: TargetCritic = None
    """Whose values those targets bootstrap from: a copy that lags, periodic(k) or polyak(τ), or none: the critic."""
    entropy_coef: Schedule = 0.0
    """β, weight of the entropy bonus."""
    standardise: bool = False
    """Bring the batch's advantages to mean 0 and standard deviation 1."""
    correction: Literal[0, 1] = 1
    """Degrees of freedom that this deviation leaves out: 1 divides by n − 1 (torch), 0 by n (numpy, Spinning Up)."""
    scale_rewards: bool = False
    """Divide rewards by the running standard deviation of their discounted sum."""
    clip_rewards: Bound = 10.0
    """Bound on scaled rewards."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        scaler = RewardScaler(self.clip_rewards) if self.scale_rewards else None
        return Learner(
            policy, optimizer=self.optimizer, seed=seed, reward_scaler=scaler, target_critic=self.target_critic
        )

    targets = estimate_advantages
    update = targets_then_improve

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−E[log π(a|s) Â] + c (V − R)² − β H, and what to watch."""
        dist, value = learner.policy(batch.steps.obs, batch.steps.memory, batch.steps.action_mask)
        actor = policy_gradient(dist.log_prob(batch.steps.action), batch.advantage)
        value_error = self.value_loss(value, batch.value_target, batch.value)
        entropy = dist.entropy()
        total = actor + self.value_coef * value_error - at(self.entropy_coef, learner.progress) * entropy
        metrics = learner.world.mean(torch.stack([actor, value_error, entropy]).detach(), batch.steps.mask)
        return learner.world.mean(total, batch.steps.mask), dict(zip(WATCHED, metrics, strict=True))

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        batch = next(minibatches(targets, 1, 1, learner.generator))
        loss, metrics = self.loss(learner, batch)
        learning_rate = at(self.learning_rate, learner.progress)
        metrics["loss/gradient_norm"] = gradient_step(learner, loss, learning_rate, self.max_grad_norm)
        learner.absorb(targets)
        return summarise([metrics], targets, learner.world)
