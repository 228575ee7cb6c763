"""GTrXL's gates: the formula in numpy, the identity that a large bias begins from, and exact resumption."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kinds import cell_of
from numpy.typing import NDArray

import clipper
from clipper.errors import ConfigError
from clipper.networks.memory import Memory, Transformer
from clipper.networks.memory.transformer import Gate
from clipper.settings.option_text import from_text, to_text


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def test_the_gate_is_the_paper_s() -> None:
    generator = torch.Generator().manual_seed(0)
    gate: Any = Gate(5, 2.0, generator).double()
    gate.bias.data += torch.randn(5, generator=generator, dtype=torch.float64)
    x, y = torch.randn(2, 7, 5, generator=generator, dtype=torch.float64).unbind()
    w_r, w_z, w_g = (np.asarray(layer.weight.detach()) for layer in gate.read)
    u_r, u_z, u_g = (np.asarray(layer.weight.detach()) for layer in gate.kept)
    b = gate.bias.detach().numpy()
    expected = np.empty((7, 5))
    for i in range(7):
        a, read = x[i].numpy(), np.maximum(y[i].numpy(), 0)
        r = sigmoid(w_r @ read + u_r @ a)
        z = sigmoid(w_z @ read + u_z @ a - b)
        expected[i] = (1 - z) * a + z * np.tanh(w_g @ read + u_g @ (r * a))
    np.testing.assert_allclose(gate(x, y).detach().numpy(), expected, rtol=1e-12)


def test_a_large_bias_begins_near_the_identity() -> None:
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    distances = []
    for bias in (0.0, 2.0, 8.0, 30.0):
        generator = torch.Generator().manual_seed(0)
        cell: Any = Transformer(6, window=3, heads=2, layers=2, gate_bias=bias).memories(3, None, True, generator)
        cell = cell.double().actor
        out, _ = cell.step(x, cell.empty(2))
        distances.append(float((out - cell.leave(cell.enter(x))).detach().abs().max()))
    assert distances == sorted(distances, reverse=True)
    assert distances[2] < 1e-2 < distances[0]
    assert distances[-1] < 1e-10


def test_without_a_bias_there_are_no_gates_and_nothing_else_is_drawn() -> None:
    plain, gated = cell_of(Transformer(6, 3, 2, 1)), cell_of(Transformer(6, 3, 2, 1, gate_bias=2.0))
    more = sum(x.numel() for x in gated.parameters()) - sum(x.numel() for x in plain.parameters())
    assert more == 2 * (6 * 6 * 6 + 6)
    assert not [name for name, _ in plain.named_parameters() if "join" in name]
    assert Transformer(64, gate_bias=2.0).numbers(64) - Transformer(64).numbers(64) == 12 * 64 * 64


def test_on_the_command_line() -> None:
    gated = Transformer(32, 8, 2, 2, gate_bias=2.0)
    assert from_text(to_text(gated), Memory) == gated
    assert from_text(to_text(Transformer()), Memory) == Transformer()
    with pytest.raises(ConfigError, match="gate_bias"):
        Transformer(gate_bias=-1.0)


def test_a_run_with_gates_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    kwargs: Any = {
        "algorithm": clipper.PPO(horizon=8, epochs=1, minibatches=2), "num_envs": 2, "total_steps": 96,
        "policy": clipper.PolicyOptions(hidden=(8,), memory=Transformer(8, 4, 2, gate_bias=2.0)),
    }  # fmt: skip
    ours = clipper.train("clipper/RepeatPrevious-v0", run_dir=tmp_path / "whole", **kwargs)
    clipper.train(
        "clipper/RepeatPrevious-v0", run_dir=tmp_path / "cut", callback=lambda run: run.iteration < 3, **kwargs
    )
    again = clipper.train(resume=tmp_path / "cut")
    theirs = again.state_dict()[0]
    assert again.exact
    assert all(torch.equal(x, theirs[name]) for name, x in ours.state_dict()[0].items())
    assert clipper.load(tmp_path / "cut") is not None
