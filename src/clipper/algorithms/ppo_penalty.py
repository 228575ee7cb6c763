"""Proximal policy optimisation with a penalty on the KL (Schulman et al. 2017, arXiv:1707.06347, section 4)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.data.values import Bound, Count, Fraction, NonNegative, Positive, value
from clipper.errors import ConfigError
from clipper.functional.objectives import adapt_penalty, conservative
from clipper.learning.advantages import estimate_advantages, with_old
from clipper.learning.critic_targets import CriticTarget, TargetCritic
from clipper.learning.gradient_step import gradient_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, ratio_metrics, summarise
from clipper.learning.minibatches import minibatches
from clipper.learning.schedules import Linear, Rate, Schedule, at
from clipper.learning.two_steps import Again, targets_then_improve
from clipper.learning.value_losses import MSE, ValueLoss
from clipper.networks.normalise import RewardScaler

WATCHED = ("loss/policy", "loss/value", "policy/entropy", "policy/kl", "advantage/minibatch_mean")


@value(kw_only=True)
class PPOPenalty:
    """Climb E[r Â] − β KL(π_old ‖ π) for some epochs of minibatches, then adapt β to the KL that came of it."""

    gamma: Fraction = 0.99
    """γ, the discount."""
    lam: Fraction = 0.95
    """λ of the generalised advantage estimate: 0 trusts the critic, 1 the returns."""
    beta: NonNegative = 1.0
    """β, weight of the penalty; where the first iteration starts from, if it adapts."""
    kl_target: Positive | None = 0.005
    """d_targ, mean KL that an update should have: β is halved below d_targ / 1.5 and doubled above 1.5 d_targ. None
    keeps β. The paper tries 0.003, 0.01 and 0.03; with 0.01 some seeds of CartPole-v1 end below 475, with this none."""
    hinge: NonNegative = 0.0
    """ξ, weight of max(0, KL − 2 d_targ)² of a minibatch's mean KL, which DPPO adds to β's (Heess et al. 2017,
    arXiv:1707.02286, algorithm 1); 0 is off."""
    horizon: Count = 128
    """T, rows collected per environment and iteration."""
    epochs: Count = 10
    """K, passes over the collected decisions."""
    minibatches: Count = 4
    """Parts into which each pass is shuffled; M = N·T / this."""
    learning_rate: Rate = Linear(1e-3)
    """α, Adam's step size."""
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
    standardise: Literal["minibatch", "batch", "none"] = "minibatch"
    """Over which decisions advantages are brought to mean 0 and standard deviation 1."""
    correction: Literal[0, 1] = 1
    """Degrees of freedom that this deviation leaves out: 1 divides by n − 1 (torch), 0 by n (numpy, Spinning Up)."""
    scale_rewards: bool = False
    """Divide rewards by the running standard deviation of their discounted sum."""
    clip_rewards: Bound = 10.0
    """Bound on scaled rewards."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        if self.hinge and self.kl_target is None:
            raise ConfigError("the hinge begins at twice kl_target: set kl_target, or hinge=0")
        scaler = RewardScaler(self.clip_rewards) if self.scale_rewards else None
        learner = Learner(
            policy, adam_eps=self.adam_eps, seed=seed, reward_scaler=scaler, target_critic=self.target_critic
        )
        learner.extra["beta"] = torch.tensor(self.beta, dtype=torch.float64)
        return learner

    @torch.no_grad()
    def targets(self, learner: Learner, steps: Steps, last_obs: Tree) -> Targets:
        """Â by GAE, what the critic is fitted to, and π_old."""
        return with_old(learner.policy, estimate_advantages(self, learner, steps, last_obs))

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−L^KLPEN (eq 8) with the value loss and the entropy bonus of eq 9, and what to watch."""
        steps, mask, world = batch.steps, batch.steps.mask, learner.world
        dist, value = learner.policy(steps.obs, steps.memory, steps.action_mask)
        advantage = batch.advantage
        if self.standardise == "minibatch":
            advantage = world.standardise(advantage, mask, self.correction)
        log_ratio = dist.log_prob(steps.action) - steps.log_prob
        surrogate = conservative(log_ratio, advantage)
        kl = type(dist)(*batch.old).kl(dist)
        value_error = self.value_loss(value, batch.value_target, batch.value)
        entropy = dist.entropy()
        penalty = learner.extra["beta"].to(kl) * kl
        total = surrogate + penalty + self.value_coef * value_error - at(self.entropy_coef, learner.progress) * entropy
        with torch.no_grad():
            (raw,) = batch.raw or (batch.advantage,)
            metrics = world.mean(torch.stack([surrogate, value_error, entropy, kl, raw]), mask)
            watched: Metrics = dict(zip(WATCHED, metrics, strict=True))
            watched["advantage/minibatch_std"] = world.mean((raw - metrics[-1]).square(), mask).sqrt()
            watched |= ratio_metrics(log_ratio, mask, world)
        loss = world.mean(total, mask)
        if self.hinge and self.kl_target is not None:
            loss = loss + self.hinge * (world.mean(kl, mask) - 2 * self.kl_target).clamp(min=0).square()
        return loss, watched

    update = targets_then_improve

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        learning_rate = at(self.learning_rate, learner.progress)
        beta = learner.extra["beta"]
        history: list[Metrics] = []
        for batch in minibatches(targets, self.epochs, self.minibatches, learner.generator):
            loss, metrics = self.loss(learner, batch)
            metrics["loss/gradient_norm"] = gradient_step(learner, loss, learning_rate, self.max_grad_norm)
            history.append(metrics)
        with torch.no_grad():
            whole = next(minibatches(targets, 1, 1, learner.generator))
            dist, _ = learner.policy.act(whole.steps.obs, whole.steps.memory, whole.steps.action_mask)
            kl = learner.world.mean(type(dist)(*whole.old).kl(dist), whole.steps.mask)
        if self.kl_target is not None:
            learner.extra["beta"] = adapt_penalty(beta, kl, self.kl_target)
        learner.absorb(targets)
        return summarise(history, targets, learner.world) | {"policy/kl": kl, "policy/beta": beta.to(kl)}
