"""Trust region policy optimisation (Schulman et al. 2015, arXiv:1502.05477, section 6 and appendix C)."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Targets
from clipper.data.trees import each
from clipper.data.values import Bound, Count, Fraction, NonNegative, Range, value
from clipper.functional.linear import backtracking, fisher_vector_product, flat_gradient, natural_step
from clipper.functional.objectives import conservative
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
class TRPO:
    """max L(θ) subject to a mean KL(π_old ‖ π_θ) ≤ δ: one natural-gradient step with line search, then the critic."""

    gamma: Fraction = 0.99
    """γ, the discount."""
    lam: Fraction = 0.95
    """λ of the generalised advantage estimate: 0 trusts the critic, 1 the returns."""
    horizon: Count = 128
    """T, rows collected per environment and iteration."""
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
        """−L(θ) = −E[π_θ/π_old Â] (section 5), and what to watch."""
        dist, _ = learner.policy.act(batch.steps.obs, batch.steps.memory, batch.steps.action_mask)
        log_ratio = dist.log_prob(batch.steps.action) - batch.steps.log_prob
        loss = learner.world.mean(conservative(log_ratio, batch.advantage), batch.steps.mask)
        entropy = learner.world.mean(dist.entropy(), batch.steps.mask)
        return loss, {"loss/policy": loss.detach(), "policy/entropy": entropy.detach()}

    def step(self, learner: Learner, batch: Targets) -> Metrics:
        """One step of the actor, from where it is (θ_old) to where the line search ends."""
        policy, actor, mask, world = learner.policy, learner.actor, batch.steps.mask, learner.world
        parameters = [p for p in policy.actor_parameters() if p.requires_grad]
        dist, _ = policy.act(batch.steps.obs, batch.steps.memory, batch.steps.action_mask)
        old = type(dist)(*each(torch.detach, dist.params))
        delta = at(self.delta, learner.progress)

        def mean_kl() -> Float[Tensor, ""]:
            new, _ = policy.act(batch.steps.obs, batch.steps.memory, batch.steps.action_mask)
            return world.mean(old.kl(new), mask)

        loss, metrics = self.loss(learner, batch)
        gradient = -world.sum(flat_gradient(loss, parameters))
        kl_gradient = flat_gradient(mean_kl(), parameters, create_graph=True)
        natural = natural_step(
            lambda v: world.sum(fisher_vector_product(kl_gradient, parameters, v)) + self.damping * v,
            gradient, delta, self.cg_iterations,
        )  # fmt: skip
        start, step = actor.detach().clone(), finite_step(learner, loss, natural)

        @torch.no_grad()
        def accept(scale: float) -> bool:
            actor.copy_(start + scale * step)
            return bool(world.agree((self.loss(learner, batch)[0] < loss) & (mean_kl() <= delta)))

        scale = 0.0
        try:
            scale = backtracking(accept, self.shrink, self.tries)
        finally:  # no trial outlasts an error
            actor.data.copy_(start + scale * step)
        with torch.no_grad():
            metrics |= {"policy/kl": mean_kl(), "policy/step_scale": actor.new_tensor(scale)}
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
