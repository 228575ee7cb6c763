"""Densities against torch.distributions, scipy and quadrature; samples against what they should be distributed as."""

import math
from typing import Any

import pytest
import scipy.special
import scipy.stats
import torch
from torch import Generator, Tensor
from torch import distributions as theirs

from clipper.distributions import (
    DiagonalGaussian,
    Distribution,
    IndependentBeta,
    SquashedGaussian,
    StateDependentGaussian,
)
from clipper.distributions.state_dependent import marginal_log_std

GRID = [(1.0, 1.0), (1.0001, 3.0), (1.7, 1.7), (2.5, 1.2), (30.0, 4.0), (900.0, 1100.0), (1e4, 1e4)]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=dtype)


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def squashed(*shape: int, seed: int = 0) -> SquashedGaussian:
    return SquashedGaussian(normal(*shape, seed=seed), 0.5 * normal(*shape, seed=seed + 1))


def beta(*shape: int, seed: int = 0) -> IndependentBeta:
    return IndependentBeta(1 + normal(*shape, seed=seed).exp(), 1 + normal(*shape, seed=seed + 1).exp())


def state_dependent(*shape: int) -> StateDependentGaussian:
    return StateDependentGaussian(normal(*shape), normal(*shape, seed=1), normal(*shape, seed=2))


EACH = [squashed(50, 3), beta(50, 3), state_dependent(50, 3)]


# --- tanh -------------------------------------------------------------------------------------------------------------


def squashed_of_torch(dist: SquashedGaussian) -> theirs.TransformedDistribution:
    raw = theirs.Normal(dist.mean, dist.log_std.exp())
    return theirs.TransformedDistribution(theirs.Independent(raw, 1), [theirs.TanhTransform()])


def test_squashed_likelihood_is_that_of_the_squashed_action() -> None:
    """Torch is told tanh(u) and has to undo the tanh, which in float64 costs digits where |a| is near 1."""
    dist, u = squashed(7, 5, 3), 1.2 * normal(7, 5, 3, seed=9)
    close(dist.log_prob(u), squashed_of_torch(dist).log_prob(u.tanh()), 1e-9)


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (1.5, -1.0), (-0.7, 0.4)])
def test_squashed_density_integrates_to_one_over_the_actions(mean: float, log_std: float) -> None:
    """∫ π(a) da over (−1, 1), and −∫ π log π da, by scipy's quadrature in a itself."""
    one = torch.tensor([mean], dtype=torch.float64)
    dist = SquashedGaussian(one, torch.full((1,), log_std, dtype=torch.float64))

    def density(a: float) -> float:
        return float(dist.log_prob(torch.atanh(torch.tensor([a], dtype=torch.float64))).exp())

    def surprise(a: float) -> float:
        p = density(a)
        return -p * math.log(p) if p > 0 else 0.0

    limits = {"a": -1, "b": 1, "limit": 400, "points": [-0.9999, 0.9999]}
    assert scipy.integrate.quad(density, **limits)[0] == pytest.approx(1, abs=1e-6)
    assert scipy.integrate.quad(surprise, **limits)[0] == pytest.approx(float(dist.entropy()), abs=1e-5)


@pytest.mark.parametrize(
    ("std", "tolerance"), [(0.1, 1e-12), (0.6, 1e-11), (1.0, 1e-8), (1.01, 1e-8), (2.0, 1e-8), (7.3, 1e-8)]
)
def test_squashed_entropy_by_a_fine_grid(std: float, tolerance: float) -> None:
    """E[−log π(a)] on two hundred thousand points, and its slopes by differences of these."""
    mean = torch.tensor([[0.0], [0.4], [2.0], [-5.0]], dtype=torch.float64)
    dist = SquashedGaussian(mean, torch.full((1,), math.log(std), dtype=torch.float64))
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    weight = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
    for i, m in enumerate(mean):
        one = SquashedGaussian(m.expand(len(z), 1), dist.log_std)
        exact = torch.trapezoid(-one.log_prob((m + std * z)[:, None]) * weight, z)
        assert float(dist.entropy()[i]) == pytest.approx(float(exact), abs=tolerance)

    def on_the_grid(mean: float, log_std: float) -> float:
        u = mean + math.exp(log_std) * z
        slope = 2 * (math.log(2) - u - torch.nn.functional.softplus(-2 * u))
        return float(torch.trapezoid(slope * weight, z)) + log_std

    log_std, step = math.log(std), 1e-4
    leaves = [mean.clone().requires_grad_(), torch.full((4, 1), log_std, dtype=torch.float64, requires_grad=True)]
    slopes = torch.autograd.grad(SquashedGaussian(*leaves).entropy().sum(), leaves)
    for i, m in enumerate(mean.flatten().tolist()):
        by_mean = on_the_grid(m + step, log_std) - on_the_grid(m - step, log_std)
        by_std = on_the_grid(m, log_std + step) - on_the_grid(m, log_std - step)
        assert float(slopes[0][i]) == pytest.approx(by_mean / (2 * step), abs=1e-6)
        assert float(slopes[1][i]) == pytest.approx(by_std / (2 * step), abs=1e-6)


