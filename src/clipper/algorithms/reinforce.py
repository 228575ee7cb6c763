"""REINFORCE with whole episodes and an optional learned baseline (Williams 1992, doi:10.1007/BF00992696)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.data.values import Bound, Count, Fraction, NonNegative, value
from clipper.functional.objectives import policy_gradient
from clipper.functional.reduce import trajectory_sum
from clipper.functional.returns import reward_to_go, total_return
from clipper.learning.gradient_step import gradient_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, summarise
from clipper.learning.minibatches import minibatches
from clipper.learning.schedules import Rate, Schedule, at
from clipper.learning.two_steps import Again, targets_then_improve
from clipper.learning.value_losses import MSE, ValueLoss


@value(kw_only=True)
class Reinforce:
    """∇J ≈ (1/M) Σᵢ Σₜ ∇log π(aₜ|sₜ) (Gₜ − b(sₜ)): one gradient step for M whole episodes."""

    gamma: Fraction = 0.99
    """γ, the discount."""
    episodes: Count = 16
    """M, episodes per iteration, shared evenly among the environments."""
    learning_rate: Rate = 1e-2
    """α, Adam's step size."""
    adam_eps: NonNegative = 1e-5
    """Adam's ε, which bounds steps along tiny gradients ("37 details", core 3)."""
    max_grad_norm: Bound = 0.5
    """Bound on the gradient's Euclidean norm."""
    causal: bool = True
    """Credit an action with the rewards that follow it (reward-to-go); else with those of its whole episode."""
    baseline: bool = True
    """Subtract b(s) = V(s), a learned value, from each return."""
    standardise: bool = True
    """Bring the batch's returns (minus baseline) to mean 0 and population standard deviation 1."""
    standardise_over: Literal["trajectories", "decisions"] = "trajectories"
    """Where these are taken: over the M trajectories, each of which counts once, or over all decisions, so that a
    trajectory counts as often as it is long."""
    value_coef: NonNegative = 0.5
    """Weight of the baseline's loss."""
    value_loss: ValueLoss = MSE()
    """Error of the baseline: mse, huber(δ), or clipped_mse(ε)."""
    entropy_coef: Schedule = 0.0
    """Weight of the entropy bonus."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        return Learner(policy, adam_eps=self.adam_eps, seed=seed)

    @torch.no_grad()
    def targets(self, learner: Learner, steps: Steps, last_obs: Tree) -> Targets:
        """Gₜ − b(sₜ), and Gₜ for the baseline. Episodes are whole, so nothing is bootstrapped."""
        value = learner.policy.value(steps.obs, steps.memory).mean
        returns = reward_to_go(steps.reward, steps.done, steps.mask, self.gamma)
        credit = returns if self.causal else total_return(steps.reward, steps.done, steps.mask, self.gamma)
        advantage = credit - value if self.baseline else credit
        targets = Targets(steps, advantage, value_target=returns, value=value)
        if not self.standardise:
            return targets
        if self.standardise_over == "decisions":
            scaled = learner.world.standardise(advantage, steps.mask, correction=0)
        else:
            scaled = learner.world.standardise_trajectories(advantage, steps.done, steps.mask)
        return targets._replace(advantage=scaled, raw=(advantage,))

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−(1/M) Σᵢ Σₜ log π(aₜ|sₜ) Âₜ, plus the baseline's error and the entropy bonus."""
        steps, mask, world = batch.steps, batch.steps.mask, learner.world
        dist, value = learner.policy(steps.obs, steps.memory, steps.action_mask)
        trajectories = world.sum(steps.done.sum()).clamp(min=1)
        credited = policy_gradient(dist.log_prob(steps.action), batch.advantage)
        actor = world.sum(trajectory_sum(credited, mask, trajectories))
        value_error = world.mean(self.value_loss(value, batch.value_target, batch.value), mask)
        entropy = world.mean(dist.entropy(), mask)
        loss = actor + self.value_coef * value_error - at(self.entropy_coef, learner.progress) * entropy
        return loss, {
            "loss/policy": actor.detach(),
            "loss/value": value_error.detach(),
            "policy/entropy": entropy.detach(),
        }

    update = targets_then_improve

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        batch = next(minibatches(targets, 1, 1, learner.generator))
        loss, metrics = self.loss(learner, batch)
        learning_rate = at(self.learning_rate, learner.progress)
        metrics["loss/gradient_norm"] = gradient_step(learner, loss, learning_rate, self.max_grad_norm)
        learner.absorb(targets)
        return summarise([metrics], targets, learner.world)
