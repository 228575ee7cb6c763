"""PPO with actor and critic apart, as OpenAI's Spinning Up (2018) states it (arXiv:1707.06347 without a joint loss)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Targets
from clipper.data.values import Bound, Count, Fraction, NonNegative, value
from clipper.functional.objectives import LARGEST_LOG_RATIO, clip
from clipper.learning.advantages import estimate_advantages
from clipper.learning.critic_targets import CriticTarget, MonteCarlo, TargetCritic
from clipper.learning.gradient_step import fit_critic, gradient_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, ratio_metrics, summarise
from clipper.learning.minibatches import minibatches
from clipper.learning.schedules import Distance, Rate, Schedule, at
from clipper.learning.two_steps import Again, targets_then_improve
from clipper.learning.value_losses import MSE, ValueLoss
from clipper.networks.normalise import RewardScaler

WATCHED = ("loss/policy", "policy/entropy", "policy/clip_fraction", "advantage/minibatch_mean")


@value(kw_only=True)
class PPOApart:
    """Steps of the actor along the clipped surrogate until the KL ends them, then steps of the critic, all of them."""

    gamma: Fraction = 0.99
    """γ, the discount."""
    lam: Fraction = 0.97
    """λ of the generalised advantage estimate: 0 trusts the critic, 1 the returns."""
    clip: Distance = 0.2
    """ε, how far the ratio π/μ may help the surrogate."""
    horizon: Count = 512
    """T, rows collected per environment and iteration."""
    epochs: Count = 80
    """Passes of the actor over the collected decisions, at most (Spinning Up's train_pi_iters)."""
    minibatches: Count = 1
    """Parts into which each of these passes is shuffled; 1 is the full batch."""
    learning_rate: Rate = 3e-4
    """Adam's step size for the actor."""
    value_epochs: Count = 80
    """Passes of the critic over the collected decisions (Spinning Up's train_v_iters)."""
    value_minibatches: Count = 1
    """Parts into which each of these passes is shuffled; 1 is the full batch."""
    value_learning_rate: Rate = 1e-3
    """Adam's step size for the critic."""
    critic_first: bool = False
    """Let the critic learn before the actor, whose advantages are then those of the critic that has learnt."""
    adam_eps: NonNegative = 1e-8
    """Adam's ε, which bounds steps along tiny gradients; this one is torch's."""
    max_grad_norm: Bound = float("inf")
    """Bound on each gradient's Euclidean norm."""
    target_kl: Bound | None = 0.01
    """End the actor's steps as soon as a minibatch's KL(μ‖π) exceeds 1.5 times this."""
    kl_estimate: Literal["k1", "k2", "k3"] = "k1"
    """Which estimate decides (``functional.objectives.kl_estimates``): k1, the mean of −log r, is Spinning Up's."""
    standardise: bool = True
    """Bring the batch's advantages to mean 0 and standard deviation 1."""
    correction: Literal[0, 1] = 0
    """Degrees of freedom that this deviation leaves out: 1 divides by n − 1 (torch), 0 by n (numpy, Spinning Up)."""
    value_loss: ValueLoss = MSE()
    """Error of the critic: mse, huber(δ), or clipped_mse(ε)."""
    critic_target: CriticTarget = MonteCarlo()
    """What the critic is fitted to: monte_carlo (Spinning Up's), td0, nstep(n), tdlambda(λ), or none: Â + V(sₜ)."""
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
            policy, adam_eps=self.adam_eps, seed=seed, reward_scaler=scaler, target_critic=self.target_critic,
            apart=True,
        )  # fmt: skip

    targets = estimate_advantages
    update = targets_then_improve

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−L^CLIP (eq 7) − c H, and what to watch."""
        steps, mask, world = batch.steps, batch.steps.mask, learner.world
        dist, _ = learner.policy.act(steps.obs, steps.memory, steps.action_mask)
        bound = at(self.clip, learner.progress)
        log_ratio = dist.log_prob(steps.action) - steps.log_prob
        surrogate, entropy = clip(log_ratio, batch.advantage, bound, bound), dist.entropy()
        with torch.no_grad():
            outside = (log_ratio.clamp(max=LARGEST_LOG_RATIO).expm1().abs() > bound).to(surrogate.dtype)
            (raw,) = batch.raw or (batch.advantage,)
            metrics = world.mean(torch.stack([surrogate, entropy, outside, raw]), mask)
            watched = dict(zip(WATCHED, metrics, strict=True)) | ratio_metrics(log_ratio, mask, world)
            watched["advantage/minibatch_std"] = world.mean((raw - metrics[-1]).square(), mask).sqrt()
            watched["policy/kl"] = watched[f"policy/kl_{self.kl_estimate}"]
        return world.mean(surrogate - at(self.entropy_coef, learner.progress) * entropy, mask), watched

    def climb(self, learner: Learner, targets: Targets) -> Metrics:
        """The actor's steps."""
        learning_rate = at(self.learning_rate, learner.progress)
        history, metrics = list[Metrics](), Metrics()
        for batch in minibatches(targets, self.epochs, self.minibatches, learner.generator):
            loss, metrics = self.loss(learner, batch)
            if self.target_kl is not None and learner.world.agree(metrics["policy/kl"] > 1.5 * self.target_kl):
                break
            metrics["loss/gradient_norm"] = gradient_step(learner, loss, learning_rate, self.max_grad_norm)
            history.append(metrics)
        return summarise(history or [metrics], targets, learner.world)

    def fit(self, learner: Learner, targets: Targets) -> Metrics:
        """The critic's steps."""
        learning_rate = at(self.value_learning_rate, learner.progress)
        counts = self.value_epochs, self.value_minibatches
        return {"loss/value": fit_critic(learner, targets, self.value_loss, *counts, learning_rate, self.max_grad_norm)}

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        if self.critic_first:
            metrics = self.fit(learner, targets)
            metrics |= self.climb(learner, again() if again else targets)
        else:
            metrics = self.climb(learner, targets)
            metrics |= self.fit(learner, targets)
        learner.absorb(targets)
        explained = learner.world.explained_variance(targets.value, targets.value_target, targets.steps.mask)
        return metrics | {"value/explained_variance": explained}
