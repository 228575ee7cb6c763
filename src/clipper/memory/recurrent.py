"""LSTM (Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735) and GRU (Cho et al. 2014, arXiv:1406.1078).

A segment is cut where episodes begin, and its pieces run side by side as torch's packed sequences: one call, however
many resets there are.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from clipper.memory.memories import Memories, State, check_sizes, pair


@dataclass(frozen=True, slots=True)
class LSTM:
    """A long short-term memory."""

    size: int = 64
    """Numbers in its hidden state; the cell state has as many."""
    burn_in: int = 0
    """First rows of a segment that bring an old state up to date instead of being learned from (R2D2)."""

    def __post_init__(self) -> None:
        check_sizes("lstm", size=self.size, burn_in=self.burn_in)

    def memories(self, actor: int, critic: int | None, orthogonal: bool, generator: Generator) -> Memories:
        return pair(
            lambda inputs: Recurrent(nn.LSTM, inputs, self.size, orthogonal, generator), actor, critic, self.burn_in
        )

    def numbers(self, inputs: int) -> int:
        """Weights and state of one environment, about."""
        return 4 * self.size * (inputs + self.size)


@dataclass(frozen=True, slots=True)
class GRU:
    """A gated recurrent unit."""

    size: int = 64
    """Numbers in its state."""
    burn_in: int = 0
    """First rows of a segment that bring an old state up to date instead of being learned from (R2D2)."""

    def __post_init__(self) -> None:
        check_sizes("gru", size=self.size, burn_in=self.burn_in)

    def memories(self, actor: int, critic: int | None, orthogonal: bool, generator: Generator) -> Memories:
        return pair(
            lambda inputs: Recurrent(nn.GRU, inputs, self.size, orthogonal, generator), actor, critic, self.burn_in
        )

    def numbers(self, inputs: int) -> int:
        """Weights and state of one environment, about."""
        return 3 * self.size * (inputs + self.size)


class Pieces(NamedTuple):
    """A segment ``[T, N]`` cut where episodes begin, in the order of packed sequences: the longest pieces first."""

    row: Int[Tensor, " TN"]
    column: Int[Tensor, " TN"]
    """Where each packed row comes from."""
    sizes: Int[Tensor, " L"]
    """How many pieces have a first row, a second, …; on the CPU."""
    continued: Bool[Tensor, " P"]
    """Does the piece go on from what lay before the segment?"""


def cut(begins: Bool[Tensor, "T N"]) -> Pieces:
    """Cut a segment where episodes begin."""
    rows, columns = begins.shape
    first = begins.clone()
    first[0] = True
    start = first.T.reshape(-1).nonzero().squeeze(-1)  # counted column by column
    length = start.diff(append=start.new_tensor([rows * columns]))
    longest = length.argsort(descending=True, stable=True)
    start = start[longest]
    sizes = len(start) - length.bincount().cumsum(0)[:-1]
    step = torch.arange(len(sizes), device=start.device).repeat_interleave(sizes)
    piece = torch.arange(rows * columns, device=start.device) - (sizes.cumsum(0) - sizes)[step]
    place = start[piece] + step
    return Pieces(place % rows, place // rows, sizes.cpu(), (start % rows == 0) & ~begins[0, start // rows])


class Recurrent(nn.Module):
    """One layer of LSTM or GRU cells, orthogonal at first, with biases 0 ("37 details", LSTM 1), or as torch draws."""

    def __init__(
        self, kind: type[nn.LSTM] | type[nn.GRU], inputs: int, size: int, orthogonal: bool, generator: Generator
    ) -> None:
        super().__init__()
        # On no device nothing is drawn, so the global generator stays where it is.
        self.rnn = kind(inputs, size, device="meta").to_empty(device="cpu")
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
        pieces = cut(begins)
        before = [
            torch.where(pieces.continued[:, None], s[pieces.column[: len(pieces.continued)]], 0)[None] for s in state
        ]
        packed = PackedSequence(x[pieces.row, pieces.column], pieces.sizes)
        out = self.rnn(packed, tuple(before) if self.leaves == 2 else before[0])[0].data
        return out.new_empty(*x.shape[:2], self.size).index_put((pieces.row, pieces.column), out)
