"""REINFORCE with whole episodes and an optional learned baseline (Williams 1992, doi:10.1007/BF00992696)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.data.values import Bound, Count, Fraction, NonNegative, value
from clipper.functional.objectives import policy_gradient
from clipper.functional.reduce import trajectory_sum
from clipper.functional.returns import reward_to_go, total_return
from clipper.learning.advantages import Advantages, Standardised
from clipper.learning.gradient_step import single_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, summarise
from clipper.learning.minibatches import whole
from clipper.learning.optimizers import Adam, Optimizer
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
    """α, the optimizer's step size."""
    optimizer: Optimizer = Adam()
    """adam(ε), rmsprop(α,ε) or rmsprop_tf(α,ε)."""
    max_grad_norm: Bound = 0.5
    """Bound on the gradient's Euclidean norm."""
    causal: bool = True
    """Credit an action with the rewards that follow it (reward-to-go); otherwise with those of its whole episode."""
    baseline: bool = True
    """Subtract b(s) = V(s), a learned value, from each return."""
    advantages: Advantages = Standardised("trajectories", correction=0)
    """Returns minus baseline in standard units over trajectories, each of which counts once, over the batch's
    decisions, so that a trajectory counts as often as it is long (standardised(batch,0)), or as they are (raw)."""
    value_coef: NonNegative = 0.5
    """Weight of the baseline's loss."""
    value_loss: ValueLoss = MSE()
    """Error of the baseline: mse, huber(δ), or clipped_mse(ε)."""
    entropy_coef: Schedule = 0.0
    """Weight of the entropy bonus."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        return Learner(policy, seed=seed, optimizer=self.optimizer)

    @torch.no_grad()
    def targets(self, learner: Learner, steps: Steps, last_obs: Tree) -> Targets:
        """Gₜ − b(sₜ), and Gₜ for the baseline. Episodes are whole, so nothing is bootstrapped."""
        value = learner.policy.value(steps.obs, steps.memory).mean
        returns = reward_to_go(steps.reward, steps.done, steps.mask, self.gamma)
        credit = returns if self.causal else total_return(steps.reward, steps.done, steps.mask, self.gamma)
        advantage = credit - value if self.baseline else credit
        return self.advantages.of_batch(Targets(steps, advantage, value_target=returns, value=value), learner.world)

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−(1/M) Σᵢ Σₜ log π(aₜ|sₜ) Âₜ, plus the baseline's error and the entropy bonus."""
        steps, mask, world = batch.steps, batch.steps.mask, learner.world
        dist, value = learner.policy(steps.obs, steps.memory, steps.action_mask)
        trajectories = world.sum(steps.done.sum()).clamp(min=1)
        advantage = self.advantages.of_minibatch(batch.advantage, mask, world)
        credited = policy_gradient(dist.log_prob(steps.action), advantage)
        actor = world.sum(trajectory_sum(credited, mask, trajectories))
        value_error = world.mean(self.value_loss(value, batch.value_target, batch.value), mask)
        entropy = world.mean(dist.entropy(), mask)
        loss = actor + self.value_coef * value_error - at(self.entropy_coef, learner.progress) * entropy
        watched = {"loss/policy": actor, "loss/value": value_error, "policy/entropy": entropy}
        return loss, {name: x.detach() for name, x in watched.items()}

    update = targets_then_improve

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        batch = whole(targets, learner.generator, learner.world)
        metrics = single_step(learner, batch, self.loss, self.learning_rate, self.max_grad_norm)
        learner.absorb(targets)
        return summarise([metrics], targets, learner.world)
