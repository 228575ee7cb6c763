"""Shuffled parts of a batch."""

from collections.abc import Iterator

import torch
from torch import Generator

from clipper.data.steps import Targets
from clipper.data.trees import each
from clipper.learning.world import ALONE, World


def minibatches(
    targets: Targets, epochs: int, count: int, generator: Generator, world: World = ALONE
) -> Iterator[Targets]:
    """``epochs`` times: all decisions, shuffled, in ``count`` parts ``[B, ...]`` whose sizes differ by at most one.

    With a memory whole columns are shuffled, and their numbers differ by at most one. There are as many parts as the
    one in the ``world`` with the most has decisions or columns, at most: each part is a step that all take together,
    and those who have fewer take part in some with none.
    """
    keep = targets.steps.mask.flatten().nonzero().squeeze(-1)
    if targets.steps.memory:
        columns = world.largest(targets.steps.mask.any(0).sum())
        yield from targets.steps.memory.minibatches(targets, epochs, max(1, min(count, int(columns))), generator)
        return
    flat = targets._replace(steps=targets.steps._replace(memory=()))
    rows = each(lambda x: x.flatten(0, 1).index_select(0, keep), flat)
    parts = max(1, min(count, int(world.largest(torch.tensor(len(keep))))))
    for _ in range(epochs):
        order = torch.randperm(len(keep), generator=generator).to(keep.device)
        for index in order.tensor_split(parts):
            yield each(lambda x, index=index: x.index_select(0, index), rows)


def whole(targets: Targets, generator: Generator) -> Targets:
    """All decisions as one minibatch."""
    return next(minibatches(targets, 1, 1, generator))
