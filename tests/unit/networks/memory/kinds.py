"""The memories that are tested, and an environment whose episodes end in every way."""

from typing import Any

import torch
from torch import Tensor

from clipper.networks.memory import GRU, LSTM, Transformer

KINDS: dict[str, LSTM | GRU | Transformer] = {
    "lstm": LSTM(5),
    "gru": GRU(5),
    "transformer": Transformer(6, window=3, heads=2, layers=2),
}


def cell_of(kind: LSTM | GRU | Transformer, inputs: int = 3, seed: int = 0) -> Any:
    """One memory, in float64, whose biases are not 0."""
    generator = torch.Generator().manual_seed(seed)
    cell = kind.memories(inputs, None, False, generator).double().actor
    for parameter in cell.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return cell


def random_state(cell: Any, n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """What a few steps leave behind."""
    state = cell.empty(n)
    for _ in range(2):
        x = torch.randn(n, 3, generator=generator, dtype=torch.float64)
        state = cell.step(x, state)[1]
    return tuple(x.detach() for x in state)
