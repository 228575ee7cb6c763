"""Off-policy policy gradient by importance sampling (Levine et al. 2020, arXiv:2005.01643, section 3.2).

The step between REINFORCE and PPO: reuse what μ did for several gradient steps of π′, as long as the two are near.
"""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree, each
from clipper.data.values import Bound, Count, Fraction, NonNegative, Range, value
from clipper.errors import ConfigError
from clipper.functional.importance import effective_sample_size, importance_weight
from clipper.functional.objectives import policy_gradient
from clipper.functional.reduce import trajectory_sum
from clipper.functional.returns import reward_to_go
from clipper.learning.advantages import with_old
from clipper.learning.gradient_step import gradient_step
from clipper.learning.importance_weights import FirstOrder, ImportanceWeights
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, summarise
from clipper.learning.optimizers import Adam, Optimizer
from clipper.learning.schedules import Rate, Schedule, at
from clipper.learning.two_steps import Again, targets_then_improve
from clipper.learning.value_losses import MSE, ValueLoss


@value(kw_only=True)
class ImportanceSampling:
    """∇J(θ′) ≈ (1/M) Σᵢ Σₜ cₜ ∇log π′(aₜ|sₜ) over M episodes of μ, again and again until KL(μ ‖ π′) exceeds σ."""

    gamma: Fraction = 0.99
    """γ, the discount."""
    episodes: Count = 16
    """M, episodes per iteration, shared evenly among the environments."""
    weights: ImportanceWeights = FirstOrder()
    """How returns are weighed: first_order, causal_product, whole_trajectory or self_normalised(λ)."""
    sigma: Annotated[float, Range(0, infinite=True)] = 0.01
    """σ, mean KL(μ ‖ π′) up to which the episodes are used again; beyond it they are discarded."""
    max_steps: Count = 10
    """Gradient steps that one batch of episodes is used for at most."""
    learning_rate: Rate = 3e-3
    """α, the optimizer's step size."""
    optimizer: Optimizer = Adam()
    """adam(ε), rmsprop(α,ε) or rmsprop_tf(α,ε)."""
    max_grad_norm: Bound = 0.5
    """Bound on the gradient's Euclidean norm."""
    entropy_coef: Schedule = 0.0
    """Weight of the entropy bonus."""
    baseline: bool = True
    """Subtract b(s) = V(s), a learned value, from each return."""
    value_coef: NonNegative = 0.5
    """Weight of the baseline's loss."""
    value_loss: ValueLoss = MSE()
    """Error of the baseline: mse, huber(δ), or clipped_mse(ε)."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        return Learner(policy, seed=seed, optimizer=self.optimizer)

    @torch.no_grad()
    def targets(self, learner: Learner, steps: Steps, last_obs: Tree) -> Targets:
        """Gₜ − b(sₜ), Gₜ for the baseline, and π_old. Episodes are whole, so nothing is bootstrapped."""
        value = learner.policy.value(steps.obs, steps.memory).mean
        returns = reward_to_go(steps.reward, steps.done, steps.mask, self.gamma)
        return with_old(learner.policy, Targets(steps, returns - value, value_target=returns, value=value))

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−(1/M) Σᵢ Σₜ cₜ log π′(aₜ|sₜ), plus the baseline's error and the entropy bonus. ``batch`` is ``[T, N]``."""
        steps, mask, world = batch.steps, batch.steps.mask, learner.world
        rows = steps.memory.decisions(batch) if steps.memory else each(lambda x: x[mask], batch)
        dist, value = learner.policy(rows.steps.obs, rows.steps.memory, rows.steps.action_mask)
        log_prob, every = dist.log_prob(rows.steps.action), torch.ones_like(rows.steps.mask)
        change = (log_prob - rows.steps.log_prob).detach()
        log_ratio = torch.zeros_like(batch.value).masked_scatter(mask, change)
        log_weight = self.weights.log_weight(log_ratio, steps.done, mask)
        baseline = batch.value if self.baseline else torch.zeros_like(batch.value)
        credit = self.weights.credit(log_weight, steps.reward, baseline, steps.done, mask, self.gamma)[mask]
        trajectories = world.sum(steps.done.sum()).clamp(min=1)
        actor = world.sum(trajectory_sum(policy_gradient(log_prob, credit), every, trajectories))
        value_error = world.mean(self.value_loss(value, rows.value_target, rows.value), every)
        entropy = world.mean(dist.entropy(), every)
        loss = actor + self.value_coef * value_error - at(self.entropy_coef, learner.progress) * entropy
        with torch.no_grad():
            used = world.gather(log_weight[mask])
            metrics = {
                "loss/policy": actor.detach(),
                "loss/value": value_error.detach(),
                "policy/entropy": entropy.detach(),
                "policy/kl": world.mean(type(dist)(*rows.old).kl(dist), every),
                "importance/effective_fraction": effective_sample_size(used) / used.numel(),
                "importance/underflow": (importance_weight(used) == 0).float().mean(),
            }
        return loss, metrics

    update = targets_then_improve

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        if learner.world.others is not None and getattr(self.weights, "over_all", False):
            raise ConfigError("weights that all episodes normalise need them in one place: leave out --rank-mode")
        learning_rate = at(self.learning_rate, learner.progress)
        history, metrics, discarded = list[Metrics](), Metrics(), False
        for _ in range(self.max_steps):
            loss, metrics = self.loss(learner, targets)
            too_far = learner.world.agree(metrics["policy/kl"] > self.sigma)
            discarded = bool(too_far)  # the gate: one host read per step decides it
            if discarded:
                break
            metrics["loss/gradient_norm"] = gradient_step(learner, loss, learning_rate, self.max_grad_norm)
            history.append(metrics)
        learner.absorb(targets)
        return summarise(history or [metrics], targets, learner.world) | {
            "importance/reuses": targets.value.new_tensor(max(len(history) - 1, 0)),
            "importance/discarded": targets.value.new_tensor(discarded),
        }
