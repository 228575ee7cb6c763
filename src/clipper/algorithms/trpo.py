"""Trust region policy optimisation (Schulman et al. 2015, arXiv:1502.05477, section 6 and appendix C)."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.data.values import Bound, Count, Fraction, NonNegative, Passes, Range, value
from clipper.functional.linear import backtracking
from clipper.functional.objectives import conservative
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
class TRPO:
    """max L(θ) subject to a mean KL(π_old ‖ π_θ) ≤ δ: one natural-gradient step with line search, then the critic."""

    gamma: Fraction = 0.99
    """γ, the discount."""
    lam: Fraction = 0.95
    """λ of the generalised advantage estimate: 0 trusts the critic, 1 the returns."""
    horizon: Count = 128
    """T, rows collected per environment and iteration."""
    advantages: Advantages = Standardised("batch")
    """Advantages in standard units, standardised(over,correction), or as they are (raw)."""
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
        fit = self.value_loss, self.value_epochs, self.value_minibatches, self.value_learning_rate, self.max_grad_norm
        metrics["loss/value"] = fit_critic(learner, targets, *fit)
        learner.absorb(targets)
        return summarise([metrics], targets, learner.world)
