"""Pairwise proximal policy optimisation, P3O (Wu et al. 2023, arXiv:2310.00212): responses to one prompt in pairs."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from clipper.data.sequences import groups_of, layout_of
from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.data.values import NonNegative, Passes, Range, value
from clipper.errors import ConfigError
from clipper.functional.groups import counts, leave_one_out, pairs
from clipper.functional.objectives import pairwise_joint, pairwise_separate
from clipper.functional.sequences import column_sum
from clipper.learning.baselines import in_each_token, whole_reward
from clipper.learning.gradient_step import single_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, minibatch_metrics, ratio_metrics, summarise
from clipper.learning.minibatches import minibatches
from clipper.learning.of_responses import WithoutCritic
from clipper.learning.reference_kl import reference_of, reference_rows
from clipper.learning.schedules import Distance, at
from clipper.learning.two_steps import Again, targets_then_improve


@value(kw_only=True)
class PairwisePPO(WithoutCritic):
    """Two responses to each prompt: the difference of their rewards moves the difference of their log-probabilities.

    With more than two, all pairs. On policy it is leave-one-out's gradient; a shift of a prompt's rewards cancels.
    """

    beta: NonNegative = 0.01
    """β, price of a nat of KL to the reference, which the rewards must not hold already; it is the present policy's."""
    clip: Distance = 0.2
    """ε, how far log π(y₁) − log π(y₂) may move and still help."""
    clipping: Literal["joint", "separate"] = "joint"
    """Of the pair together (V2, as in the authors' code), or of each response's own ratio (V1, by one reading of the
    paper)."""
    weight_bound: Annotated[float, Range(1)] = 10.0
    """c, the bound of the pair's importance weight, which lies within [1/c, c]."""
    epochs: Passes = 2
    """Passes over the collected responses."""

    @torch.no_grad()
    def targets(self, learner: Learner, steps: Steps, last_obs: Tree, again: bool = False) -> Targets:
        """Each response's whole reward; its advantage over the others is watched only."""
        group, used = groups_of(steps), steps.mask.any(0)
        if (counts(group[used]) < 2).any():
            raise ConfigError("PairwisePPO needs at least two responses to each prompt (responses_per_prompt=2)")
        reward = whole_reward(steps)
        advantage = torch.zeros_like(reward).masked_scatter(used, leave_one_out(reward[used], group[used]))
        whole = in_each_token(reward, steps)
        return Targets(steps, in_each_token(advantage, steps), value_target=whole, value=torch.zeros_like(whole))

    update = targets_then_improve

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """The mean over pairs of max(−q w D, −q w clip(D, ±ε)) / 2, and what to watch."""
        steps, world = batch.steps, learner.world
        column, group = layout_of(steps)
        dist, _ = learner.policy.act(steps.obs, steps.memory, steps.action_mask)
        log_prob = dist.log_prob(steps.action)
        log_ratio = log_prob - steps.log_prob
        price = self.beta * (log_prob.detach() - reference_of(steps)) if self.beta else torch.zeros_like(log_prob)
        worth = column_sum(steps.reward - price, column, len(group))  # r − β (log π(y|x) − log π_ref(y|x))
        moved = column_sum(log_ratio, column, len(group))  # log π(y|x) − log π_old(y|x)
        first, second = pairs(group)
        bound = at(self.clip, learner.progress)
        surrogate = pairwise_joint if self.clipping == "joint" else pairwise_separate
        losses = surrogate(worth[first] - worth[second], moved[first], moved[second], bound, self.weight_bound)
        number = world.sum(torch.tensor(len(first), device=losses.device)).clamp(min=1)
        loss = world.sum(losses.sum() / number)
        rows = {"policy/entropy": dist.entropy()} | reference_rows(log_prob, steps)
        outside = ((moved[first] - moved[second]).detach().abs() > bound).sum()
        pair = {"loss/policy": loss.detach(), "policy/clip_fraction": world.sum(outside) / number}
        return loss, pair | minibatch_metrics(rows, batch, world) | ratio_metrics(log_ratio.detach(), steps.mask, world)

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        """Epochs of minibatches of whole groups, so that every pair is in one of them."""
        batches = minibatches(targets, self.epochs, self.minibatches, learner.generator, learner.world)
        history = [single_step(learner, batch, self.loss, self.learning_rate, self.max_grad_norm) for batch in batches]
        learner.absorb(targets)
        return summarise(history, targets, learner.world)
