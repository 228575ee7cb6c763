"""The natural policy gradient (Kakade 2001, "A natural policy gradient"), with a step length in units of KL."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Targets
from clipper.data.trees import each
from clipper.data.values import Bound, Count, Fraction, NonNegative, value
from clipper.functional.linear import fisher_vector_product, flat_gradient, natural_step
from clipper.functional.objectives import policy_gradient
from clipper.learning.advantages import estimate_advantages
from clipper.learning.critic_targets import CriticTarget, TargetCritic
from clipper.learning.gradient_step import finite_step, fit_critic
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, ratio_metrics, summarise
from clipper.learning.minibatches import minibatches
from clipper.learning.schedules import Rate, at
from clipper.learning.two_steps import Again, targets_then_improve
from clipper.learning.value_losses import MSE, ValueLoss
from clipper.networks.normalise import RewardScaler


@value(kw_only=True)
class NPG:
    """θ ← θ + √(2δ / gᵀF⁻¹g) F⁻¹g: the steepest ascent of a metric on policies: TRPO without its search."""

    gamma: Fraction = 0.99
    """γ, the discount."""
    lam: Fraction = 0.95
    """λ of the generalised advantage estimate: 0 trusts the critic, 1 the returns."""
    horizon: Count = 128
    """T, rows collected per environment and iteration."""
    delta: Rate = 0.01
    """δ, mean KL(π_old ‖ π) that a step has in the quadratic model of it."""
    cg_iterations: Count = 10
    """Iterations of conjugate gradients that solve F x = g."""
    damping: NonNegative = 0.1
    """Added to F's diagonal, so that directions in which π hardly changes do not dominate."""
    standardise: bool = True
    """Bring the batch's advantages to mean 0 and standard deviation 1."""
    correction: Literal[0, 1] = 1
    """Degrees of freedom that this deviation leaves out: 1 divides by n − 1 (torch), 0 by n (numpy, Spinning Up)."""
    value_epochs: Count = 10
    """Passes of the critic over the collected decisions."""
    value_minibatches: Count = 4
    """Parts into which each of these passes is shuffled."""
    learning_rate: Rate = 1e-3
    """Adam's step size for the critic."""
    adam_eps: NonNegative = 1e-5
    """Adam's ε, which bounds steps along tiny gradients ("37 details", core 3)."""
    max_grad_norm: Bound = 0.5
    """Bound on the Euclidean norm of the critic's gradient."""
    value_loss: ValueLoss = MSE()
    """Error of the critic: mse, huber(δ), or clipped_mse(ε)."""
    critic_target: CriticTarget = None
    """What the critic is fitted to: monte_carlo, td0, nstep(n), tdlambda(λ), or none: Â + V(sₜ)."""
    target_critic: TargetCritic = None
    """Whose values those targets bootstrap from: a copy that lags, periodic(k) or polyak(τ), or none: the critic."""
    scale_rewards: bool = False
    """Divide rewards by the running standard deviation of their discounted sum."""
    clip_rewards: Bound = 10.0
    """Bound on scaled rewards."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        scaler = RewardScaler(self.clip_rewards) if self.scale_rewards else None
        return Learner(
            policy,
            adam_eps=self.adam_eps,
            seed=seed,
            reward_scaler=scaler,
            target_critic=self.target_critic,
            apart=True,
        )

    targets = estimate_advantages
    update = targets_then_improve

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−E[log π(a|s) Â], whose gradient is −g, and what to watch."""
        dist, _ = learner.policy.act(batch.steps.obs, batch.steps.memory, batch.steps.action_mask)
        loss = learner.world.mean(policy_gradient(dist.log_prob(batch.steps.action), batch.advantage), batch.steps.mask)
        entropy = learner.world.mean(dist.entropy(), batch.steps.mask)
        return loss, {"loss/policy": loss.detach(), "policy/entropy": entropy.detach()}

    def step(self, learner: Learner, batch: Targets) -> Metrics:
        """One step of the actor."""
        policy, mask, world = learner.policy, batch.steps.mask, learner.world
        parameters = [p for p in policy.actor_parameters() if p.requires_grad]
        dist, _ = policy.act(batch.steps.obs, batch.steps.memory, batch.steps.action_mask)
        old = type(dist)(*each(torch.detach, dist.params))

        def mean_kl() -> Float[Tensor, ""]:
            new, _ = policy.act(batch.steps.obs, batch.steps.memory, batch.steps.action_mask)
            return world.mean(old.kl(new), mask)

        loss, metrics = self.loss(learner, batch)
        gradient = -world.sum(flat_gradient(loss, parameters))
        kl_gradient = flat_gradient(mean_kl(), parameters, create_graph=True)
        natural = natural_step(
            lambda v: world.sum(fisher_vector_product(kl_gradient, parameters, v)) + self.damping * v,
            gradient, at(self.delta, learner.progress), self.cg_iterations,
        )  # fmt: skip
        with torch.no_grad():
            learner.actor.add_(finite_step(learner, loss, natural))
            metrics["policy/kl"] = mean_kl()
            dist, _ = policy.act(batch.steps.obs, batch.steps.memory, batch.steps.action_mask)
            metrics |= ratio_metrics(dist.log_prob(batch.steps.action) - batch.steps.log_prob, mask, world)
        return metrics | {"loss/gradient_norm": torch.linalg.vector_norm(gradient)}

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        metrics = self.step(learner, next(minibatches(targets, 1, 1, learner.generator)))
        metrics["loss/value"] = fit_critic(
            learner, targets, self.value_loss, self.value_epochs, self.value_minibatches,
            at(self.learning_rate, learner.progress), self.max_grad_norm,
        )  # fmt: skip
        learner.absorb(targets)
        return summarise([metrics], targets, learner.world)
