"""Proximal policy optimisation with the clipped surrogate (Schulman et al. 2017, arXiv:1707.06347, algorithm 1)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.data.values import Bound, Count, Fraction, NonNegative, Passes, value
from clipper.functional.returns import gae
from clipper.learning.action_parts import Joint, Parts, compare
from clipper.learning.advantages import Advantages, Standardised, recorded, with_old
from clipper.learning.critic_targets import CriticTarget, lag_of
from clipper.learning.gradient_step import backward, step, step_size
from clipper.learning.kl import KL, Exact, KLStop, Sampled
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, clip_metrics, summarise
from clipper.learning.minibatches import minibatches
from clipper.learning.objectives import Clip, Objective
from clipper.learning.optimizers import Adam, Optimizer
from clipper.learning.rewards import Raw, Rewards
from clipper.learning.schedules import Distance, KLAdaptive, Rate, Schedule, Width, at
from clipper.learning.two_steps import Again, targets_then_improve
from clipper.learning.value_losses import MSE, ValueLoss


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
    parts: Parts = Joint()
    """The ratio of a hybrid action: joint(entropy), one for the whole, or per_part(entropy), one for each part."""
    horizon: Count = 128
    """T, rows collected per environment and iteration."""
    epochs: Passes = 10
    """K, passes over the collected decisions."""
    minibatches: Count = 4
    """Parts into which each pass is shuffled; M = N·T / this."""
    learning_rate: Rate | KLAdaptive = 1e-3
    """α, the optimizer's step size; kladaptive(KL,α) moves it, before each further step of an update, to keep the KL
    near its target: of an update of a single step it learns nothing, and the rate stays."""
    optimizer: Optimizer = Adam()
    """adam(ε), rmsprop(α,ε) or rmsprop_tf(α,ε)."""
    max_grad_norm: Bound = 0.5
    """Bound on the gradient's Euclidean norm."""
    value_coef: NonNegative = 0.5
    """c₁, weight of the value loss."""
    value_loss: ValueLoss = MSE()
    """Error of the critic: mse, huber(δ), or clipped_mse(ε) (the value clip)."""
    critic_target: CriticTarget = None
    """What the critic is fitted to: monte_carlo, td0, nstep(n), tdlambda(λ), or none: Â + V(sₜ)."""
    entropy_coef: Schedule = 0.0
    """c₂, weight of the entropy bonus."""
    rewards: Rewards = Raw()
    """Rewards as they are (raw), scaled(bound) or normalised(bound)."""
    advantages: Advantages = Standardised("minibatch")
    """Advantages in standard units, standardised(over,correction), or as they are (raw)."""
    recompute: bool = False
    """Re-estimate advantages and targets with the current critic before every epoch after the first."""
    stop: KLStop | None = None
    """The KL that ends an update: kl_stop(target,at), or none."""
    kl: KL = Sampled("k3")
    """The KL that is reported and decides: sampled(estimate), or exact, of whole distributions."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        scaler, lag = self.rewards.scaler(), lag_of(self.critic_target)
        return Learner(policy, seed=seed, optimizer=self.optimizer, reward_scaler=scaler, lag=lag)

    @torch.no_grad()
    def targets(self, learner: Learner, steps: Steps, last_obs: Tree, again: bool = False) -> Targets:
        """Â by GAE (eq 11), and what the critic is fitted to."""
        seen, judged = recorded(learner, steps, last_obs, self.gamma, again)
        advantage = gae(*seen, self.lam)  # Âₜ = δₜ + γλ Âₜ₊₁, δₜ = rₜ + γ V(sₜ₊₁) − V(sₜ): eqs 11 and 12
        returns = advantage + seen.value[:-1] if self.critic_target is None else self.critic_target(*judged)
        return self.advantages.of_batch(Targets(steps, advantage, returns, seen.value[:-1]), learner.world)

    update = targets_then_improve

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−L^{CLIP+VF+S} (eq 9), and what to watch."""
        steps, world, progress = batch.steps, learner.world, learner.progress
        dist, value = learner.policy(steps.obs, steps.memory, steps.action_mask)
        advantage = self.advantages.of_minibatch(batch.advantage, steps.mask, world)
        action = compare(dist, batch, self.kl)  # log r = log π(a|s) − log π_old(a|s), H(π) and KL(π_old ‖ π)
        low, high = self.clip if isinstance(self.clip, tuple) else (at(self.clip, progress),) * 2
        surrogate = self.parts.surrogate(self.objective, action, advantage, low, high)  # −min(r Â, clip(r) Â): eq 7
        value_error = self.value_loss(value, batch.value_target, batch.value)  # (V − V^targ)²: L^VF
        bonus = self.parts.bonus(self.entropy_coef, action, progress)  # c₂ S[π]
        total = surrogate + self.value_coef * value_error - bonus  # eq 9
        rows = {"loss/policy": surrogate, "loss/value": value_error}
        return world.share(total, steps.mask), clip_metrics(rows, batch, action, low, high, world)

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        """K epochs of minibatches (algorithm 1), ended by the KL where it says so."""
        if isinstance(self.kl, Exact) or getattr(self.objective, "needs_kl", False):
            targets = with_old(learner.policy, targets)
        current, history, metrics, end = targets, list[Metrics](), Metrics(), None
        for epoch in range(self.epochs):
            if epoch and self.recompute and again is not None:
                current = again()._replace(old=targets.old)
            for batch in minibatches(current, 1, self.minibatches, learner.generator, learner.world):
                loss, metrics = self.loss(learner, batch)
                backward(learner, loss, metrics)
                end = self.stop and self.stop.end(metrics["policy/kl"])
                if end == "minibatch":
                    break
                rate = step_size(learner, self.learning_rate, metrics["policy/kl"] if history else None)
                metrics["loss/gradient_norm"] = step(learner, rate, self.max_grad_norm)
                history.append(metrics)
            if end is not None:
                break
        learner.absorb(targets)
        return summarise(history or [metrics], targets, learner.world)
