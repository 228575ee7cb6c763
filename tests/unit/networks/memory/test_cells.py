"""Memories over whole segments against plain loops: torch's own modules step by step, attention row by row."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kinds import KINDS, cell_of, random_state
from torch import Tensor, nn

from clipper.networks.memory import GRU, LSTM, Transformer
from clipper.networks.memory.recurrent import ROUNDED, cut


def begins_of(bits: int, rows: int, columns: int) -> Tensor:
    """A pattern of resets, its first row included."""
    flat = [(bits >> i) & 1 == 1 for i in range(rows * columns)]
    return torch.tensor(flat).view(rows, columns)


@given(st.integers(0, 2**24 - 1), st.sampled_from([(1, 1), (1, 3), (6, 1), (6, 4), (3, 8)]))
def test_a_segment_is_cut_where_episodes_begin(bits: int, shape: tuple[int, int]) -> None:
    begins = begins_of(bits, *shape)
    expected = []
    for column in range(shape[1]):
        for row in range(shape[0]):
            if row == 0 or begins[row, column]:
                expected.append([])
            expected[-1].append((row, column))
    found = []
    for group in cut(begins):
        lengths = group.real.sum(0).tolist()
        assert 2 * min(lengths) >= max(lengths) > len(group.row) - ROUNDED
        assert len(group.row) % ROUNDED == 0
        for p, length in enumerate(lengths):
            assert group.real[:length, p].all()
            found.append([(row, int(group.column[p])) for row in group.row[:length, p].tolist()])
            assert bool(group.continued[p]) == (found[-1][0][0] == 0 and not bool(begins[found[-1][0]]))
    assert sorted(found) == sorted(expected)


def torch_loop(cell, x: Tensor, state: tuple[Tensor, ...], begins: Tensor) -> Tensor:
    """torch.nn.LSTM or GRU, one step and one environment at a time, from zeros where an episode begins."""
    lstm = cell.leaves == 2
    module = (nn.LSTM if lstm else nn.GRU)(3, cell.size).double()
    module.load_state_dict(cell.rnn.state_dict())
    columns = []
    for n in range(x.shape[1]):
        h = tuple(s[n][None, None] for s in state)
        outputs = []
        for t in range(len(x)):
            if begins[t, n]:
                h = tuple(torch.zeros_like(s) for s in h)
            y, after = module(x[t, n][None, None], h if lstm else h[0])
            h = after if lstm else (after,)
            outputs.append(y[0, 0])
        columns.append(torch.stack(outputs))
    return torch.stack(columns, 1)


def attention_loop(cell, x: Tensor, state: tuple[Tensor, ...], begins: Tensor) -> Tensor:
    """Layer by layer and row by row: softmax over the rows of this episode that are near enough."""
    outputs = []
    for n in range(x.shape[1]):
        known = int(state[1][n])
        h = [cell.enter(v) for v in x[:, n]]
        for index, layer in enumerate(cell.layers):
            old = [*state[0][n, index]][len(state[0][n, index]) - known :] if known else []
            after = []
            for t, own in enumerate(h):
                first = max([i for i in range(t + 1) if begins[i, n]], default=-1)
                seen = ([] if first >= 0 else list(old)) + h[max(first, 0) : t + 1]
                seen = seen[-layer.window :]
                read = layer.first(torch.stack(seen))
                d = cell.size // layer.heads
                parts = []
                for k in range(layer.heads):
                    part = slice(k * d, (k + 1) * d)
                    query, key, value = (f(read)[:, part] for f in (layer.query, layer.key, layer.value))
                    score = key @ query[-1] / math.sqrt(d) + layer.bias[k, layer.window - len(seen) :]
                    parts.append(score.softmax(0) @ value)
                mixed = layer.join(own, layer.out(torch.cat(parts)))  # own + …, or a gate of both
                after.append(layer.join_mlp(mixed, layer.mlp(layer.second(mixed))))
            h = after
        outputs.append(torch.stack([cell.leave(v) for v in h]))
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
@pytest.mark.parametrize(
    "kind",
    [
        LSTM(5), GRU(5), Transformer(6, 3, 2, 2), Transformer(4, 1, 1), Transformer(4, 9, 4),
        Transformer(6, 3, 2, 2, gate_bias=0.5),
    ],
)  # fmt: skip
def test_a_segment_equals_the_plain_loop(kind: LSTM | GRU | Transformer, density: float) -> None:
    generator = torch.Generator().manual_seed(3)
    cell = cell_of(kind)
    x = torch.randn(11, 4, 3, generator=generator, dtype=torch.float64)
    state = random_state(cell, 4, generator)
    begins = torch.rand(11, 4, generator=generator) < density
    loop = attention_loop if isinstance(kind, Transformer) else torch_loop
    expected = loop(cell, x, state, begins)
    assert (cell.sequence(x, state, begins) - expected).abs().max() < 1e-10
    # The same, as it acts: step by step, emptied in between.
    for t in range(len(x)):
        state = tuple(s.masked_fill(begins[t].view(-1, *[1] * (s.ndim - 1)), 0) for s in state)
        y, state = cell.step(x[t], state)
        assert (y - expected[t]).abs().max() < 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_a_segment_equal_those_of_the_loop(kind: str) -> None:
    generator = torch.Generator().manual_seed(3)
    cell = cell_of(KINDS[kind])
    x = torch.randn(7, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    state = random_state(cell, 3, generator)
    begins = torch.rand(7, 3, generator=generator) < 0.3
    weight = torch.randn(7, 3, cell.size, generator=generator, dtype=torch.float64)
    wanted = [x, *cell.parameters()]
    found = torch.autograd.grad((weight * cell.sequence(x, state, begins)).sum(), wanted)
    outputs = []
    for t in range(len(x)):
        state = tuple(s.masked_fill(begins[t].view(-1, *[1] * (s.ndim - 1)), 0) for s in state)
        y, state = cell.step(x[t], state)
        outputs.append(y)
    expected = torch.autograd.grad((weight * torch.stack(outputs)).sum(), wanted)
    for a, b in zip(found, expected, strict=True):
        assert (a - b).abs().max() < 1e-10


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_first_weights_are_orthogonal_and_drawn_by_the_given_generator(kind: str) -> None:
    before = torch.get_rng_state()
    cell = KINDS[kind].memories(5, None, True, torch.Generator().manual_seed(0)).actor
    assert torch.equal(before, torch.get_rng_state())
    for parameter in cell.parameters():
        if parameter.ndim == 1:
            assert not parameter.any()
        else:
            assert torch.allclose(parameter.T @ parameter, torch.eye(5), atol=1e-6)
    again = KINDS[kind].memories(5, None, True, torch.Generator().manual_seed(0)).actor
    assert all(torch.equal(a, b) for a, b in zip(cell.parameters(), again.parameters(), strict=True))
