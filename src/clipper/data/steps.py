"""The one batch type: fields that lead with ``[T, N]``. Control and language models both fill it."""

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from clipper.data.trees import Tree


class Steps(NamedTuple):
    """Decisions taken by a behaviour policy μ. Every field leads with ``[T, N]``."""

    obs: Tree
    """sₜ as the environment gave it, before normalisation."""
    action: Tree
    """aₜ as sampled; clipped or rescaled only on its way into ``env.step``."""
    log_prob: Float[Tensor, "T N"]
    """log μ(aₜ|sₜ)."""
    reward: Float[Tensor, "T N"]
    """rₜ as the environment gave it."""
    terminated: Bool[Tensor, "T N"]
    """sₜ₊₁ is terminal: its value is 0."""
    done: Bool[Tensor, "T N"]
    """The episode ends with this step, terminated or truncated."""
    mask: Bool[Tensor, "T N"]
    """False: not a decision. The row after an episode's end holds its last observation; its action counts not."""
    memory: Tree = ()
    """What a memory needs to run over these rows again (``clipper.data.history.Past``); empty for policies without
    one."""
    action_mask: Tree = ()
    """What was legal (``clipper.spaces.action_masks``); empty where everything always is."""
    log_probs: Tree = ()
    """log μ of each part of aₜ, whose sum is ``log_prob``; empty where the action has one part."""
    reference: Tree = ()
    """log π_ref(aₜ|sₜ) of a frozen policy, ``[T, N]``, for algorithms with a KL to it of their own: ``reward`` then
    holds the score alone. Empty where none asks for it."""
    greedy: Tree = ()
    """Whole reward of the most likely response to the column's prompt, ``[T, N]``, the same in all rows (ReMax); empty
    where there is none."""


class Targets(NamedTuple):
    """What a loss fits, aligned with ``steps``."""

    steps: Steps
    advantage: Float[Tensor, "*batch"]
    """Âₜ."""
    value_target: Float[Tensor, "*batch"]
    """What V(sₜ) should be."""
    value: Float[Tensor, "*batch"]
    """V(sₜ) before the update."""
    old: Tree = ()
    """``params`` of π_old(·|sₜ), where a loss needs its KL exactly."""
    raw: Tree = ()
    """(Âₜ as it was before the batch brought it to standard units,), where it did."""
    weight: Tree = ()
    """π_prox/μ, by which each decision's surrogate is weighed where ``steps.log_prob`` is not that of who acted; ()
    where it is."""
    fresh: Tree = ()
    """Which rows running statistics have not taken in yet; () for all decisions."""


class Value(NamedTuple):
    """A critic's answer that is one number."""

    mean: Float[Tensor, "*batch"]
    """V(s), in the units of the rewards."""
    scale: float | Float[Tensor, ""] = 1.0
    """The unit in which errors of V count: the returns' standard deviation where they are normalised."""

    def error(self, target: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """V − R in that unit."""
        return (self.mean - target) / self.scale

    def in_units(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """A value or a return in that unit."""
        return x / self.scale
