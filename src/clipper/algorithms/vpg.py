"""Vanilla policy gradient with a learned critic and GAE, as OpenAI's Spinning Up (2018) states it."""

from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.data.values import Bound, Count, Fraction, Passes, value
from clipper.functional.objectives import policy_gradient
from clipper.learning.advantages import Advantages, Standardised, gae_targets
from clipper.learning.critic_targets import CriticTarget, lag_of
from clipper.learning.gradient_step import fit_critic, single_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, summarise
from clipper.learning.minibatches import whole
from clipper.learning.optimizers import Adam, Optimizer
from clipper.learning.rewards import Raw, Rewards
from clipper.learning.schedules import Rate, Schedule, at
from clipper.learning.two_steps import Again, targets_then_improve
from clipper.learning.value_losses import MSE, ValueLoss


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
    """α, the optimizer's step size for the actor."""
    value_learning_rate: Rate = 1e-3
    """The optimizer's step size for the critic."""
    value_epochs: Passes = 10
    """Passes of the critic over the collected decisions."""
    value_minibatches: Count = 4
    """Parts into which each of these passes is shuffled; 1 is Spinning Up's full batch."""
    optimizer: Optimizer = Adam()
    """adam(ε), rmsprop(α,ε) or rmsprop_tf(α,ε)."""
    max_grad_norm: Bound = 0.5
    """Bound on each gradient's Euclidean norm."""
    advantages: Advantages = Standardised("batch")
    """Advantages in standard units, standardised(over,correction), or as they are (raw)."""
    value_loss: ValueLoss = MSE()
    """Error of the critic: mse, huber(δ), or clipped_mse(ε)."""
    critic_target: CriticTarget = None
    """What the critic is fitted to: monte_carlo, td0, nstep(n), tdlambda(λ), or none: Â + V(sₜ)."""
    entropy_coef: Schedule = 0.0
    """Weight of the entropy bonus."""
    rewards: Rewards = Raw()
    """Rewards as they are (raw), scaled(bound) or normalised(bound)."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        scaler, lag = self.rewards.scaler(), lag_of(self.critic_target)
        return Learner(policy, seed=seed, optimizer=self.optimizer, reward_scaler=scaler, lag=lag, separate=True)

    def targets(self, learner: Learner, steps: Steps, last_obs: Tree, again: bool = False) -> Targets:
        """Â by GAE, and what the critic is fitted to."""
        return gae_targets(learner, steps, last_obs, again, self.gamma, self.lam, self.critic_target, self.advantages)

    update = targets_then_improve

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−E[log π(a|s) Â] − c H, and what to watch."""
        steps, world = batch.steps, learner.world
        dist, _ = learner.policy.act(steps.obs, steps.memory, steps.action_mask)
        advantage = self.advantages.of_minibatch(batch.advantage, steps.mask, world)
        actor = world.mean(policy_gradient(dist.log_prob(steps.action), advantage), steps.mask)
        entropy = world.mean(dist.entropy(), steps.mask)
        loss = actor - at(self.entropy_coef, learner.progress) * entropy
        return loss, {"loss/policy": actor.detach(), "policy/entropy": entropy.detach()}

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        batch = whole(targets, learner.generator, learner.world)
        metrics = single_step(learner, batch, self.loss, self.learning_rate, self.max_grad_norm)
        fit = self.value_loss, self.value_epochs, self.value_minibatches, self.value_learning_rate, self.max_grad_norm
        metrics["loss/value"] = fit_critic(learner, targets, *fit)
        learner.absorb(targets)
        return summarise([metrics], targets, learner.world)
