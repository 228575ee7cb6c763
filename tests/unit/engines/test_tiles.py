"""The kernels' products against NumPy's in float64, and their elementary functions against the C library's."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")
from clipper.engines.cpu.kernels import elementary, mlp, tiles

SIZES = [(1, 1, 1), (2, 64, 16), (64, 4, 48), (17, 3, 40), (9, 33, 200), (6, 17, 256), (70, 65, 130)]
"""Rows, inner size, decisions."""


def sheet(rows: int, used: int, stride: int) -> np.ndarray:
    """A random matrix whose columns after the used ones are 0."""
    numbers = np.zeros((rows, stride), np.float32)
    numbers[:, :used] = np.random.default_rng(rows * used).standard_normal((rows, used))
    return numbers


@pytest.mark.parametrize("more", ["nothing", "bias", "add"])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("rows", "inner", "used"), SIZES)
def test_multiply_equals_numpys_product(rows: int, inner: int, used: int, turned: bool, more: str) -> None:
    columns = mlp.whole(used)
    assert columns % tiles.LANES == 0 <= columns - used < tiles.LANES
    stride, before = columns + 3, 5
    left, right, result = sheet(rows, inner, inner), sheet(inner, used, stride), sheet(rows, used, stride)
    bias = sheet(rows, 1, 1)
    added = {"nothing": 0, "bias": bias, "add": result[:, :columns]}[more]
    expected = left.astype(float) @ right[:, :columns] + added
    beyond = result[:, columns:].copy()
    stored = np.concatenate([np.full(before, np.nan, np.float32), (left.T if turned else left).ravel(), bias.ravel()])
    down, along = (1, rows) if turned else (inner, 1)
    bias_at = before + left.size if more == "bias" else -1
    tiles.multiply(
        stored, before, down, along, bias_at, right.ravel(), 0, result.reshape(-1), 0, stride, rows, inner, columns,
        int(more == "add"),
    )  # fmt: skip
    np.testing.assert_allclose(result[:, :columns], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(result[:, columns:], beyond)


@pytest.mark.parametrize(("rows", "columns", "used"), SIZES)
def test_add_product_equals_numpys_product(rows: int, columns: int, used: int) -> None:
    inner = mlp.whole(used)
    stride = inner + 3
    left, right = sheet(rows, used, stride), sheet(columns, used, stride)
    result = sheet(rows, columns, columns)
    expected = result + left.astype(float) @ right.T
    kept = np.concatenate([result.ravel(), np.full(3, 7, np.float32)])
    tiles.add_product(left.ravel(), 0, right.ravel(), 0, stride, kept, 0, columns, rows, columns, inner)
    np.testing.assert_allclose(kept[:-3].reshape(rows, columns), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(kept[-3:], 7)


@pytest.mark.long
@pytest.mark.parametrize("features", ["+avx2,+fma", "+sse2"])
def test_products_for_other_processors(features: str) -> None:
    """Shorter vectors, which older processors have, need not be those of this one."""
    if sys.platform == "darwin" or os.uname().machine != "x86_64":
        pytest.skip("these are names of x86's features")
    if features.startswith("+avx2") and not tiles.has("avx2"):
        pytest.skip("this processor has no AVX2")
    lanes = 8 if "avx2" in features else 4
    settings = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": features}
    code = f"from clipper.engines.cpu.kernels import tiles; assert tiles.LANES == {lanes}"
    environment = os.environ | settings
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-n", "0", str(Path(__file__)),
               "-k", "numpys_product"]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_exp() -> None:
    x = np.concatenate([np.linspace(-86.9, 87.9, 100_001), np.linspace(-1, 1, 10_001)]).astype(np.float32)
    found = np.array([elementary.exp(v) for v in x])
    np.testing.assert_allclose(found, np.exp(x.astype(float)), rtol=3e-7)
    assert elementary.exp(np.float32(0)) == 1
    assert elementary.exp(np.float32(-1e9)) == 0


def test_log() -> None:
    x = np.concatenate([np.logspace(-37, 38, 100_001), np.linspace(0.5, 2, 10_001)]).astype(np.float32)
    found = np.array([elementary.log(v) for v in x])
    np.testing.assert_allclose(found, np.log(x.astype(float)), rtol=2e-7, atol=2e-7)
    assert elementary.log(np.float32(1)) == 0


def test_tanh() -> None:
    x = np.linspace(-12, 12, 100_001).astype(np.float32)
    found = np.array([elementary.tanh(v) for v in x])
    np.testing.assert_allclose(found, np.tanh(x.astype(float)), rtol=0, atol=3e-7)
    assert (np.abs(found) < 1).all()


@pytest.mark.parametrize("function", [elementary.exp, elementary.tanh])
def test_what_is_no_number_stays_so(function: Callable[[np.float32], np.float32]) -> None:
    assert np.isnan(function(np.float32(np.nan)))
