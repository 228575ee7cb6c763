"""Segments that are kept to be learned from again, whole, each with the log μ of who acted in it."""

from typing import NamedTuple

import torch
from torch import Tensor

from clipper.data.history import Past
from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree, each, leaves, names
from clipper.errors import ConfigError


class Segment(NamedTuple):
    """What was collected for one update."""

    steps: Steps
    last_obs: Tree


class KeptSegments:
    """The latest segments, the newest first. A part of the learner, saved with it."""

    def __init__(self, most: int) -> None:
        self.most = most
        """How many are kept."""
        self.segments: list[Segment] = []
        self.loaded: dict[str, Tensor] = {}
        """A state that was loaded, until a segment comes and says of what form they are."""

    def before(self, newest: Segment) -> list[Segment]:
        """Those that are kept, which came before ``newest``."""
        if self.loaded:
            self.segments, self.loaded = self.read(newest), {}
        return self.segments

    def add(self, newest: Segment) -> None:
        """Keep a copy of a segment, for acting goes on in its memory; the oldest makes room."""
        if self.most:
            copy = each(lambda x: x.detach().clone(), newest)
            self.segments = [copy, *self.segments][: self.most]

    def read(self, form: Segment) -> list[Segment]:
        """What was loaded, in this form; raises ``ConfigError`` where it has another."""
        own, found = names(form), list[Segment]()
        while len(found) * len(own) < len(self.loaded):
            saved = [x for name in own if (x := self.loaded.get(f"{len(found)}.{name}")) is not None]
            if len(saved) < len(own) or any(x.dtype != y.dtype for x, y in zip(saved, leaves(form), strict=True)):
                raise ConfigError(
                    "the segments that were saved do not fit this policy and environment: begin a new run"
                )
            following = iter(saved)
            found.append(each(lambda x, following=following: next(following).to(x.device), form))
        return found[: self.most]

    def state_dict(self) -> dict[str, Tensor]:
        """Every tensor of every segment, by number and name."""
        if self.loaded:
            return self.loaded
        every = enumerate(self.segments)
        return {f"{i}.{name}": x for i, s in every for name, x in zip(names(s), leaves(s), strict=True)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over such a state, as the next segment comes."""
        self.segments, self.loaded = [], dict(state)


def side_by_side(parts: list[Targets]) -> Targets:
    """Targets of several segments as one with the columns of all; shorter ones end in rows without decisions."""
    rows = max(len(part.steps.mask) for part in parts)
    bare = [padded(without_memory(part), rows) for part in parts]
    joined = each(lambda *xs: torch.cat(xs, 1), *bare)
    return joined._replace(steps=joined.steps._replace(memory=memories([part.steps.memory for part in parts], rows)))


def padded(targets: Targets, rows: int) -> Targets:
    """The targets with rows below that are no decisions."""
    longer, there = each(lambda x: lengthened(x, rows), targets), len(targets.steps.mask)
    mask = longer.steps.mask & (torch.arange(rows, device=longer.steps.mask.device) < there)[:, None]
    return longer._replace(steps=longer.steps._replace(mask=mask))


def without_memory(targets: Targets) -> Targets:
    """The targets without what leads with other sizes than ``[T, N]``."""
    return targets._replace(steps=targets.steps._replace(memory=()))


def memories(pasts: list[Tree], rows: int) -> Tree:
    """What lies before each segment's rows, side by side; () for a policy without a memory."""
    if not pasts[0]:
        return ()
    if not all(isinstance(past, Past) for past in pasts):
        raise ConfigError("segments are kept of environments, not of language models' responses: take PPO itself")
    longer = [past._replace(begins=lengthened(past.begins, rows)) for past in pasts]
    return each(lambda *xs: torch.cat(xs, 1), *longer)


def lengthened(x: Tensor, rows: int) -> Tensor:
    """``x`` with its last row again below, up to this number: whatever is padded stays what a space holds."""
    missing = rows - len(x)
    return x if missing == 0 else torch.cat([x, x[-1:].expand(missing, *x.shape[1:])])
