"""Passes of a policy's memories over the rows of segments: what they recall, and their gradients.

What is recalled stands where a policy without a memory has its observations, so all other kernels, of heads, losses and
values, are the same. Sequences that pass together are whole columns of a segment.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from clipper.data.history import Past
from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.engines.cpu.calls import Call, Packed
from clipper.engines.cpu.kernel_files import Kernels
from clipper.engines.cpu.kernels.memory_tables import Cell, Tape
from clipper.engines.cpu.kernels.tables import Net, Work
from clipper.engines.cpu.memory_cells import CellTable
from clipper.engines.cpu.threads import Team

ROWS = 2048
"""Rows of a segment that pass together, if that is at least a column: the tape stays in the cache."""
APART = 64  # numbers: gates a multiple of this apart would share too few of the cache's lines


class Segment(NamedTuple):
    """Rows of a segment as the kernels read them, in T rows of N columns."""

    obs: np.ndarray
    """``[T N, F]``."""
    begins: np.ndarray
    """``[T, N]``: the memory is emptied before."""
    present: np.ndarray
    """``[T, N]``: passes through the layers; others are such as nothing depends on."""
    used: np.ndarray
    """``[T, N]``: decisions that are learned from, which those burnt in are not."""
    state: np.ndarray
    """``[N, S]``, before the first row."""


class Sequences:
    """The cells of a policy, and the tapes that they write; one for each thread."""

    def __init__(
        self, kernels: Kernels, cells: tuple[CellTable, ...], nets: list[Packed[Net]], works: list[Packed[Work]],
        team: Team,
    ) -> None:  # fmt: skip
        kernels.need("memory")
        self.kernels, self.tables, self.nets, self.works, self.team = kernels, cells, nets, works, team
        self.cells = [Packed(placed(table.cell, kernels.lanes)) for table in cells]
        self.state_width = sum(table.leaves * table.cell.size for table in cells)
        self.width = sum(table.cell.size for table in cells)
        weights = [weights_for(cell.value) for cell in self.cells]
        self.weights, self.tapes = weights, dict[tuple[int, int], Packed[Tape]]()

    def tape(self, k: int, thread: int, rows: int, columns: int) -> Packed[Tape]:
        """That of cell ``k`` in a thread, which has room for so many rows of so many columns."""
        cell, found = self.cells[k].value, self.tapes.get((k, thread))
        if found is None or found.value.hidden.size < rows * cell.width or found.value.now.size < columns * cell.width:
            capacity = self.works[thread].value.capacity
            gates = np.empty(rows * cell.pitch, np.float32)
            hidden, inner, slopes = np.empty((3, rows * cell.width), np.float32)
            now, far = np.empty((2, columns * cell.width), np.float32)
            rows_of, seat = np.empty((2, capacity), np.int64)
            told = np.empty(cell.width, np.float32)
            found = Packed(Tape(gates, hidden, inner, slopes, *self.weights[k], now, far, told, rows_of, seat))
            self.tapes[k, thread] = found
        return found

    def lay_out(self) -> None:
        """Copy weights that have moved to where products with the state read them."""
        for k, (net, cell) in enumerate(zip(self.nets, self.cells, strict=True)):
            self.kernels.lay_out(net.value.theta, cell, self.tape(k, 0, 1, 1))

    def of(self, steps: Steps, obs: np.ndarray, extended: bool = False) -> Segment:
        """A segment's rows; ``extended``: and one more, all of which pass through the layers."""
        past: Past = steps.memory  # pyright: ignore[reportAssignmentType] (held to it by check_past)
        mask, begins = steps.mask.numpy(), np.ascontiguousarray(past.begins.numpy())
        used = mask & ((np.arange(len(mask))[:, None] >= past.burn_in.numpy()) | (begins.cumsum(0) > 0))
        state = self.packed(past.state, lead=1)
        if extended:
            begins = np.concatenate([begins, ~mask[-1:]])
            return Segment(obs, begins, np.ones_like(begins), used, state)
        return Segment(obs, begins, np.ascontiguousarray(mask), used, state)

    def packed(self, state: Tree, lead: int = 0) -> np.ndarray:
        """A state's tensors ``[*lead, N, size]`` side by side."""
        parts = [np.asarray(x).reshape(x.shape[lead:]) for x in state]
        return np.ascontiguousarray(np.concatenate(parts[: sum(table.leaves for table in self.tables)], axis=1))

    def tensors(self, state: np.ndarray) -> tuple[Tensor, ...]:
        """The same as tensors with memory of their own."""
        sizes = [table.cell.size for table in self.tables for _ in range(table.leaves)]
        return tuple(torch.from_numpy(x.copy()) for x in np.split(state, np.cumsum(sizes)[:-1], axis=1))

    def groups(self, columns: int, steps: int) -> Iterator[slice]:
        """Columns that pass together."""
        size = max(ROWS // max(steps, 1), 1)
        for start in range(0, columns, size):
            yield slice(start, min(start + size, columns))

    def recall(
        self, k: int, segment: Segment, recalled: np.ndarray, after: np.ndarray, net: Packed[Net] | None = None
    ) -> None:
        """What cell ``k`` recalls in all rows, into ``recalled [T N, …]``, and its last state into ``after [N, S]``."""
        steps, n = segment.begins.shape
        columns = np.arange(n)
        for group in self.groups(n, steps):
            count = group.stop - group.start
            tape = self.tape(k, 0, steps * count, count)
            self.kernels.recall(
                net or self.nets[k], self.cells[k], self.works[0], tape, segment.obs, segment.begins, segment.present,
                columns, segment.state, after, recalled, 0, steps, group.start, group.stop,
            )  # fmt: skip

    def recall_all(self, segment: Segment, cells: list[int]) -> np.ndarray:
        """What these cells recall in all rows, as the weights are now."""
        recalled, after = np.empty((len(segment.obs), self.width), np.float32), np.empty_like(segment.state)
        self.lay_out()
        for k in cells:
            self.recall(k % len(self.cells), segment, recalled, after)
        return recalled


class Strand:
    """One thread's passes over some columns of a segment: forward, their loss, and backward through time."""

    def __init__(
        self, sequences: Sequences, thread: int, cells: list[int], segment: Segment, recalled: np.ndarray,
        columns: np.ndarray, seats: np.ndarray, gradient: np.ndarray, accumulate: Call, most: int,
    ) -> None:  # fmt: skip
        kernels, work = sequences.kernels, sequences.works[thread]
        steps, n = segment.begins.shape
        self.steps, self.capacity, self.accumulate = steps, work.value.capacity, accumulate
        self.tapes = [sequences.tape(k, thread, steps * most, most) for k in cells]
        after = np.empty_like(segment.state)
        self.recall, self.owe, self.pull_back = list[Call](), list[Call](), list[Call]()
        for k, tape in zip(cells, self.tapes, strict=True):
            net, cell = sequences.nets[k], sequences.cells[k]
            rows = segment.obs, segment.begins, segment.present, columns
            first = net, cell, work, tape
            self.recall.append(kernels.recall.bind(*first, *rows, segment.state, after, recalled, 0, steps, 0, n))
            self.owe.append(kernels.owe.bind(cell, work, tape, seats, 0, 0))
            self.pull_back.append(kernels.pull_back.bind(*first, gradient, *rows, 0, steps, 0, n))

    def go(self, group: "Group", *numbers: float) -> None:
        """Add what these columns give to the gradient."""
        for recall, tape in zip(self.recall, self.tapes, strict=True):
            tape.value.slopes.fill(0)
            recall(0, self.steps, group.start, group.stop)
        for first in range(group.first, group.last, self.capacity):
            last = min(first + self.capacity, group.last)
            self.accumulate(first, last, *numbers)
            for owe in self.owe:
                owe(first, last)
        for pull_back in self.pull_back:
            pull_back(0, self.steps, group.start, group.stop)


class Group(NamedTuple):
    """Columns that pass together, and their decisions in the order of a pass."""

    start: int
    stop: int
    first: int
    last: int


def placed(cell: Cell, lanes: int) -> Cell:
    """A cell with its places on a tape."""
    width = -(-cell.size // lanes) * lanes
    return cell._replace(width=width, pitch=4 * width + (0 if 4 * width % APART else lanes))


def weights_for(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Room for the state's weights, both ways."""
    return np.empty(cell.size * cell.pitch, np.float32), np.empty(4 * cell.width * cell.width, np.float32)
