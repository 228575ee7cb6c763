"""Losses against values and gradients worked out by hand, torch's own, and exact expectations."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from clipper.functional.objectives import (
    LARGEST_LOG_RATIO,
    clip,
    clipped_squared_error,
    conservative,
    huber,
    kl_estimates,
    policy_gradient,
)

# (ratio, Â, loss, ∂loss/∂log r), with ε_low = 0.1 and ε_high = 0.3; ∂(−r Â)/∂log r = −r Â.
CLIP_CELLS = [
    (0.5, 2.0, -1.0, -1.0),  # below the range, good action: pull it back up
    (0.5, -2.0, 1.8, 0.0),  # below, bad action: already rare enough, −0.9 Â
    (1.2, 2.0, -2.4, -2.4),  # inside
    (1.2, -2.0, 2.4, 2.4),  # inside
    (1.5, 2.0, -2.6, 0.0),  # above, good action: already likely enough, −1.3 Â
    (1.5, -2.0, 3.0, 3.0),  # above, bad action: pull it back down
    (1.0, 2.0, -2.0, -2.0),  # at θ_old, where the two arguments of the minimum tie
    (1.0, -2.0, 2.0, 2.0),
    (1.2, 0.0, 0.0, 0.0),
]


def double(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(("r", "advantage", "loss", "gradient"), CLIP_CELLS)
def test_clip_by_hand(r: float, advantage: float, loss: float, gradient: float) -> None:
    log_ratio = double(math.log(r))
    actual = clip(log_ratio, double(advantage), 0.1, 0.3)
    actual.sum().backward()
    assert log_ratio.grad is not None
    assert actual.item() == pytest.approx(loss, rel=1e-12)
    assert log_ratio.grad.item() == pytest.approx(gradient, rel=1e-12)


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.2), (0.2, 0.28), (0.5, 0.1)])
def test_clip_stops_exactly_outside_its_own_bound(low: float, high: float) -> None:
    """Just inside each bound the gradient is −r Â, just outside it is 0, on the side that the advantage favours."""
    for bound, advantage, outwards in ((1 + high, 1.0, 1), (1 - low, -1.0, -1)):
        for side, expected in ((-1, -advantage * bound), (1, 0.0)):
            log_ratio = double(math.log(bound * (1 + side * outwards * 1e-9)))
            clip(log_ratio, double(advantage), low, high).sum().backward()
            assert log_ratio.grad is not None
            assert log_ratio.grad.item() == pytest.approx(expected, rel=1e-6)


def test_conservative_and_policy_gradient_by_hand() -> None:
    log_ratio, log_prob, advantage = double(math.log(3.0)), double(-0.7), double(-2.0)
    assert conservative(log_ratio, advantage).item() == pytest.approx(6.0)
    assert policy_gradient(log_prob, advantage).item() == pytest.approx(-1.4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("extreme", [-800.0, 800.0])
@pytest.mark.parametrize("advantage", [-3.0, 0.0, 3.0])
def test_extreme_ratios_stay_finite(dtype: torch.dtype, extreme: float, advantage: float) -> None:
    log_ratio = torch.tensor([extreme], dtype=dtype, requires_grad=True)
    weight = torch.tensor([advantage], dtype=dtype)
    terms = [
        conservative(log_ratio, weight),
        clip(log_ratio, weight, 0.2, 0.2),
        *kl_estimates(log_ratio),
    ]
    loss = torch.stack(terms).sum()
    loss.backward()
    assert log_ratio.grad is not None
    assert loss.isfinite()
    assert log_ratio.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ratios_within_the_bound_keep_every_bit(dtype: torch.dtype) -> None:
    """And so do their gradients, beside the formula without a bound."""
    found = []
    for bounded in (True, False):
        log_ratio = torch.linspace(-30, LARGEST_LOG_RATIO, 4001, dtype=dtype).requires_grad_()
        weight = torch.linspace(-2, 3, 4001, dtype=dtype)
        r = log_ratio.exp()
        losses = (
            [conservative(log_ratio, weight), clip(log_ratio, weight, 0.2, 0.3)]
            if bounded
            else [-r * weight, -torch.minimum(r * weight, r.clamp(0.8, 1.3) * weight)]
        )
        (gradient,) = torch.autograd.grad(torch.stack(losses).sum(), log_ratio)
        found.append([*losses, gradient])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


ERRORS = [-30.0, -1.5, -1.0, -0.3, 0.0, 1e-3, 0.99, 1.01, 7.0]


@pytest.mark.parametrize("delta", [0.5, 1.0, 3.0])
def test_huber_is_twice_torchs(delta: float) -> None:
    """Twice, so that near the target it is the squared error that it replaces."""
    value, other = double(*ERRORS), double(*ERRORS)
    target = torch.full_like(value, 0.25)
    ours, theirs = huber(value, target, delta), 2 * F.huber_loss(other, target, reduction="none", delta=delta)
    torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=0)
    ours.sum().backward()
    theirs.sum().backward()
    torch.testing.assert_close(value.grad, other.grad, rtol=1e-14, atol=0)


def test_huber_without_bound_is_the_squared_error() -> None:
    value, target = double(*ERRORS), torch.zeros(len(ERRORS), dtype=torch.float64)
    expected = F.mse_loss(value, target, reduction="none")
    torch.testing.assert_close(huber(value, target, 1e3), expected, rtol=1e-14, atol=0)


# V_old = 1, bound 0.5: (V, R, loss, ∂loss/∂V).
VALUE_CLIP_CELLS = [
    (1.2, 2.0, 0.64, -1.6),  # inside the bound: plain squared error
    (0.9, 0.0, 0.81, 1.8),
    (1.9, 3.0, 2.25, 0.0),  # moved past +0.5 towards the target: nothing more to gain, (1.5 − 3)²
    (0.2, -1.0, 2.25, 0.0),  # past −0.5 towards it
    (1.9, 0.0, 3.61, 3.8),  # past the bound, away from the target: pulled back
    (0.2, 2.0, 3.24, -3.6),
]


@pytest.mark.parametrize(("v", "target", "loss", "gradient"), VALUE_CLIP_CELLS)
def test_value_clip_by_hand(v: float, target: float, loss: float, gradient: float) -> None:
    value = double(v)
    actual = clipped_squared_error(value, double(1.0), double(target), 0.5)
    actual.sum().backward()
    assert value.grad is not None
    assert actual.item() == pytest.approx(loss, rel=1e-12)
    assert value.grad.item() == pytest.approx(gradient, rel=1e-12)


logits = st.lists(st.floats(-5, 5), min_size=4, max_size=4)


@given(logits, logits)
def test_kl_estimators_are_unbiased(behaviour: list[float], current: list[float]) -> None:
    """E over a ~ μ of each estimator, by enumeration, is KL(μ ‖ π)."""
    mu, pi = double(*behaviour).softmax(0), double(*current).softmax(0)
    exact = F.kl_div(pi.log(), mu, reduction="sum")
    log_ratio = pi.log() - mu.log()
    k1, k2, k3 = kl_estimates(log_ratio)
    for estimate in (k1, k3):
        torch.testing.assert_close((mu * estimate).sum(), exact, rtol=1e-12, atol=1e-12)
    assert (k3 >= 0).all()
    torch.testing.assert_close(k2, k1 * k1 / 2)


def test_kl_k3_keeps_its_digits_near_zero() -> None:
    """(r − 1) − log r ≈ x²/2 for a small log ratio x: 1 − r by subtraction would lose it in float32."""
    x = torch.tensor([1e-3, -1e-3])
    torch.testing.assert_close(kl_estimates(x)[2], x.square() / 2, rtol=1e-2, atol=0)
