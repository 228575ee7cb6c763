"""What the figures on estimators say is what theory says."""

import sys
from types import ModuleType

import pytest
import torch
from scipy.stats import binom
from walk import committed, recipe


def test_centring_shrinks_by_one_mth_and_the_raw_noise_grows_with_the_level() -> None:
    """One game's estimate is S (H + c) with S = H − Tp, H binomial."""
    found, (length, p, batch) = committed("return_normalisation"), (10, 0.3, 16)
    heads = torch.arange(length + 1.0, dtype=torch.float64)
    chance = torch.tensor(binom.pmf(heads, length, p))
    exact = length * p * (1 - p)
    for i, offset in enumerate(found["offset"]):
        second = (chance * ((heads - length * p) * (heads + offset)) ** 2).sum().item()
        assert found["noise G"][i] == pytest.approx(((second - exact**2) / batch) ** 0.5 / exact, rel=0.1)
        assert found["noise G − μ"][i] == pytest.approx(found["noise G − μ"][0], rel=0.02)
    for size, shrunk, scaled in zip(found["M"], found["bias G − μ"], found["bias (G − μ)/σ"], strict=True):
        assert shrunk == pytest.approx(1 - 1 / size, rel=0.02)
        assert shrunk < scaled < 1


@pytest.fixture(scope="module")
def streak() -> ModuleType:
    recipe("importance_sampling")
    return sys.modules["streak"]


@pytest.mark.parametrize("p", [0.3, 0.8])
def test_the_streak_is_what_it_says(streak: ModuleType, p: float) -> None:
    """Probabilities sum to 1, J = V(0), and ∇J is its finite difference."""
    value, played = streak.value, streak.games(6)
    chance = streak.probability(played, p)
    assert chance.sum().item() == pytest.approx(1)
    assert (chance * (played.reward * played.mask).sum(0)).sum().item() == pytest.approx(value(p, 6)[0].item())
    theta, h = torch.tensor(p, dtype=torch.float64).logit(), 1e-6
    ends = [value(torch.sigmoid(theta + sign * h).item(), 6)[0].item() for sign in (1, -1)]
    assert streak.exact_gradient(p, 6) == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-7)


def test_the_first_order_form_keeps_the_states_and_the_future_of_mu(streak: ModuleType) -> None:
    """In closed form: Σₜ μᵗ p (1 − p) (1 + V_μ(t + 1)); the products are unbiased, and the noisier the longer."""
    module, found = recipe("importance_sampling"), committed("importance_sampling")
    future = streak.value(module.MU)
    for i, p in enumerate(module.POLICIES):
        first_order = sum(module.MU**t * p * (1 - p) * (1 + future[t + 1].item()) for t in range(10))
        exact = sum(k * p**k * (1 - p) for k in range(1, 11))
        assert found["bias rₜ"][i] == pytest.approx(first_order / exact - 1, abs=1e-12)
        assert found["bias Π r"][i] == pytest.approx(0, abs=1e-12)
        assert found["bias Π≤t r"][i] == pytest.approx(0, abs=1e-12)
        assert i == 0 or found["std Π r"][i] > found["std Π≤t r"][i] > found["std rₜ"][i]


def test_lambda_one_has_no_bias_and_a_true_critic_none_at_all(streak: ModuleType) -> None:
    """And λ = 0 without a critic sees only the step's own reward: Σₜ pᵗ p (1 − p). The best λ falls with V̂'s error."""
    module, found = recipe("gae"), committed("gae")
    own = sum(module.P**t * module.P * (1 - module.P) for t in range(10))
    assert found["bias V̂ = 0"][0] == pytest.approx(own / streak.exact_gradient(module.P) - 1)
    assert found["bias V̂ = V"] == pytest.approx([0] * len(module.LAMBDAS), abs=1e-12)
    best = []
    for name in module.CRITICS:
        bias = found[f"bias {name}"]
        assert bias[-1] == pytest.approx(0, abs=1e-12)
        assert bias == pytest.approx(sorted(bias), abs=1e-12)
        best.append(min(range(len(bias)), key=found[f"rms {name}"].__getitem__))
    assert 0 < best[0] < best[1] < best[2] < len(module.LAMBDAS) - 1


def test_the_trust_region_holds_and_the_gradient_leaves_the_hill() -> None:
    """F of a Gaussian in (μ, log σ) is diag(1/σ², 2), so that the natural step is known."""
    module, found = recipe("trust_regions"), committed("trust_regions")
    theta = torch.tensor(module.START, dtype=torch.float64).requires_grad_()
    gradient = torch.autograd.grad(module.expected_reward(theta), theta)[0]
    x = gradient / torch.stack([(-2 * theta[1].detach()).exp(), torch.tensor(2.0)])
    expected = (2 * module.DELTA / (gradient @ x)).sqrt() * x
    assert module.step("F⁻¹∇", theta.detach()).tolist() == pytest.approx(expected.tolist(), rel=1e-6)
    assert max(found["KL TRPO"]) <= module.DELTA < max(found["KL F⁻¹∇"]) < 2 * module.DELTA
    assert found["J TRPO"] == sorted(found["J TRPO"])
    assert found["J TRPO"][-1] > 0.99
    assert max(found["KL ∇"]) > 100
    assert found["J ∇"][-1] < 1e-5 < found["J ∇"][0]


def test_expected_reward_is_the_integral() -> None:
    module, nodes = recipe("trust_regions"), torch.linspace(-40, 40, 400_001, dtype=torch.float64)
    reward = (-((nodes - module.TARGET) ** 2) / (2 * module.WIDTH**2)).exp()
    for theta in (torch.tensor([0.5, 0.3]).double(), torch.tensor([3.0, -1.0]).double()):
        density = module.policy(theta).log_prob(nodes[:, None]).exp()
        assert torch.trapezoid(density * reward, nodes).item() == pytest.approx(module.expected_reward(theta).item())


def test_beta_follows_the_rule_and_finds_the_band() -> None:
    """Each update ends where the penalised surrogate is highest: among many points around it."""
    module, found = recipe("kl_penalties"), committed("kl_penalties")
    for beta in module.BETAS:
        betas, kls = found[f"β {beta:g}"], found[f"KL {beta:g}"]
        for before, kl, after in zip(betas, kls, betas[1:], strict=False):
            factor = 2 if kl > 1.5 * module.TARGET else 0.5 if kl < module.TARGET / 1.5 else 1
            assert after == before * factor
        assert any(module.TARGET / 1.5 <= kl <= 1.5 * module.TARGET for kl in kls)
    p, weight = (torch.tensor(x, dtype=torch.float64) for x in (0.3, 0.7))
    q = torch.linspace(0.001, 0.999, 9999, dtype=torch.float64)
    kl = module.tosses(p.expand_as(q)).kl(module.tosses(q))
    assert module.climb(p, weight).item() == pytest.approx(q[(q - p - weight * kl).argmax()].item(), abs=1e-3)


def test_the_first_and_third_estimates_are_unbiased() -> None:
    found = committed("kl_penalties")
    for name in ("k₁", "k₃"):
        assert found[f"mean {name}"] == pytest.approx(found["KL"], abs=1e-12)
    for kl, k2, first, third in zip(found["KL"], found["mean k₂"], found["std k₁"], found["std k₃"], strict=True):
        assert k2 > kl
        assert first > 5 * third
