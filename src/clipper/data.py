"""The one batch type: trees of tensors that lead with ``[T, N]``. Control and language models both fill it."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils import _pytree as pytree

Tree = Any  # a tensor, or a dict, tuple or NamedTuple of trees; () is the empty tree
T = TypeVar("T")


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
    """Recurrent state before row 0; empty for policies without memory."""


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


def each(f: Callable[..., Any], *trees: T) -> T:
    """Apply ``f`` to every tensor of the trees: ``each(lambda x: x[i], batch)``."""
    return pytree.tree_map(f, *trees)
