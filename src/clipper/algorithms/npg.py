"""The natural policy gradient (Kakade 2001, "A natural policy gradient"), with a step length in units of KL."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.data.values import Bound, Count, Fraction, NonNegative, Passes, value
from clipper.functional.objectives import policy_gradient
from clipper.learning.advantages import Advantages, Standardised, gae_targets
from clipper.learning.critic_targets import CriticTarget, lag_of
from clipper.learning.gradient_step import fit_critic
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, summarise
from clipper.learning.minibatches import whole
from clipper.learning.natural_gradient import natural_gradient, step_metrics
from clipper.learning.optimizers import Adam, Optimizer
from clipper.learning.rewards import Raw, Rewards
from clipper.learning.schedules import Rate, at
from clipper.learning.two_steps import Again, targets_then_improve
from clipper.learning.value_losses import MSE, ValueLoss


@value(kw_only=True)
class NPG:
    """θ ← θ + √(2δ / gᵀF⁻¹g) F⁻¹g: the steepest ascent of a metric on policies: TRPO without its search."""

    gamma: Fraction = 0.99
    """γ, the discount."""
    lam: Fraction = 0.95
    """λ of the generalised advantage estimate: 0 trusts the critic, 1 the returns."""
    horizon: Count = 128
    """T, rows collected per environment and iteration."""
    advantages: Advantages = Standardised("batch")
    """Advantages in standard units, standardised(over,correction), or as they are (raw)."""
    delta: Rate = 0.01
    """δ, mean KL(π_old ‖ π) that a step has in the quadratic model of it."""
    cg_iterations: Count = 10
    """Iterations of conjugate gradients that solve F x = g."""
    damping: NonNegative = 0.1
    """Added to F's diagonal, so that directions in which π hardly changes do not dominate."""
    value_epochs: Passes = 10
    """Passes of the critic over the collected decisions."""
    value_minibatches: Count = 4
    """Parts into which each of these passes is shuffled."""
    value_learning_rate: Rate = 1e-3
    """The optimizer's step size for the critic."""
    optimizer: Optimizer = Adam()
    """adam(ε), rmsprop(α,ε) or rmsprop_tf(α,ε)."""
    max_grad_norm: Bound = 0.5
    """Bound on the Euclidean norm of the critic's gradient."""
    value_loss: ValueLoss = MSE()
    """Error of the critic: mse, huber(δ), or clipped_mse(ε)."""
    critic_target: CriticTarget = None
    """What the critic is fitted to: monte_carlo, td0, nstep(n), tdlambda(λ), or none: Â + V(sₜ)."""
    rewards: Rewards = Raw()
    """Rewards as they are (raw), scaled(bound) or normalised(bound)."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        scaler, lag = self.rewards.scaler(), lag_of(self.critic_target)
        return Learner(policy, seed=seed, optimizer=self.optimizer, reward_scaler=scaler, lag=lag, separate=True)

    def targets(self, learner: Learner, steps: Steps, last_obs: Tree, again: bool = False) -> Targets:
        """Â by GAE, and what the critic is fitted to."""
        return gae_targets(learner, steps, last_obs, again, self.gamma, self.lam, self.critic_target, self.advantages)

    update = targets_then_improve

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
        fit = self.value_loss, self.value_epochs, self.value_minibatches, self.value_learning_rate, self.max_grad_norm
        metrics["loss/value"] = fit_critic(learner, targets, *fit)
        learner.absorb(targets)
        return summarise([metrics], targets, learner.world)
