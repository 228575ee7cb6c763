"""How recorded rows follow one another: what a loss needs to run a memory over them as it ran while acting."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Generator, Tensor

from clipper.data.steps import Targets
from clipper.data.trees import Tree, each


class Past(NamedTuple):
    """What lies before the rows of a segment. ``Steps.memory`` of policies with a memory."""

    state: Tree
    """What the policy carried into row 0, each ``[1, N, ...]``: not differentiated, and as the weights of then wrote
    it."""
    begins: Bool[Tensor, "T N"]
    """Before which rows the memory is emptied, since an episode begins."""
    burn_in: Int[Tensor, "1 N"]
    """How many first rows of a segment are not learned from while they still depend on ``state``."""
    rows: Tree = ()
    """``[T, N]``: which rows there are, where they are a flat batch of some; () where all, as ``[T, N, ...]``."""

    def extended(self, mask: Bool[Tensor, "T N"]) -> "Past":
        """With one row more, which follows rows of this ``mask``: the one of ``last_obs``."""
        return self._replace(begins=torch.cat([self.begins, ~mask[-1:]]))

    def decisions(self, batch: Targets) -> Targets:
        """The decisions of a segment ``[T, N]`` as a flat batch, which still knows how they followed one another.

        Rows that are burnt in stay, to bring the memory to where it was, but are no decisions any more.
        """
        steps = batch.steps
        used = steps.mask
        if bool(self.burn_in.any()):
            row = torch.arange(len(used), device=used.device)[:, None]
            used = used & ((row >= self.burn_in) | (self.begins.cumsum(0) > 0))
        bare = batch._replace(steps=steps._replace(memory=(), mask=used))
        flat = each(lambda x: x[steps.mask], bare)
        return flat._replace(steps=flat.steps._replace(memory=self._replace(rows=steps.mask)))

    def minibatches(self, targets: Targets, epochs: int, count: int, generator: Generator) -> Iterator[Targets]:
        """``epochs`` times: all environments, shuffled, in ``count`` parts of whole columns, each a flat batch.

        Huang et al. 2022, "The 37 Implementation Details of PPO", LSTM 4 and 5.
        """
        used = targets.steps.mask.any(0).nonzero().squeeze(-1).cpu()  # a column may be nothing but padding
        for _ in range(epochs):
            order = used[torch.randperm(len(used), generator=generator)].to(targets.steps.mask.device)
            for index in order.tensor_split(count):
                columns = each(lambda x, index=index: x.index_select(1, index), targets)
                yield columns.steps.memory.decisions(columns)
