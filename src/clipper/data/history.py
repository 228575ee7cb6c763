"""How recorded rows follow one another: what a loss needs to run a memory over them as it ran while acting."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

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
        bare = batch._replace(steps=steps._replace(memory=(), mask=self.learned_from(steps.mask)))
        flat = each(lambda x: x[steps.mask], bare)
        return flat._replace(steps=flat.steps._replace(memory=self._replace(rows=steps.mask)))

    def learned_from(self, mask: Bool[Tensor, "T N"]) -> Bool[Tensor, "T N"]:
        """Which of the decisions of this ``mask`` are not burnt in."""
        if not bool(self.burn_in.any()):
            return mask
        row = torch.arange(len(mask), device=mask.device)[:, None]
        return mask & ((row >= self.burn_in) | (self.begins.cumsum(0) > 0))
