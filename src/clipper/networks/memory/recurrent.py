"""LSTM (Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735) and GRU (Cho et al. 2014, arXiv:1406.1078).

A segment is cut where episodes begin, and pieces of like length run side by side: a few calls of torch's fused layer,
however many resets there are. (Its packed sequences are slower by far: going backwards, each step fills a gradient of
the whole batch's size.)
"""

from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from clipper.data.values import value
from clipper.networks.memory.memories import Memories, State, check_sizes, pair


@value
class Gated:
    """What LSTM and GRU have in common."""

    size: int = 64
    """Numbers in its hidden state; an LSTM's cell state has as many."""
    burn_in: int = 0
    """First rows of a segment that bring an old state up to date instead of being learned from (R2D2); none where the
    state before the segment is empty."""

    layer: ClassVar[type[nn.LSTM | nn.GRU]]
    gates: ClassVar[int]

    def __post_init__(self) -> None:
        check_sizes(type(self).__name__.lower(), size=self.size, burn_in=self.burn_in)

    def memories(self, actor: int, critic: int | None, orthogonal: bool, generator: Generator) -> Memories:
        return pair(
            lambda inputs: Recurrent(self.layer, inputs, self.size, orthogonal, generator), actor, critic, self.burn_in
        )

    def numbers(self, inputs: int) -> int:
        """Weights and state of one environment, about."""
        return self.gates * self.size * (inputs + self.size)


@value
class LSTM(Gated):
    """A long short-term memory."""

    layer = nn.LSTM
    gates = 4


@value
class GRU(Gated):
    """A gated recurrent unit."""

    layer = nn.GRU
    gates = 3


class Pieces(NamedTuple):
    """Stretches between resets that are about as long as each other, ``P`` of them, padded at their ends."""

    row: Int[Tensor, "L P"]
    """Where each comes from; padding repeats the last row."""
    column: Int[Tensor, " P"]
    real: Bool[Tensor, "L P"]
    """False: padding."""
    continued: Bool[Tensor, " P"]
    """Does it go on from what lay before the segment?"""


ROUNDED = 16
"""Lengths are rounded up to multiples: oneDNN keeps what it prepares for each shape, which came to 70 MB for all."""


def cut(begins: Bool[Tensor, "T N"]) -> list[Pieces]:
    """Cut a segment where episodes begin; of pieces that run together, none is less than half as long as another."""
    rows, columns = begins.shape
    first = begins.clone()
    first[0] = True
    start = first.T.reshape(-1).nonzero().squeeze(-1)  # counted column by column
    length = start.diff(append=start.new_tensor([rows * columns]))
    order = length.argsort(descending=True, stable=True)
    start, length = start[order], length[order]
    groups, lengths, at = [], length.tolist(), 0
    while at < len(lengths):
        end = at
        while end < len(lengths) and 2 * lengths[end] >= lengths[at]:
            end += 1
        place, size, longest = start[at:end], length[at:end], -(-lengths[at] // ROUNDED) * ROUNDED
        step = torch.arange(longest, device=start.device)[:, None]
        row, column = place % rows, place // rows
        groups.append(Pieces(row + step.minimum(size - 1), column, step < size, (row == 0) & ~begins[0, column]))
        at = end
    return groups


class Recurrent(nn.Module):
    """One layer of LSTM or GRU cells, orthogonal at first, with biases 0 ("37 details", LSTM 1), or as torch draws."""

    def __init__(
        self, kind: type[nn.LSTM] | type[nn.GRU], inputs: int, size: int, orthogonal: bool, generator: Generator
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # torch draws weights of its own from the global generator
            self.rnn = kind(inputs, size)
        self.size, self.leaves = size, 2 if kind is nn.LSTM else 1
        for parameter in self.rnn.parameters():
            if not orthogonal:
                nn.init.uniform_(parameter, -(size**-0.5), size**-0.5, generator=generator)
            elif parameter.ndim > 1:
                nn.init.orthogonal_(parameter, generator=generator)
            else:
                nn.init.zeros_(parameter)

    def empty(self, n: int) -> State:
        return tuple(next(self.rnn.parameters()).new_zeros(n, self.size) for _ in range(self.leaves))

    def step(self, x: Float[Tensor, "N F"], state: State) -> tuple[Float[Tensor, "N size"], State]:
        weights = list(self.rnn.parameters())
        new = torch.lstm_cell(x, state, *weights) if self.leaves == 2 else (torch.gru_cell(x, state[0], *weights),)
        return new[0], new

    def sequence(
        self, x: Float[Tensor, "T N F"], state: State, begins: Bool[Tensor, "T N"]
    ) -> Float[Tensor, "T N size"]:
        if not x.shape[1]:  # of those who share a batch one may have no column in a minibatch
            return x.new_zeros(*x.shape[:2], self.size)
        outputs, rows, columns = [], [], []
        for piece in cut(begins):
            old = [torch.where(piece.continued[:, None], s[piece.column], 0)[None] for s in state]
            out, _ = self.rnn(x[piece.row, piece.column], tuple(old) if self.leaves == 2 else old[0])
            outputs.append(out[piece.real])
            rows.append(piece.row[piece.real])
            columns.append(piece.column.expand_as(piece.row)[piece.real])
        place = torch.cat(rows), torch.cat(columns)
        return x.new_empty(*x.shape[:2], self.size).index_put(place, torch.cat(outputs))
