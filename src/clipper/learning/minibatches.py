"""Shuffled parts of a batch."""

from collections.abc import Iterator

import torch
from torch import Generator

from clipper.data.sequences import Responses, group_minibatches
from clipper.data.steps import Targets
from clipper.data.trees import each
from clipper.learning.world import ALONE, World


def minibatches(
    targets: Targets, epochs: int, count: int, generator: Generator, world: World = ALONE
) -> Iterator[Targets]:
    """``epochs`` times: all decisions, shuffled, in ``count`` parts ``[B, ...]`` whose sizes differ by at most one.

    With a memory whole columns are shuffled, and their numbers differ by at most one (Huang et al. 2022, "The 37
    Implementation Details of PPO", LSTM 4 and 5). In the ``world`` decisions and columns are those of all, shuffled
    alike by everyone: of each part one gets the rows that are one's own, and there may be none. Responses of language
    models are shuffled prompt by prompt.
    """
    memory = targets.steps.memory
    if isinstance(memory, Responses):
        yield from group_minibatches(targets, epochs, count, generator)
        return
    # A column may be nothing but padding.
    keep = (targets.steps.mask.any(0) if memory else targets.steps.mask.flatten()).nonzero().squeeze(-1)
    dealt = None if world.others is None else world.others.deal(targets, keep)
    flat = targets._replace(steps=targets.steps._replace(memory=()))
    rows = targets if memory else each(lambda x: x.flatten(0, 1).index_select(0, keep), flat)
    number = len(keep if dealt is None else dealt)
    for _ in range(epochs):
        order = torch.randperm(number, generator=generator).to(keep.device)
        for index in order.tensor_split(max(1, min(count, number))):
            own = index if dealt is None else dealt.own(index)
            if memory:
                columns = each(lambda x, own=keep[own]: x.index_select(1, own), rows)
                batch = columns.steps.memory.decisions(columns)
            else:
                batch = each(lambda x, own=own: x.index_select(0, own), rows)
            yield batch if dealt is None else dealt.known(batch, index)


def whole(targets: Targets, generator: Generator, world: World = ALONE) -> Targets:
    """All decisions as one minibatch."""
    return next(minibatches(targets, 1, 1, generator, world))
