"""What lies behind the decisions of a language model: ``Steps.memory`` of whole responses."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Generator, Tensor

from clipper.data.sequences import group_minibatches
from clipper.data.steps import Targets
from clipper.data.trees import Tree


class Context(NamedTuple):
    """Column n is a prompt and its response; row t of the Steps is the t-th sampled token.

    The token columns are padded on the right, where anything may stand: causal attention never looks there.
    """

    tokens: Int[Tensor, "L N"]
    """Prompt, response, then padding."""
    position: Int[Tensor, "T+1 N"]
    """Where in its column the state of decision t ends: at the token before the t-th sampled one. Row ``length`` is
    the last sampled token, from which V is bootstrapped where the response was cut; rows after it repeat it."""
    group: Int[Tensor, "1 N"]
    """Which prompt the column answers."""
    rows: Tree = ()
    """``[T, N]``: which rows there are, where they are a flat batch of some; () where all, as ``[T, N]``."""

    def extended(self, mask: Bool[Tensor, "T N"]) -> "Context":
        """Itself: ``position`` has the row of ``last_obs`` already."""
        return self

    def minibatches(self, targets: Targets, epochs: int, count: int, generator: Generator) -> Iterator[Targets]:
        """``epochs`` times: all prompts, shuffled, in ``count`` parts of whole responses, each a flat batch."""
        return group_minibatches(targets, epochs, count, generator)


def make_context(
    tokens: Int[Tensor, "L N"],
    prompt_length: Int[Tensor, " N"],
    length: Int[Tensor, " N"],
    group: Int[Tensor, " N"],
    rows: int,
) -> Context:
    """The context of responses of ``length`` tokens behind prompts of ``prompt_length``, for so many rows."""
    t = torch.arange(rows + 1, device=tokens.device)[:, None]
    return Context(tokens, prompt_length - 1 + torch.minimum(t, length), group[None])


def decisions(length: Int[Tensor, " N"], rows: int) -> Bool[Tensor, "T N"]:
    """Which rows are decisions: t < length."""
    return torch.arange(rows, device=length.device)[:, None] < length


def sampled_tokens(context: Context) -> Int[Tensor, "T N"]:
    """The token that each row decided for; what stands where there is no decision is of no account."""
    return context.tokens.gather(0, (context.position[:-1] + 1).clamp(max=len(context.tokens) - 1))