def test_squashed_entropy_and_kl_by_monte_carlo() -> None:
    p, q = SquashedGaussian(normal(1, 3), 0.3 * normal(1, 3, seed=1)), squashed(1, 3, seed=2)
    u = SquashedGaussian(p.mean.expand(200_000, 3), p.log_std).sample(Generator().manual_seed(0))
    check_mean(-p.log_prob(u), p.entropy())
    check_mean(p.log_prob(u) - q.log_prob(u), p.kl(q))


def check_mean(samples: Tensor, expected: Tensor) -> None:
    error = samples.mean() - expected.squeeze()
    assert error.abs() < 4 * samples.std() / math.sqrt(len(samples))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("u", [-1e4, -40.0, -9.1, 9.1, 40.0, 1e4])
def test_far_out_under_tanh_everything_stays_finite(u: float, dtype: torch.dtype) -> None:
    """There tanh(u) is exactly ±1 (or nearly), log(1 − tanh²u) by itself −∞, and atanh of the action lost."""
    mean = torch.tensor([u], dtype=dtype, requires_grad=True)
    log_std = torch.tensor([0.3], dtype=dtype, requires_grad=True)
    dist = SquashedGaussian(mean, log_std)
    action = torch.tensor([u + 0.5], dtype=dtype)
    value = dist.log_prob(action)
    # log N(u + ½; u, σ²) + 2|u + ½| − 2 log 2 − …, the rest below e^{−18}
    expected = scipy.stats.norm.logpdf(0.5, scale=math.exp(0.3)) + 2 * abs(u + 0.5) - 2 * math.log(2)
    assert float(value.detach()) == pytest.approx(expected, rel=1e-5)
    (value + dist.entropy()).sum().backward()
    for parameter in (mean, log_std):
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


# --- Beta -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), GRID)
def test_beta_equals_scipys(a: float, b: float) -> None:
    dist = IndependentBeta(*torch.tensor([[a], [b]], dtype=torch.float64).unbind())
    ours: Any = scipy.stats.beta(a, b)
    for x in (1e-12, 1e-3, 0.2, 0.5, 0.999):
        logit = torch.tensor([scipy.special.logit(x)])
        assert float(dist.log_prob(logit)) == pytest.approx(ours.logpdf(x), rel=1e-9, abs=1e-9)
    assert float(dist.entropy()) == pytest.approx(ours.entropy(), rel=1e-7, abs=1e-7)


def test_beta_equals_torchs() -> None:
    p, q = beta(7, 5, 3), beta(7, 5, 3, seed=4)
    reference, other = (theirs.Independent(theirs.Beta(d.alpha, d.beta), 1) for d in (p, q))
    x = torch.rand(7, 5, 3, generator=Generator().manual_seed(2), dtype=torch.float64)
    close(p.log_prob(x.logit()), reference.log_prob(x))
    close(p.entropy(), reference.entropy())
    close(p.kl(q), theirs.kl_divergence(reference, other))


def test_beta_mode_is_where_the_density_peaks() -> None:
    p = beta(50, 1)
    around = [p.log_prob((p.mode.sigmoid() + shift).logit()) for shift in (-1e-4, 0.0, 1e-4)]
    inside = (p.mode.sigmoid() - 0.5).abs().squeeze() < 0.499
    assert inside.sum() > 40
    assert (around[1] > torch.maximum(around[0], around[2]))[inside].all()
    edges = IndependentBeta(torch.tensor([1.0, 1.0, 3.0]), torch.tensor([1.0, 4.0, 1.0]))
    assert edges.mode.sigmoid().tolist() == pytest.approx([0.5, 0, 1], abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (1.0, 1e4), (1e4, 1.0), (1.0 + 1e-6, 1.7), (1e4, 1e4)])
@pytest.mark.parametrize("logit", [-300.0, -30.0, 0.0, 30.0, 300.0])
def test_near_the_edges_the_beta_stays_finite(a: float, b: float, logit: float, dtype: torch.dtype) -> None:
    """Beyond a logit of 17 float32's x is exactly 1."""
    alpha, beta = (torch.tensor([x], dtype=dtype, requires_grad=True) for x in (a, b))
    dist = IndependentBeta(alpha, beta)
    (dist.log_prob(torch.tensor([logit], dtype=dtype)) + dist.entropy()).sum().backward()
    for x in (dist.log_prob(torch.tensor([logit], dtype=dtype)), dist.mode, alpha.grad, beta.grad):
        assert x is not None
        assert x.isfinite().all()


