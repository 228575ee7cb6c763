"""Proximal policy optimisation with the clipped surrogate (Schulman et al. 2017, arXiv:1707.06347, algorithm 1)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Targets
from clipper.data.values import Bound, Count, Fraction, NonNegative, value
from clipper.errors import ConfigError
from clipper.functional.objectives import LARGEST_LOG_RATIO, kl_estimates
from clipper.learning.action_parts import entropy_bonus, parts_of, per_part, watch
from clipper.learning.advantages import estimate_advantages, with_old
from clipper.learning.critic_targets import CriticTarget, TargetCritic
from clipper.learning.gradient_step import gradient_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, summarise
from clipper.learning.minibatches import minibatches
from clipper.learning.objectives import Clip, Objective
from clipper.learning.schedules import Distance, KLAdaptive, Rate, Schedule, Width, at
from clipper.learning.two_steps import Again, targets_then_improve
from clipper.learning.value_losses import MSE, ValueLoss
from clipper.networks.normalise import RewardNormaliser, RewardScaler

WATCHED = ("loss/policy", "loss/value", "policy/entropy", "policy/kl", "policy/clip_fraction", "policy/kl_k1",
           "policy/kl_k2", "policy/kl_k3", "policy/ratio_clamped", "advantage/minibatch_mean")  # fmt: skip


@value(kw_only=True)
class PPO:
    """Collect a segment, estimate advantages, then climb the clipped surrogate for some epochs of minibatches."""

    gamma: Fraction = 0.99
    """γ, the discount."""
    lam: Fraction = 0.95
    """λ of the generalised advantage estimate: 0 trusts the critic, 1 the returns."""
    clip: Distance | tuple[Width, Width] = 0.2
    """ε, how far the ratio π/μ may help the surrogate; two numbers bound it below and above separately."""
    objective: Objective = Clip()
    """The surrogate: clip, dual_clip(c), unclipped, rollback(α), spo, trust_region(δ) or trust_region_rollback(δ,α)."""
    horizon: Count = 128
    """T, rows collected per environment and iteration."""
    epochs: Count = 10
    """K, passes over the collected decisions."""
    minibatches: Count = 4
    """Parts into which each pass is shuffled; M = N·T / this."""
    learning_rate: Rate | KLAdaptive = 1e-3
    """α, Adam's step size; kladaptive(KL,α) moves it, before each further step of an update, to keep the KL near its
    target: of an update of a single step it learns nothing, and the rate stays."""
    adam_eps: NonNegative = 1e-5
    """Adam's ε, which bounds steps along tiny gradients ("37 details", core 3)."""
    max_grad_norm: Bound = 0.5
    """Bound on the gradient's Euclidean norm."""
    value_coef: NonNegative = 0.5
    """c₁, weight of the value loss."""
    value_loss: ValueLoss = MSE()
    """Error of the critic: mse, huber(δ), or clipped_mse(ε) (the value clip)."""
    critic_target: CriticTarget = None
    """What the critic is fitted to: monte_carlo, td0, nstep(n), tdlambda(λ), or none: Â + V(sₜ)."""
    target_critic: TargetCritic = None
    """Whose values those targets bootstrap from: a copy that lags, periodic(k) or polyak(τ), or none: the critic."""
    entropy_coef: Schedule = 0.0
    """c₂, weight of the entropy bonus."""
    entropy_coefs: tuple[tuple[str, Schedule], ...] = ()
    """c₂ of parts of a hybrid action, by name, as in (("choice", 0.01),); entropy_coef weighs the others."""
    ratio: Literal["joint", "per_part"] = "joint"
    """One ratio π/μ for the whole action, or one surrogate per part of a hybrid one (H-PPO, arXiv:1903.01344)."""
    standardise: Literal["minibatch", "batch", "none"] = "minibatch"
    """Over which decisions advantages are brought to mean 0 and standard deviation 1."""
    correction: Literal[0, 1] = 1
    """Degrees of freedom that this deviation leaves out: 1 divides by n − 1 (torch), 0 by n (numpy, Spinning Up)."""
    recompute: bool = False
    """Estimate advantages and the critic's targets anew, with the critic of by now, before each further epoch."""
    target_kl: Bound | None = None
    """End the update where KL(μ‖π) exceeds 1.5 times this."""
    kl_stop: Literal["minibatch", "epoch"] = "minibatch"
    """When that counts: at once, before the minibatch's own step (SB3, Spinning Up), or at the end of an epoch, in
    whose last minibatch it was exceeded (CleanRL). An update that takes no step reports a gradient norm of 0."""
    exact_kl: bool = False
    """Compare whole distributions where the KL is reported or decides, instead of the actions that were sampled."""
    scale_rewards: bool = False
    """Divide rewards by the running standard deviation of their discounted sum."""
    clip_rewards: Bound = 10.0
    """Bound on scaled rewards."""
    normalise_rewards: bool = False
    """Instead of scaling, bring rewards themselves to mean 0 and standard deviation 1 ("10 tricks", 3)."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        if self.scale_rewards and self.normalise_rewards:
            raise ConfigError("scale_rewards and normalise_rewards exclude each other")
        scaler = RewardScaler(self.clip_rewards) if self.scale_rewards else None
        scaler = RewardNormaliser(self.clip_rewards) if self.normalise_rewards else scaler
        learner = Learner(
            policy, adam_eps=self.adam_eps, seed=seed, reward_scaler=scaler, target_critic=self.target_critic
        )
        if isinstance(self.learning_rate, KLAdaptive):
            learner.extra["learning_rate"] = torch.tensor(self.learning_rate.start, dtype=torch.float64)
        return learner

    targets = estimate_advantages
    update = targets_then_improve

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−L^{CLIP+VF+S} (eq 9), and what to watch."""
        steps, mask, world, progress = batch.steps, batch.steps.mask, learner.world, learner.progress
        dist, value = learner.policy(steps.obs, steps.memory, steps.action_mask)
        low, high = self.clip if isinstance(self.clip, tuple) else (at(self.clip, progress),) * 2
        advantage = batch.advantage
        if self.standardise == "minibatch":
            advantage = world.standardise(advantage, mask, self.correction)
        log_ratio = dist.log_prob(steps.action) - steps.log_prob
        old = type(dist)(*batch.old) if batch.old else None
        estimates = kl_estimates(log_ratio.detach())
        kl = estimates[2] if old is None else old.kl(dist)
        kls = [kl] if getattr(self.objective, "needs_kl", False) else []
        surrogate = self.objective(log_ratio, advantage, low, high, *kls)
        value_error = self.value_loss(value, batch.value_target, batch.value)
        bonus = at(self.entropy_coef, progress) * (entropy := dist.entropy())
        parts = parts_of(dist, steps, old) if steps.log_probs else {}
        if parts and self.ratio == "per_part":
            surrogate = per_part(self.objective, parts, advantage, low, high, bool(kls))
        if self.entropy_coefs:
            bonus = entropy_bonus(parts, self.entropy_coefs, self.entropy_coef, progress)
        total = surrogate + self.value_coef * value_error - bonus
        with torch.no_grad():
            change = log_ratio.clamp(max=LARGEST_LOG_RATIO).expm1()
            outside, clamped = (change < -low) | (change > high), log_ratio > LARGEST_LOG_RATIO
            (raw,) = batch.raw or (batch.advantage,)
            rows = surrogate, value_error, entropy, kl, outside.to(kl), *estimates, clamped.to(kl), raw
            metrics = world.mean(torch.stack(rows), mask)
            watched = dict(zip(WATCHED, metrics, strict=True)) | (watch(parts, mask, low, high, world) if parts else {})
            watched["advantage/minibatch_std"] = world.mean((raw - metrics[-1]).square(), mask).sqrt()
            watched["policy/ratio_max"] = 1 + world.largest(change.masked_fill(~mask, -1).amax())
        return world.mean(total, mask), watched

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        if self.exact_kl or getattr(self.objective, "needs_kl", False):
            targets = with_old(learner.policy, targets)
        current = targets
        rate = self.learning_rate
        adaptive = isinstance(rate, KLAdaptive)
        learning_rate = float(learner.extra["learning_rate"]) if adaptive else at(rate, learner.progress)
        history, metrics, too_far = list[Metrics](), Metrics(), False
        for epoch in range(self.epochs):
            if epoch and self.recompute and again is not None:
                current = again()._replace(old=targets.old)
            for batch in minibatches(current, 1, self.minibatches, learner.generator):
                loss, metrics = self.loss(learner, batch)
                kl = metrics["policy/kl"]
                too_far = self.target_kl is not None and bool(learner.world.agree(kl > 1.5 * self.target_kl))
                if too_far and self.kl_stop == "minibatch":
                    break
                if isinstance(rate, KLAdaptive) and history:  # before a first step, a KL is the rounding of log μ
                    learner.extra["learning_rate"] = rate(learner.extra["learning_rate"], kl)
                    learning_rate = float(learner.extra["learning_rate"])
                metrics["loss/gradient_norm"] = gradient_step(learner, loss, learning_rate, self.max_grad_norm)
                history.append(metrics)
            if too_far:
                break
        learner.absorb(targets)
        return summarise(history or [metrics], targets, learner.world)
