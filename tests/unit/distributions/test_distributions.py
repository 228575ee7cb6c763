"""Densities against torch.distributions and quadrature, samples against what they should be distributed as."""

import math

import pytest
import torch
from torch import Generator, Tensor
from torch import distributions as theirs

from clipper.distributions import Categorical, DiagonalGaussian, Distribution


def assert_equal(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=dtype)


def gaussian_of_torch(mean: Tensor, log_std: Tensor) -> theirs.Independent:
    return theirs.Independent(theirs.Normal(mean, log_std.exp().expand_as(mean)), 1)


def test_categorical_equals_torchs() -> None:
    logits, other = 3 * normal(7, 5, 4), 3 * normal(7, 5, 4, seed=1)
    ours, reference = Categorical(logits), theirs.Categorical(logits=logits)
    action = torch.randint(4, (7, 5), generator=Generator().manual_seed(2))
    assert_equal(ours.log_prob(action), reference.log_prob(action))
    assert_equal(ours.entropy(), reference.entropy())
    divergence = theirs.kl_divergence(reference, theirs.Categorical(logits=other))
    assert_equal(ours.kl(Categorical(other)), divergence)
    assert torch.equal(ours.mode, logits.argmax(-1))


@pytest.mark.parametrize("scale", [(3,), (7, 5, 3)], ids=["one scale", "scale per state"])
def test_gaussian_equals_torchs(scale: tuple[int, ...]) -> None:
    mean, log_std, other = normal(7, 5, 3), normal(*scale, seed=1), normal(7, 5, 3, seed=2)
    ours, reference = DiagonalGaussian(mean, log_std), gaussian_of_torch(mean, log_std)
    action = normal(7, 5, 3, seed=3)
    assert_equal(ours.log_prob(action), reference.log_prob(action))
    assert_equal(ours.entropy(), reference.entropy())
    divergence = theirs.kl_divergence(reference, gaussian_of_torch(other, -log_std))
    assert_equal(ours.kl(DiagonalGaussian(other, -log_std)), divergence)
    assert torch.equal(ours.mode, mean)


@pytest.mark.parametrize("dist", [Categorical(normal(6, 3)), DiagonalGaussian(normal(6, 3), normal(3, seed=1))])
def test_params_rebuild_it(dist: Distribution) -> None:
    assert isinstance(dist, Distribution)
    again = type(dist)(*dist.params)
    action = dist.sample(Generator().manual_seed(0))
    assert_equal(again.log_prob(action), dist.log_prob(action))
    assert_equal(again.kl(dist), torch.zeros(6, dtype=torch.float64))


@pytest.mark.parametrize("dist", [Categorical(normal(50, 3)), DiagonalGaussian(normal(50, 3), normal(3, seed=1))])
def test_a_sample_depends_on_its_generator_alone(dist: Distribution) -> None:
    torch.manual_seed(1)
    first = dist.sample(Generator().manual_seed(7))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, dist.sample(Generator().manual_seed(7)))
    assert torch.equal(state, torch.get_rng_state()), "the global generator was called"
    assert not torch.equal(first, dist.sample(Generator().manual_seed(8)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_categorical_samples_by_chi_square(dtype: torch.dtype) -> None:
    p = torch.tensor([0.5, 0.3, 0.15, 0.04, 0.01], dtype=dtype)
    n = 200_000
    counts = Categorical(p.log().expand(n, 5)).sample(Generator().manual_seed(0)).bincount(minlength=5)
    chi_square = ((counts - n * p).square() / (n * p)).sum().item()
    assert chi_square < 18.5  # 4 degrees of freedom: exceeded once in a thousand seeds


def test_gaussian_samples_by_kolmogorov_smirnov() -> None:
    n = 100_000
    mean, log_std = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -1.5])
    x = DiagonalGaussian(mean.expand(n, 2), log_std).sample(Generator().manual_seed(0))
    uniform = theirs.Normal(mean, log_std.exp()).cdf(x).sort(0).values
    distance = (uniform - (torch.arange(n) + 0.5)[:, None] / n).abs().max().item()
    assert distance * math.sqrt(n) < 1.95  # exceeded once in a thousand seeds, for each component
    assert abs(torch.corrcoef(x.t())[0, 1].item()) < 4 / math.sqrt(n)


@pytest.mark.parametrize("impossible", [[0], [1], [3], [0, 3], [0, 1, 2]])
def test_what_has_no_probability_is_never_drawn(impossible: list[int]) -> None:
    logits = torch.zeros(4)
    logits[impossible] = -1e9
    counts = Categorical(logits.expand(1_000_000, 4)).sample(Generator().manual_seed(0)).bincount(minlength=4)
    assert (counts[impossible] == 0).all()
    assert counts.sum() == 1_000_000


@pytest.mark.parametrize("u", [0.0, 1 - 2.0**-24], ids=["least", "greatest"])
def test_the_edges_of_uniform_noise_draw_what_is_possible(u: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32 noise may be exactly 0, or exceed a sum of probabilities that rounding left below 1."""
    logits = normal(1000, 9, dtype=torch.float32)
    logits[:, [0, 4, 8]] = -1e9
    monkeypatch.setattr(torch, "rand", lambda size, **_: torch.full(size, u))
    drawn = Categorical(logits).sample()
    assert (drawn == (1 if u == 0 else 7)).all()


def test_categorical_stays_finite_where_a_logit_is_extreme() -> None:
    logits = torch.tensor([[0.0, -1e9, 0.0], [1e9, 0.0, 0.0]], requires_grad=True)
    dist = Categorical(logits)
    assert dist.entropy().tolist() == pytest.approx([math.log(2), 0])
    (dist.entropy().sum() + dist.log_prob(torch.tensor([0, 0])).sum()).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (1.5, -2.0), (-3.0, 1.0)])
def test_gaussian_density_integrates_to_one(mean: float, log_std: float) -> None:
    """And −∫ p log p is the entropy; ten standard deviations to each side, by the trapezium rule."""
    std = math.exp(log_std)
    x = torch.linspace(mean - 10 * std, mean + 10 * std, 4001, dtype=torch.float64)
    size = (len(x), 1)
    dist = DiagonalGaussian(torch.full(size, mean, dtype=torch.float64), torch.full(size, log_std, dtype=torch.float64))
    log_p = dist.log_prob(x[:, None])
    assert torch.trapezoid(log_p.exp(), x).item() == pytest.approx(1, rel=1e-12)
    assert -torch.trapezoid(log_p.exp() * log_p, x).item() == pytest.approx(dist.entropy()[0].item(), rel=1e-10)


def test_gradient_of_the_kl_at_itself_is_zero() -> None:
    logits = normal(5, 3).requires_grad_()
    Categorical(logits.detach()).kl(Categorical(logits)).sum().backward()
    mean, log_std = normal(5, 3).requires_grad_(), normal(3, seed=1).requires_grad_()
    DiagonalGaussian(mean.detach(), log_std.detach()).kl(DiagonalGaussian(mean, log_std)).sum().backward()
    for parameter in (logits, mean, log_std):
        assert parameter.grad is not None
        assert_equal(parameter.grad, torch.zeros_like(parameter))
