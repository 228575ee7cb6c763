"""Deep Q-network (Mnih et al. 2015, doi:10.1038/nature14236, algorithm 1)."""

from dataclasses import field

import torch
from torch import nn

from clipper.data.steps import Value
from clipper.data.values import Bound, Count, NonNegative, value
from clipper.functional.q_targets import chosen_value, double_q_value, greedy_value, td_target
from clipper.learning.critic_targets import OwnLag, Periodic, Polyak
from clipper.learning.exploration import ByQ, EpsilonGreedy, Exploration
from clipper.learning.gradient_step import gradient_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.off_policy import (
    OffPolicy,
    batch_mean,
    lagging,
    legal_after,
    make_learner,
    without_value,
)
from clipper.learning.replay import Transitions
from clipper.learning.schedules import Rate, at
from clipper.learning.value_losses import MSE, Huber, OwnValueLoss
from clipper.networks.heads import CategoricalHead
from clipper.networks.policy_options import PolicyOptions

NETWORK = PolicyOptions(hidden=(128, 128), activation="relu", orthogonal=False, critic=None)
"""For numbers; for images the paper has no hidden layer after its encoder: --hidden ''."""


@value(kw_only=True)
class DQN(OffPolicy):
    """A network learns Q of each action from Bellman's equation; to act is to take the action of the highest Q.

    It needs actions in one ``Discrete``. The policy's logits are Q(s, ·), so that its mode is the greedy action.
    The replay lies beside the checkpoints. Sizes are those of small tasks, not of Atari.
    """

    double: bool = False
    """Let Q choose the action of a target, and its lagged copy judge it (arXiv:1509.06461)."""
    lag: Periodic | Polyak | OwnLag = Periodic(250)
    """How Q⁻ follows Q: periodic(C), a copy after each C gradient steps, or polyak(τ)."""
    exploration: Exploration = field(default_factory=EpsilonGreedy)
    """How it acts while it learns: epsilon_greedy(ε), ε a number, linear(start,end) or annealed(start,end,until)."""
    q_loss: Huber | MSE | OwnValueLoss = field(default_factory=Huber)
    """The error of Q: huber(δ), which the paper's clipped error is with δ = 1, or mse."""
    learning_rate: Rate = 1e-3
    """The optimizer's step size."""
    max_grad_norm: Bound = 10.0
    """Bound on the gradient's Euclidean norm."""
    batch_size: Count = 128
    """Decisions of which a gradient step learns."""
    update_ratio: NonNegative = 0.5
    """Gradient steps for each further decision, however many environments there are."""

    def policy_options(self, options: PolicyOptions | None) -> PolicyOptions:
        """The network for these options, or the usual one, without V."""
        return without_value(options or NETWORK)

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        learner = make_learner(policy, CategoricalHead, self.optimizer, self.capacity, seed)
        learner.modules["lagged_q"] = lagging(policy)
        learner.behaviour = ByQ(learner, self.exploration, self.learning_starts)
        return learner

    def gradient_step(self, learner: Learner, batch: Transitions) -> Metrics:
        """One step of Q, and of its lagged copy after it."""
        policy, lagged, legal = learner.policy, learner.modules["lagged_q"], legal_after(batch.next_mask)
        with torch.no_grad():
            after = lagged.act(batch.next_obs)[0].logits  # Q⁻(s′, ·)
            if self.double:
                v = double_q_value(after, policy.act(batch.next_obs)[0].logits, legal)
            else:
                v = greedy_value(after, legal)
            target = td_target(batch.reward, batch.discount, v)  # y = r + γ V(s′)
        q = chosen_value(policy.act(batch.obs)[0].logits, batch.action)  # Q(s, a)
        error = batch_mean(learner, self.q_loss(Value(q), target, target))
        gradient_step(learner, error, at(self.learning_rate, learner.progress), self.max_grad_norm)
        self.lag(lagged, policy, int(learner.extra["gradient_steps"]))
        return {"loss/q": error, "value/q": batch_mean(learner, q)}
