"""Advantages of whole responses without a critic, as values that an algorithm holds.

Each is called with (steps, group, world) and gives ``[T, N]``. A response is compared with the others to its prompt,
with the batch, or with the most likely one. ``steps.reward`` is what is compared: what stands in rows that are no
decision is never read, and the result is 0 there.
"""

from typing import Literal, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from clipper.data.steps import Steps
from clipper.data.values import NonNegative, value
from clipper.errors import ConfigError
from clipper.functional.groups import group_mean, group_standardise, leave_one_out
from clipper.functional.returns import reward_to_go
from clipper.learning.world import World


def whole_reward(steps: Steps) -> Float[Tensor, " N"]:
    """R = Σₜ rₜ of each response."""
    return steps.reward.masked_fill(~steps.mask, 0).sum(0)


def in_each_token(x: Float[Tensor, " N"], steps: Steps) -> Float[Tensor, "T N"]:
    """A number of each response, in all of its decisions."""
    return x.expand_as(steps.reward).masked_fill(~steps.mask, 0)


@value
class LeaveOneOut:
    """Rᵢ minus the mean of the others to the same prompt: RLOO (arXiv:2402.14740)."""

    def __call__(self, steps: Steps, group: Int[Tensor, " N"], world: World) -> Float[Tensor, "T N"]:
        return in_each_token(leave_one_out(whole_reward(steps), group), steps)


@value
class GroupMean:
    """Rᵢ minus the group's mean: Dr. GRPO (arXiv:2503.20783). It shrinks ∇J to (k − 1)/k of it, for each response is in
    its own baseline.
    """

    def __call__(self, steps: Steps, group: Int[Tensor, " N"], world: World) -> Float[Tensor, "T N"]:
        reward = whole_reward(steps)
        return in_each_token(reward - group_mean(reward, group), steps)


@value
class GroupStandardised:
    """(Rᵢ − mean) / (std + ε) of the group: GRPO (arXiv:2402.03300). Prompts of little spread count as much as others,
    so this is not the gradient of E[R].
    """

    correction: Literal[0, 1] = 1
    """1 divides the variance by k − 1 (torch), 0 by k (numpy)."""
    epsilon: NonNegative = 1e-4
    """ε, as large as in TRL."""

    def __call__(self, steps: Steps, group: Int[Tensor, " N"], world: World) -> Float[Tensor, "T N"]:
        return in_each_token(group_standardise(whole_reward(steps), group, self.correction, self.epsilon), steps)


@value
class BatchStandardised:
    """Σ_{s≥t} rₛ in standard units over the batch's tokens: REINFORCE++ (Hu et al. 2025, arXiv:2501.03262)."""

    centred: bool = False
    """Subtract the group's mean of R first, which asks for several responses to a prompt."""

    def __call__(self, steps: Steps, group: Int[Tensor, " N"], world: World) -> Float[Tensor, "T N"]:
        to_go = reward_to_go(steps.reward, steps.done, steps.mask, 1.0)
        baseline = group_mean(whole_reward(steps), group) if self.centred else 0.0
        return world.standardise(to_go - baseline, steps.mask).masked_fill(~steps.mask, 0)


@value
class GreedyResponse:
    """Rᵢ minus the reward of the most likely response to the prompt: ReMax (Li et al. 2023, arXiv:2310.10505)."""

    def __call__(self, steps: Steps, group: Int[Tensor, " N"], world: World) -> Float[Tensor, "T N"]:
        if not isinstance(steps.greedy, Tensor):
            raise ConfigError(
                "the baseline greedy_response needs the reward of the most likely response to each prompt, and "
                "Steps.greedy is empty: let the rollouts give it, or choose another baseline"
            )
        return in_each_token(whole_reward(steps) - steps.greedy[0], steps)


@runtime_checkable
class OwnBaseline(Protocol):
    """A comparison of your own: a function will do."""

    def __call__(self, steps: Steps, group: Int[Tensor, " N"], world: World) -> Float[Tensor, "T N"]:
        """Advantages; equal numbers in ``group`` mark responses to one prompt."""
        ...


Baseline: TypeAlias = LeaveOneOut | GroupMean | GroupStandardised | BatchStandardised | GreedyResponse | OwnBaseline