def test_beta_samples_by_kolmogorov_smirnov() -> None:
    n = 50_000
    for a, b in GRID[:-1]:
        dist = IndependentBeta(torch.full((n, 1), a), torch.full((n, 1), b))
        x = dist.sample(Generator().manual_seed(0)).double().sigmoid().flatten().numpy()
        assert scipy.stats.kstest(x, scipy.stats.beta(a, b).cdf).pvalue > 1e-3


def test_float32_loses_little_of_a_sharp_beta() -> None:
    """Log Γ(5000) is 38000: summed in float32 it would leave an error of 0.01 in a likelihood."""
    alpha, beta, u = torch.tensor([[5000.0], [7000.0], [-0.34]])
    single, double = IndependentBeta(alpha, beta), IndependentBeta(alpha.double(), beta.double())
    assert float(single.log_prob(u)) == pytest.approx(float(double.log_prob(u.double())), abs=1e-6)
    assert float(single.entropy()) == pytest.approx(float(double.entropy()), abs=1e-6)


# --- gSDE -------------------------------------------------------------------------------------------------------------


def test_state_dependent_likelihood_from_the_covariance_of_the_noise() -> None:
    """Built the long way: a = μ + (Iₐ ⊗ zᵀ) vec θ is Gaussian with covariance J diag(σ²) Jᵀ."""
    z, log_std, mean, action = normal(6, 4), 0.5 * normal(4, 3, seed=1), normal(6, 3, seed=2), normal(6, 3, seed=3)
    ours = DiagonalGaussian(mean, marginal_log_std(z, log_std)).log_prob(action)
    for s in range(6):
        jacobian = torch.zeros(3, 12, dtype=torch.float64)  # vec θ lists θ's columns
        for j in range(3):
            for i in range(4):
                jacobian[j, 4 * j + i] = z[s, i]
        covariance = jacobian @ torch.diag((2 * log_std).exp().T.flatten()) @ jacobian.T
        close(ours[s], theirs.MultivariateNormal(mean[s], covariance).log_prob(action[s]))


def test_the_decided_draw_is_the_mean_plus_its_noise() -> None:
    dist = state_dependent(6, 3)
    close(dist.sample(), dist.mean + dist.noise)
    close(dist.log_prob(dist.sample()), DiagonalGaussian(dist.mean, dist.log_std).log_prob(dist.sample()))


def test_no_feature_no_noise_and_nothing_infinite() -> None:
    z, log_std = torch.zeros(1, 4, requires_grad=True), torch.zeros(4, 2, requires_grad=True)
    out = marginal_log_std(z, log_std)
    out.sum().backward()
    for x in (out, z.grad, log_std.grad):
        assert x is not None
        assert x.isfinite().all()


# --- all --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dist", EACH, ids=lambda d: type(d).__name__)
def test_params_rebuild_it(dist: Distribution) -> None:
    assert isinstance(dist, Distribution)
    again = type(dist)(*dist.params)
    action = dist.sample(Generator().manual_seed(0))
    close(again.log_prob(action), dist.log_prob(action))
    close(again.kl(dist), torch.zeros(50, dtype=torch.float64), 1e-9)


@pytest.mark.parametrize("dist", EACH[:2], ids=lambda d: type(d).__name__)
def test_a_sample_depends_on_its_generator_alone(dist: Distribution) -> None:
    torch.manual_seed(1)
    first = dist.sample(Generator().manual_seed(7))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, dist.sample(Generator().manual_seed(7)))
    assert torch.equal(state, torch.get_rng_state()), "the global generator was called"
    assert not torch.equal(first, dist.sample(Generator().manual_seed(8)))


@pytest.mark.parametrize("kind", [SquashedGaussian, IndependentBeta])
def test_gradients_by_finite_differences(kind: type) -> None:
    first, second, other = (normal(4, 2, seed=i).exp() + 1 for i in range(3))
    action = kind(first, second).sample(Generator().manual_seed(0))

    def everything(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        p, q = kind(a, b), kind(other, other + 1)
        return p.log_prob(action), p.entropy(), p.kl(q), q.kl(p)

    assert torch.autograd.gradcheck(everything, (first.requires_grad_(), second.requires_grad_()))


def test_gradients_of_the_marginal_by_finite_differences() -> None:
    arguments = normal(4, 3).requires_grad_(), normal(3, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(marginal_log_std, arguments)
