"""Whole responses as columns of a batch: which column a decision lies in, and which columns answer one prompt."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Generator, Tensor

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree, each
from clipper.errors import ConfigError


@runtime_checkable
class Responses(Protocol):
    """``Steps.memory`` of language models: column n is one response, row t its t-th sampled token.

    A NamedTuple or another tree whose tensors have N as their second dimension, since columns are picked by
    ``index_select(1, ...)``. ``extended(mask)`` and ``minibatches(targets, epochs, count, generator)`` are those of
    ``data.history.Past``; minibatches keep the columns of a prompt together (``group_minibatches``) and are flat
    batches of decisions (``flat_decisions``).
    """

    @property
    def group(self) -> Int[Tensor, "1 N"]:
        """Which prompt each column answers: any whole numbers, equal for equal prompts."""
        ...

    @property
    def rows(self) -> Tree:
        """``[T, N]``: which rows there are, where they are a flat batch of some; () where all, as ``[T, N, ...]``."""
        ...


class Layout(NamedTuple):
    """Where the decisions of a flat batch lie."""

    column: Int[Tensor, " M"]
    """Which response each is a token of, counted from 0."""
    group: Int[Tensor, " N"]
    """Which prompt each response answers."""


def groups_of(steps: Steps) -> Int[Tensor, " N"]:
    """Which prompt each column answers. Raises ``ConfigError`` where columns are no responses."""
    if not isinstance(steps.memory, Responses):
        raise ConfigError(
            "this algorithm compares whole responses to one prompt, and these steps have no Steps.memory.group that "
            "says which belong together: collect them with a language model's rollouts, or use PPO"
        )
    return steps.memory.group[0]


def layout_of(steps: Steps) -> Layout:
    """Column and prompt of each decision in a flat batch; decisions stand row by row, as ``x[mask]`` gives them."""
    group, rows = groups_of(steps), steps.memory.rows
    return Layout((rows if isinstance(rows, Tensor) else steps.mask).nonzero()[:, 1], group)


def flat_decisions(batch: Targets) -> Targets:
    """The decisions of whole columns as a flat batch ``[M, ...]``, whose memory knows the rows that they came from."""
    steps = batch.steps
    flat = each(lambda x: x[steps.mask], batch._replace(steps=steps._replace(memory=())))
    return flat._replace(steps=flat.steps._replace(memory=steps.memory._replace(rows=steps.mask)))


def group_minibatches(targets: Targets, epochs: int, count: int, generator: Generator) -> Iterator[Targets]:
    """``epochs`` times: all prompts, shuffled, in ``count`` parts, each a flat batch of all responses to its prompts.

    Prompts may have unequal numbers of responses; parts have numbers of prompts that differ by at most one. There are
    as many parts as prompts, at most. Columns without a decision are left out.
    """
    used = targets.steps.mask.any(0).nonzero().squeeze(-1)
    group = groups_of(targets.steps)[used]
    prompts, prompt = group.unique(return_inverse=True)
    for _ in range(epochs):
        order = torch.randperm(len(prompts), generator=generator).to(group.device)
        for chosen in order.tensor_split(max(1, min(count, len(prompts)))):
            index = used[torch.isin(prompt, chosen)]
            yield flat_decisions(each(lambda x, index=index: x.index_select(1, index), targets))
