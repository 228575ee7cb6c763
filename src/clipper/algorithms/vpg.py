"""Vanilla policy gradient with a learned critic and GAE, as OpenAI's Spinning Up (2018) states it."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Targets
from clipper.data.values import Bound, Count, Fraction, NonNegative, value
from clipper.functional.objectives import policy_gradient
from clipper.learning.advantages import estimate_advantages
from clipper.learning.critic_targets import CriticTarget, TargetCritic
from clipper.learning.gradient_step import fit_critic, gradient_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, summarise
from clipper.learning.minibatches import minibatches
from clipper.learning.schedules import Rate, Schedule, at
from clipper.learning.two_steps import Again, targets_then_improve
from clipper.learning.value_losses import MSE, ValueLoss
from clipper.networks.normalise import RewardScaler


@value(kw_only=True)
class VPG:
    """One step of the actor along E[∇log π(a|s) Â] for each batch, then many of the critic."""

    gamma: Fraction = 0.99
    """γ, the discount."""
    lam: Fraction = 0.97
    """λ of the generalised advantage estimate: 0 trusts the critic, 1 the returns."""
    horizon: Count = 128
    """T, rows collected per environment and iteration."""
    learning_rate: Rate = 1e-2
    """α, Adam's step size for the actor."""
    value_learning_rate: Rate = 1e-3
    """Adam's step size for the critic."""
    value_epochs: Count = 10
    """Passes of the critic over the collected decisions."""
    value_minibatches: Count = 4
    """Parts into which each of these passes is shuffled; 1 is Spinning Up's full batch."""
    adam_eps: NonNegative = 1e-5
    """Adam's ε, which bounds steps along tiny gradients ("37 details", core 3)."""
    max_grad_norm: Bound = 0.5
    """Bound on each gradient's Euclidean norm."""
    standardise: bool = True
    """Bring the batch's advantages to mean 0 and standard deviation 1."""
    correction: Literal[0, 1] = 1
    """Degrees of freedom that this deviation leaves out: 1 divides by n − 1 (torch), 0 by n (numpy, Spinning Up)."""
    value_loss: ValueLoss = MSE()
    """Error of the critic: mse, huber(δ), or clipped_mse(ε)."""
    critic_target: CriticTarget = None
    """What the critic is fitted to: monte_carlo, td0, nstep(n), tdlambda(λ), or none: Â + V(sₜ)."""
    target_critic: TargetCritic = None
    """Whose values those targets bootstrap from: a copy that lags, periodic(k) or polyak(τ), or none: the critic."""
    entropy_coef: Schedule = 0.0
    """Weight of the entropy bonus."""
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
        """−E[log π(a|s) Â] − c H, and what to watch."""
        dist, _ = learner.policy.act(batch.steps.obs, batch.steps.memory, batch.steps.action_mask)
        credited = policy_gradient(dist.log_prob(batch.steps.action), batch.advantage)
        actor = learner.world.mean(credited, batch.steps.mask)
        entropy = learner.world.mean(dist.entropy(), batch.steps.mask)
        loss = actor - at(self.entropy_coef, learner.progress) * entropy
        return loss, {"loss/policy": actor.detach(), "policy/entropy": entropy.detach()}

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        batch = next(minibatches(targets, 1, 1, learner.generator))
        loss, metrics = self.loss(learner, batch)
        learning_rate = at(self.learning_rate, learner.progress)
        metrics["loss/gradient_norm"] = gradient_step(learner, loss, learning_rate, self.max_grad_norm)
        metrics["loss/value"] = fit_critic(
            learner, targets, self.value_loss, self.value_epochs, self.value_minibatches,
            at(self.value_learning_rate, learner.progress), self.max_grad_norm,
        )  # fmt: skip
        learner.absorb(targets)
        return summarise([metrics], targets, learner.world)
