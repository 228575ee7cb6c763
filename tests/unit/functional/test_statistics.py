"""Moments and explained variance against numpy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipper.functional.statistics import explained_variance, merge, moments

samples = st.integers(1, 20).flatmap(lambda n: arrays(np.float64, (n, 2), elements=st.floats(-1e3, 1e3)))


@given(st.lists(samples, min_size=1, max_size=4))
def test_merged_moments_are_those_of_the_union(parts: list[np.ndarray]) -> None:
    total = moments(torch.from_numpy(parts[0]))
    for part in parts[1:]:
        total = merge(total, moments(torch.from_numpy(part)))
    union = np.concatenate(parts)
    assert total.n.item() == len(union)
    assert total.mean.numpy() == pytest.approx(union.mean(0), rel=1e-9, abs=1e-9)
    assert total.variance.numpy() == pytest.approx(union.var(0), rel=1e-9, abs=1e-7)


def test_merging_keeps_digits_far_from_zero() -> None:
    """A variance of 1 around 10⁸, which Σx² − (Σx)²/n would lose."""
    x = 1e8 + np.random.default_rng(0).standard_normal((1000, 1))
    merged = merge(moments(torch.from_numpy(x[:10])), moments(torch.from_numpy(x[10:])))
    assert merged.variance.item() == pytest.approx(x.var(), rel=1e-6)


def test_explained_variance_by_hand() -> None:
    target = torch.tensor([1.0, 2.0, 3.0, 4.0, torch.nan])
    mask = ~target.isnan()

    def explained(*prediction: float) -> float:
        return explained_variance(torch.tensor([*prediction, torch.nan]), target, mask).item()

    assert explained(1, 2, 3, 4) == pytest.approx(1)
    assert explained(11, 12, 13, 14) == pytest.approx(1)  # an offset leaves no variance
    assert explained(7, 7, 7, 7) == pytest.approx(0)
    assert explained(-1, -2, -3, -4) == pytest.approx(-3)  # errors 2, 4, 6, 8: four times the target's variance
    assert explained(1, 1, 3, 3) == pytest.approx(1 - 0.25 / 1.25)


def test_explained_variance_of_a_constant_target_is_nan() -> None:
    target = torch.full((3,), 2.0)
    assert math.isnan(explained_variance(torch.rand(3), target, torch.ones(3, dtype=torch.bool)).item())
