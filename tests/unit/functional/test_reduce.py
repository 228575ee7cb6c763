"""Reductions against numpy over the decisions alone; what is masked cannot be seen, not even a NaN."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from clipper.functional.reduce import masked_mean, standardise, standardise_trajectories, trajectory_sum

batches = st.integers(1, 30).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=st.floats(-100, 100, width=32)), arrays(np.bool_, n, elements=st.booleans())
    )
)


def with_nan(x: np.ndarray, mask: np.ndarray) -> tuple[Tensor, Tensor]:
    """The batch as a tensor that wants gradients, NaN wherever it is masked."""
    return torch.from_numpy(np.where(mask, x, np.nan)).requires_grad_(), torch.from_numpy(mask)


@given(batches)
def test_masked_mean(batch: tuple[np.ndarray, np.ndarray]) -> None:
    x, mask = with_nan(*batch)
    actual = masked_mean(x, mask)
    actual.backward()
    kept = batch[0][batch[1]]
    assert actual.item() == pytest.approx(kept.mean() if len(kept) else 0.0, rel=1e-12, abs=1e-12)
    assert x.grad is not None
    assert x.grad.numpy() == pytest.approx(batch[1] / max(len(kept), 1), rel=1e-12)


@given(batches)
def test_masked_mean_of_several_quantities_at_once(batch: tuple[np.ndarray, np.ndarray]) -> None:
    x, mask = with_nan(*batch)
    kept = batch[0][batch[1]]
    expected = [values.mean() if len(kept) else 0.0 for values in (kept, kept**2)]
    means = masked_mean(torch.stack([x, x.square()]), mask)
    assert means.detach().numpy() == pytest.approx(np.array(expected), rel=1e-12, abs=1e-12)


@given(batches, st.integers(1, 5))
def test_trajectory_sum(batch: tuple[np.ndarray, np.ndarray], trajectories: int) -> None:
    x, mask = with_nan(*batch)
    actual = trajectory_sum(x, mask, trajectories)
    actual.backward()
    assert actual.item() == pytest.approx(batch[0][batch[1]].sum() / trajectories, rel=1e-12, abs=1e-12)
    assert x.grad is not None
    assert x.grad.numpy() == pytest.approx(batch[1] / trajectories, rel=1e-12)


def test_trajectory_sum_is_the_mean_of_sums() -> None:
    """Episodes of lengths 3 and 1, side by side."""
    x = torch.tensor([[1.0, 10.0], [2.0, torch.nan], [3.0, torch.nan]])
    mask = ~x.isnan()
    assert trajectory_sum(x, mask, 2).item() == ((1 + 2 + 3) + 10) / 2


@pytest.mark.parametrize("correction", [0, 1])
@given(batch=batches)
def test_standardise(correction: int, batch: tuple[np.ndarray, np.ndarray]) -> None:
    x, mask = with_nan(*batch)
    actual = standardise(x.detach(), mask, correction).numpy()
    kept = batch[0][batch[1]]
    assert (actual[~batch[1]] == 0).all()
    if len(kept) > 1 and kept.std() > 1e-3:
        expected = (kept - kept.mean()) / (kept.std(ddof=correction) + 1e-8)
        assert actual[batch[1]] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    elif len(set(kept.tolist())) <= 1:
        assert (actual == 0).all()


@pytest.mark.parametrize("correction", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("constant", [0.0, 0.1, -3.3, 1e6 + 0.3, -1e6])
def test_standardise_does_not_blow_up_rounding_noise(correction: int, dtype: torch.dtype, constant: float) -> None:
    for size in (1, 2, 3, 77, 1000):
        x = torch.full((size,), constant, dtype=dtype)
        mask = torch.ones(size, dtype=torch.bool)
        assert (standardise(x, mask, correction) == 0).all()
        x[1:], mask[1:] = torch.nan, False
        assert (standardise(x, mask, correction) == 0).all()


def test_standardise_sees_a_small_spread_on_a_large_offset() -> None:
    x = torch.tensor([1e4 - 1, 1e4 + 1])
    assert standardise(x, torch.ones(2, dtype=torch.bool), 0).tolist() == pytest.approx([-1, 1], rel=1e-6)


def test_no_decision_at_all_is_zero() -> None:
    x, mask = torch.full((4,), torch.nan), torch.zeros(4, dtype=torch.bool)
    assert masked_mean(x, mask) == 0
    assert (standardise(x, mask) == 0).all()


def test_each_trajectory_counts_once() -> None:
    """Three episodes in two columns, against numpy over the list of episodes; one return each is equation (4)."""
    rng = np.random.default_rng(0)
    done = torch.tensor([[False, True], [True, False], [False, False], [False, False], [False, True]])
    mask = torch.tensor([[True, True], [True, False], [False, True], [False, True], [False, True]])
    x = torch.from_numpy(rng.normal(3, 2, (5, 2)))
    x[~mask] = torch.nan
    episodes = [x[0:2, 0].numpy(), x[0:1, 1].numpy(), x[2:5, 1].numpy()]
    mean = np.mean([np.mean(e) for e in episodes])
    std = np.sqrt(np.mean([np.mean((e - mean) ** 2) for e in episodes]))
    found = standardise_trajectories(x, done, mask)
    expected = [(e - mean) / (std + 1e-8) for e in episodes]
    for part, there in zip(expected, (found[0:2, 0], found[0:1, 1], found[2:5, 1]), strict=True):
        np.testing.assert_allclose(there.numpy(), part, rtol=1e-12)
    assert (found[~mask] == 0).all()
    whole = torch.tensor([[4.0, 1.0], [4.0, 0], [0, -2.0], [0, -2.0], [0, -2.0]], dtype=torch.float64)
    units = (np.array([4.0, 1.0, -2.0]) - 1.0) / np.array([4.0, 1.0, -2.0]).std()
    np.testing.assert_allclose(standardise_trajectories(whole, done, mask)[[0, 0, 2], [0, 1, 1]], units, rtol=1e-7)
    assert (standardise_trajectories(torch.full_like(x, 0.1), done, mask) == 0).all()
    assert (standardise_trajectories(x, done, torch.zeros_like(mask)) == 0).all()
