"""PPO with separate steps of actor and critic, as OpenAI's Spinning Up (2018) states it (arXiv:1707.06347)."""

from jaxtyping import Float
from torch import Tensor

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.data.values import Bound, Count, Fraction, Passes, value
from clipper.functional.objectives import clip
from clipper.learning.action_parts import compare
from clipper.learning.actor_then_critic import ActorThenCritic
from clipper.learning.advantages import Advantages, Standardised, with_old
from clipper.learning.by_gae import gae_targets
from clipper.learning.critic_targets import CriticTarget, MonteCarlo
from clipper.learning.gradient_step import backward, step
from clipper.learning.kl import KL, Exact, KLStop, Sampled
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, clip_metrics, summarise
from clipper.learning.minibatches import minibatches
from clipper.learning.optimizers import Adam, Optimizer
from clipper.learning.schedules import Distance, Rate, Schedule, at
from clipper.learning.two_steps import Again


@value(kw_only=True)
class PPOSeparate(ActorThenCritic):
    """Steps of the actor along the clipped surrogate until the KL ends them, then steps of the critic, all of them."""

    lam: Fraction = 0.97
    """λ of the generalised advantage estimate: 0 trusts the critic, 1 the returns."""
    advantages: Advantages = Standardised("batch", correction=0)
    """Advantages in standard units, standardised(over,correction), or as they are (raw)."""
    clip: Distance = 0.2
    """ε, how far the ratio π/μ may help the surrogate."""
    horizon: Count = 512
    """T, rows collected per environment and iteration."""
    epochs: Passes = 80
    """Passes of the actor over the collected decisions, at most (Spinning Up's train_pi_iters)."""
    minibatches: Count = 1
    """Parts into which each of these passes is shuffled; 1 is the full batch."""
    learning_rate: Rate = 3e-4
    """The optimizer's step size for the actor."""
    value_epochs: Passes = 80
    """Passes of the critic over the collected decisions (Spinning Up's train_v_iters)."""
    value_minibatches: Count = 1
    """Parts into which each of these passes is shuffled; 1 is the full batch."""
    critic_first: bool = False
    """Let the critic learn before the actor, whose advantages are then those of the critic that has learnt."""
    optimizer: Optimizer = Adam(1e-8)
    """adam(ε), rmsprop(α,ε) or rmsprop_tf(α,ε); this ε is torch's."""
    max_grad_norm: Bound = float("inf")
    """Bound on each gradient's Euclidean norm."""
    stop: KLStop | None = KLStop(0.01)
    """The KL that ends the actor's steps: kl_stop(target,at), or none."""
    kl: KL = Sampled("k1")
    """The KL that is reported and decides: sampled(estimate), of which k1 is Spinning Up's, or exact."""
    critic_target: CriticTarget = MonteCarlo()
    """What the critic is fitted to: monte_carlo (Spinning Up's), td0, nstep(n), tdlambda(λ), or none: Â + V(sₜ)."""
    entropy_coef: Schedule = 0.0
    """Weight of the entropy bonus."""

    def targets(self, learner: Learner, steps: Steps, last_obs: Tree, again: bool = False) -> Targets:
        """Â by GAE, and what the critic is fitted to."""
        targets = gae_targets(self, learner, steps, last_obs, again)
        return with_old(learner.policy, targets) if isinstance(self.kl, Exact) else targets

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """−L^CLIP (eq 7) − c H, and what to watch."""
        steps, mask, world = batch.steps, batch.steps.mask, learner.world
        dist, _ = learner.policy.act(steps.obs, steps.memory, steps.action_mask)
        advantage = self.advantages.of_minibatch(batch.advantage, mask, world)
        bound = at(self.clip, learner.progress)
        action = compare(dist, batch, self.kl)
        surrogate, entropy = clip(action.whole.log_ratio, advantage, bound, bound), action.whole.entropy
        total = surrogate - at(self.entropy_coef, learner.progress) * entropy
        return world.share(total, mask), clip_metrics({"loss/policy": surrogate}, batch, action, bound, bound, world)

    def climb(self, learner: Learner, targets: Targets) -> Metrics:
        """The actor's steps."""
        learning_rate = at(self.learning_rate, learner.progress)
        history, metrics, end = list[Metrics](), Metrics(), None
        for _ in range(self.epochs):
            for batch in minibatches(targets, 1, self.minibatches, learner.generator, learner.world):
                loss, metrics = self.loss(learner, batch)
                backward(learner, loss, metrics)
                end = self.stop and self.stop.end(metrics["policy/kl"])
                if end == "minibatch":
                    learner.parts[""].loss = None  # nobody goes along this gradient
                    break
                metrics["loss/gradient_norm"] = step(learner, learning_rate, self.max_grad_norm)
                history.append(metrics)
            if end is not None:
                break
        return summarise(history or [metrics], targets, learner.world)

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        if self.critic_first:
            value_error = self.fit_critic(learner, targets)
            metrics = self.climb(learner, again() if again else targets)
        else:
            metrics = self.climb(learner, targets)
            value_error = self.fit_critic(learner, targets)
        learner.absorb(targets)
        explained = learner.world.explained_variance(targets.value, targets.value_target, targets.steps.mask)
        return metrics | {"loss/value": value_error, "value/explained_variance": explained}
