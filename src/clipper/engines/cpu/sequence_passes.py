"""Passes over an update's decisions where the policy has a memory: minibatches are whole columns of a segment.

Order and parts are those of ``clipper.data.history.Past.minibatches``.
"""

from functools import partial

import numpy as np
import torch

from clipper.engines.cpu.calls import Call
from clipper.engines.cpu.machine import Machine
from clipper.engines.cpu.passes import Fitted, Shares, Stepper
from clipper.engines.cpu.plan import Passes
from clipper.engines.cpu.sequences import Group, Segment, Sequences, Strand


class SequenceStepper(Stepper):
    """Takes the steps of some passes over the columns of a segment."""

    def __init__(
        self, engine: Machine, sequences: Sequences, segment: Segment, passes: Passes, max_norm: float, keep: np.ndarray
    ) -> None:  # fmt: skip
        self.columns = np.flatnonzero(segment.present.any(0))
        super().__init__(engine, passes, max_norm, keep, len(self.columns))
        self.sequences, self.segment = sequences, segment
        last = len(sequences.cells) - 1
        self.cells = sorted({0 if passes.acts else last, last if passes.judges else 0})

    def bind(self, fitted: Fitted) -> None:
        rows, loss = fitted
        recalled = np.empty((len(rows.obs), self.sequences.width), np.float32)
        shares = SequenceShares(self, Fitted(rows._replace(obs=recalled), loss))
        self.shares = shares
        finish = self.engine.kernels.finish.bind(
            self.net, rows, self.engine.gradient, shares.sums, *self.after(), 0, 0, 0
        )
        self.go_through = partial(go_through_columns, shares, finish)

    def shuffle(self) -> None:
        order = self.columns[torch.randperm(len(self.columns), generator=self.engine.learner.generator).numpy()]
        self.shares.arrange(np.array_split(order, self.parts))


class SequenceShares(Shares):
    """The threads' shares of minibatches: each takes some of the columns."""

    def __init__(self, stepper: SequenceStepper, fitted: Fitted) -> None:
        engine, sequences, segment = stepper.engine, stepper.sequences, stepper.segment
        super().__init__(engine, stepper.net, *fitted, stepper.order)
        self.sequences, self.used = sequences, segment.used
        self.ordered, self.seats = np.empty(segment.begins.shape[1], np.int64), np.empty_like(stepper.order)
        self.order, self.minibatches = stepper.order, list[list[list[Group]]]()
        most = max(len(part) for part in np.array_split(stepper.columns, stepper.parts))
        most = max(group.stop - group.start for group in sequences.groups(most, len(segment.begins)))
        self.strands = [
            Strand(
                sequences, k, stepper.cells, segment, fitted.rows.obs, self.ordered, self.seats, gradient,
                self.accumulate[k], most,
            )
            for k, gradient in enumerate(engine.gradients)
        ]  # fmt: skip

    def arrange(self, parts: list[np.ndarray]) -> None:
        """Note where the decisions of each minibatch's columns are, thread by thread and group by group."""
        self.minibatches, column, row, (steps, n) = [], 0, 0, self.used.shape
        for part in parts:
            shares = list[list[Group]]()
            for piece in self.engine.pieces(steps, len(part)):
                share = list[Group]()
                for group in self.sequences.groups(piece.stop - piece.start, steps):
                    own = part[piece][group]
                    t, i = np.nonzero(self.used[:, own])
                    last, end = row + len(t), column + len(own)
                    self.order[row:last], self.seats[row:last] = t * n + own[i], t * len(own) + i
                    self.ordered[column:end] = own
                    share.append(Group(column, end, row, last))
                    row, column = last, end
                shares.append(share)
            self.minibatches.append(shares)

    def add_up_columns(self, shares: list[list[Group]]) -> tuple[int, int]:
        """Leave a minibatch's gradient in the learner's; the decisions that are in it, none of which may be one."""
        first, last = shares[0][0].first, shares[-1][-1].last
        numbers = 1 / max(last - first, 1), *self.units(first, last)
        self.sequences.lay_out()

        def work(k: int, share: list[Group]) -> None:
            self.clear[k]()
            for group in share:
                self.strands[k].go(group, *numbers)

        self.engine.team.run(work, shares)
        self.merge(len(shares))
        return (first, last) if last > first else (max(first - 1, 0), max(first, 1))


def go_through_columns(shares: SequenceShares, finish: Call) -> int:
    """One pass; returns how many steps were taken."""
    for i, minibatch in enumerate(shares.minibatches):
        if not finish(*shares.add_up_columns(minibatch), i):
            return i
    return len(shares.minibatches)
