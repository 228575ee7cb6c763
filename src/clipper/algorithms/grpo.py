"""Group-relative policy optimisation of whole responses (Shao et al. 2024, arXiv:2402.03300), and what it is varied to.

Its defaults are the paper's; ``clipper.language_presets`` has RLOO, Dr. GRPO, DAPO, GSPO, CISPO, REINFORCE++ and ReMax.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from clipper.data.sequences import groups_of, layout_of
from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.data.values import Passes, value
from clipper.functional.sequences import sequence_log_ratio
from clipper.learning.action_parts import Joint, compare
from clipper.learning.baselines import Baseline, GroupStandardised, in_each_token, whole_reward
from clipper.learning.gradient_step import single_step
from clipper.learning.kl import Sampled
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, clip_metrics, summarise
from clipper.learning.minibatches import minibatches
from clipper.learning.objectives import Clip, RatioObjective
from clipper.learning.of_responses import WithoutCritic
from clipper.learning.reductions import Reduction, SequenceMean
from clipper.learning.reference_kl import InLoss, ReferenceKL, reference_rows
from clipper.learning.schedules import Distance, Schedule, Width, at
from clipper.learning.two_steps import Again, targets_then_improve


@value(kw_only=True)
class GRPO(WithoutCritic):
    """Several responses to each prompt, each credited with its reward beside the others', then PPO's surrogate."""

    baseline: Baseline = GroupStandardised()
    """Â of a response: group_standardised(correction,ε), group_mean, leave_one_out, batch_standardised(centred), or
    greedy_response."""
    clip: Distance | tuple[Width, Width] = 0.2
    """ε, how far the ratio π/π_old may help the surrogate; two numbers bound it below and above separately."""
    objective: RatioObjective = Clip()
    """The surrogate: clip, dual_clip(c), unclipped, rollback(α), spo or cispo."""
    ratio: Literal["token", "sequence"] = "token"
    """Each token's own ratio, or the geometric mean over its response's (GSPO)."""
    reduction: Reduction = SequenceMean()
    """How tokens' losses are reduced: sequence_mean, token_mean, constant_length(L_max) or sequence_sum."""
    reference_kl: ReferenceKL = InLoss(0.04, "k3")
    """Price of the KL to a frozen reference: in_loss(β,estimate,of), in_reward(β), or none. Rewards must not hold it
    already."""
    entropy_coef: Schedule = 0.0
    """Weight of the entropy bonus."""
    epochs: Passes = 1
    """Passes over the collected responses."""

    @torch.no_grad()
    def targets(self, learner: Learner, steps: Steps, last_obs: Tree, again: bool = False) -> Targets:
        """Â of each response, in each of its tokens."""
        priced = steps if self.reference_kl is None else steps._replace(reward=self.reference_kl.reward(steps))
        advantage = self.baseline(priced, groups_of(steps), learner.world)
        whole = in_each_token(whole_reward(priced), steps)
        return Targets(steps, advantage, value_target=whole, value=torch.zeros_like(whole))  # there is no critic

    update = targets_then_improve

    def loss(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]:
        """Σₘ (surrogate + β KL − c H)ₘ / Dₘ (eq 3), and what to watch."""
        steps, world, progress = batch.steps, learner.world, learner.progress
        column, group = layout_of(steps)
        action = compare(learner.policy.act(steps.obs, steps.memory, steps.action_mask)[0], batch, Sampled("k3"))
        log_ratio, entropy = action.whole.log_ratio, action.whole.entropy  # log ρ = log π(aₜ|sₜ) − log π_old(aₜ|sₜ)
        if self.ratio == "sequence":
            mean = sequence_log_ratio(log_ratio, column, len(group))
            action = action._replace(whole=action.whole._replace(log_ratio=mean))
        low, high = self.clip if isinstance(self.clip, tuple) else (at(self.clip, progress),) * 2
        surrogate = Joint().surrogate(self.objective, action, batch.advantage, low, high)  # −min(ρ Â, clip(ρ) Â)
        total, rows = surrogate, {"loss/policy": surrogate} | reference_rows(log_ratio + steps.log_prob, steps)
        if self.reference_kl is not None:
            total = total + self.reference_kl.penalty(log_ratio, steps, column, len(group))  # β KL(π ‖ π_ref)
        if (coefficient := at(self.entropy_coef, progress)) != 0:
            total = total - coefficient * entropy
        loss = world.sum((total / self.reduction(column, len(group), world)).sum())
        return loss, clip_metrics(rows, batch, action, low, high, world)

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        """Epochs of minibatches of whole groups."""
        batches = minibatches(targets, self.epochs, self.minibatches, learner.generator, learner.world)
        history = [single_step(learner, batch, self.loss, self.learning_rate, self.max_grad_norm) for batch in batches]
        learner.absorb(targets)
        return summarise(history, targets, learner.world)
