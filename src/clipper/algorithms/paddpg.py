"""DDPG in a parameterised action space (Hausknecht & Stone 2016, arXiv:1511.04143)."""

import torch
from torch import nn

from clipper.data.values import Bound, Fraction, value
from clipper.functional.q_targets import td_target
from clipper.learning.critic_targets import Polyak
from clipper.learning.exploration import Epsilon, UniformOrPolicy
from clipper.learning.gradient_step import gradient_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.off_policy import (
    OffPolicy,
    add_critics,
    ascent,
    batch_mean,
    choosing_by_scores,
    lagging,
    make_learner,
)
from clipper.learning.replay import Transitions
from clipper.learning.schedules import Annealed, Rate, at
from clipper.networks.heads import ScoresHead
from clipper.networks.policy_options import PolicyOptions
from clipper.networks.q_networks import make_q_networks


@value(kw_only=True)
class PADDPG(OffPolicy):
    """DDPG whose action is a vector, a score of each choice and all arguments; the best score's choice is executed.

    The critic sees the whole vector, and inverted gradients keep it within bounds. It needs actions in one ``OneOf``,
    each choice with one finite ``Box`` of arguments, or ``Discrete(1)`` for none; what is legal of the choice may be
    masked. Beyond the paper, ε goes by the run's progress, and the policy's own vector gets a little noise. Networks
    and step sizes are those of ``DDPG`` here, not the paper's.
    """

    tau: Fraction = 0.005
    """τ, the part of the way to critic and policy that their lagged copies go in each gradient step."""
    epsilon: Epsilon = Annealed(1.0, 0.01, 0.5)
    """ε, the part of decisions whose vectors are uniform: a number, or a schedule, as annealed(start,end,until)."""
    learning_rate: Rate = 1e-3
    """The step size of both optimizers."""
    critic_learning_rate: Rate | None = None
    """Of the critic, where it is another one."""
    max_grad_norm: Bound = 10.0
    """Bound on each gradient's Euclidean norm."""

    def policy_options(self, options: PolicyOptions | None) -> PolicyOptions:
        """The network for these options, or the usual one, with PA-DDPG's head: scores(noise)."""
        return choosing_by_scores(options)

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        learner = make_learner(policy, ScoresHead, self.optimizer, self.capacity, seed)
        add_critics(learner, make_q_networks(learner.policy, 1, learner.generator), self.optimizer)
        learner.behaviour = UniformOrPolicy(learner, self.epsilon, self.learning_starts)
        learner.modules["lagged_actor"] = lagging(policy)
        return learner

    def gradient_step(self, learner: Learner, batch: Transitions) -> Metrics:
        """One step of the critic and of the policy, and of their lagged copies after them."""
        policy, modules, rate = learner.policy, learner.modules, at(self.learning_rate, learner.progress)
        critic_rate = rate if self.critic_learning_rate is None else at(self.critic_learning_rate, learner.progress)
        with torch.no_grad():
            action = modules["lagged_actor"].act(batch.next_obs)[0].mode  # μ′(s′)
            after = modules["lagged_critics"](batch.next_obs, action)[0]
            target = td_target(batch.reward, batch.discount, after)  # y = r + γ Q′(s′, μ′(s′))
        q = modules["critics"](batch.obs, batch.action)[0]
        error = batch_mean(learner, (q - target).square())  # L = (1/N) Σ (y − Q(s, a))²
        gradient_step(learner, error, critic_rate, self.max_grad_norm, "critics")
        p = policy.act(batch.obs)[0].mean  # before it is clipped
        value = modules["critics"](batch.obs, p)[0]
        gradient_step(learner, -batch_mean(learner, ascent(value, [p])), rate, self.max_grad_norm)  # eq 11
        Polyak(self.tau)(modules["lagged_critics"], modules["critics"], 0)
        Polyak(self.tau)(modules["lagged_actor"], policy, 0)
        return {"loss/q": error, "loss/policy": -batch_mean(learner, value), "value/q": batch_mean(learner, q)}
