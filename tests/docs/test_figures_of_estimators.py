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
