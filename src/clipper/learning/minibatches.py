"""Shuffled parts of a batch."""

from collections.abc import Iterator

import torch
from torch import Generator

from clipper.data.steps import Targets
from clipper.data.trees import each


def minibatches(targets: Targets, epochs: int, count: int, generator: Generator) -> Iterator[Targets]:
    """``epochs`` times: all decisions, shuffled, in ``count`` parts ``[B, ...]`` whose sizes differ by at most one.

    With a memory whole columns are shuffled, and their numbers differ by at most one.
    """
    keep = targets.steps.mask.flatten().nonzero().squeeze(-1)
    if targets.steps.memory:
        yield from targets.steps.memory.minibatches(targets, epochs, count, generator)
        return
    flat = targets._replace(steps=targets.steps._replace(memory=()))
    rows = each(lambda x: x.flatten(0, 1).index_select(0, keep), flat)
    for _ in range(epochs):
        order = torch.randperm(len(keep), generator=generator).to(keep.device)
        for index in order.tensor_split(min(count, len(keep))):
            yield each(lambda x, index=index: x.index_select(0, index), rows)


def whole(targets: Targets, generator: Generator) -> Targets:
    """All decisions as one minibatch."""
    return next(minibatches(targets, 1, 1, generator))
