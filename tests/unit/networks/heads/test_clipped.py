"""The clipped normal against quadrature between the bounds and the normal's own tails beyond them."""

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Generator

from clipper.distributions import ClippedGaussian

MEANS, STDS = [-1.0, -0.3, 0.95], [0.05, 0.4, 1.5]
WIDTH = 1e-4
GRID = torch.arange(-1 + WIDTH / 2, 1, WIDTH, dtype=torch.float64)[:, None]


def one(mean: float, std: float) -> ClippedGaussian:
    mu, sigma = torch.tensor([[mean], [std]], dtype=torch.float64)
    return ClippedGaussian(mu, sigma.log())


def summed(mean: float, std: float, of: torch.Tensor, at: torch.Tensor) -> float:
    """E[f(a)] of a clipped normal, ``of`` f on the grid and ``at`` f on the bounds."""
    theirs: Any = scipy.stats.norm(mean, std)
    within = WIDTH * np.sum(theirs.pdf(GRID[:, 0].numpy()) * of.numpy())
    return float(within + theirs.cdf(-1) * at[0] + theirs.sf(1) * at[1])


def log_probs(dist: ClippedGaussian) -> tuple[torch.Tensor, torch.Tensor]:
    return dist.log_prob(GRID), dist.log_prob(torch.tensor([[-1.0], [1.0]]).double())


@pytest.mark.parametrize("std", STDS)
@pytest.mark.parametrize("mean", MEANS)
def test_density_entropy_and_divergence_are_those_of_quadrature(mean: float, std: float) -> None:
    dist, other = one(mean, std), one(0.2, 0.6)
    (inside, bounds), (their_inside, their_bounds) = log_probs(dist), log_probs(other)
    theirs: Any = scipy.stats.norm(mean, std)
    np.testing.assert_allclose(inside, theirs.logpdf(GRID[:, 0].numpy()), atol=1e-9)
    np.testing.assert_allclose(bounds, [theirs.logcdf(-1), theirs.logsf(1)], rtol=1e-9)
    assert float(dist.entropy()) == pytest.approx(-summed(mean, std, inside, bounds), abs=1e-5)
    divergence = summed(mean, std, inside - their_inside, bounds - their_bounds)
    assert float(dist.kl(other)) == pytest.approx(divergence, abs=1e-5)
    assert float(dist.kl(dist)) == pytest.approx(0, abs=1e-12)


def test_samples_lie_within_and_on_the_bounds_as_often_as_the_tails_say() -> None:
    mean, std, n = 0.9, 0.2, 40_000
    dist = ClippedGaussian(torch.full((n, 1), mean), torch.tensor([std]).log())
    a = dist.sample(Generator().manual_seed(0))[:, 0]
    above = scipy.stats.norm(mean, std).sf(1)
    assert a.abs().max() == 1
    assert abs(float((a == 1).float().mean()) - above) < 5 * (above * (1 - above) / n) ** 0.5
    inside = a[a < 1].numpy()
    assert scipy.stats.kstest(inside, scipy.stats.truncnorm(-np.inf, (1 - mean) / std, mean, std).cdf).pvalue > 0.01
