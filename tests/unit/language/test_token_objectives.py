"""Losses of token batches against formulas written out plainly, values and gradients."""

import math

import pytest
import torch
from torch import Generator, Tensor

from clipper.functional.importance import masked_weight, truncated_weight
from clipper.functional.objectives import cispo, clip, pairwise_joint, pairwise_separate


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def gradient(loss: Tensor, *by: Tensor) -> Tensor:
    return torch.stack(torch.autograd.grad(loss.sum(), by, retain_graph=True))


def test_cispo_weighs_the_score_function_by_a_clipped_ratio() -> None:
    """MiniMax 2025, eqs 4 and 5: every token keeps a gradient, r̂ Â ∇log π."""
    old, advantage = normal(200, seed=0), normal(200, seed=1)
    log_prob = (old + normal(200, seed=2)).requires_grad_()
    actual = gradient(cispo(log_prob - old, advantage, 0.2, 0.28), log_prob)
    weight = (log_prob - old).exp().clamp(max=1.28).detach()
    torch.testing.assert_close(actual, gradient(-weight * advantage * log_prob, log_prob), rtol=1e-12, atol=0)
    clipped = gradient(clip(log_prob - old, advantage, 0.2, 0.28), log_prob)
    assert (actual != 0).all()
    assert (clipped == 0).any()


@pytest.mark.parametrize("spread", [0.05, 0.5, 3.0])
def test_joint_pairs_are_as_the_authors_write_them(spread: float) -> None:
    """Algorithm and code of P3O have log π itself, not the ratio to π_old: another value, the same gradient."""
    old = normal(2, 300, seed=0)
    first, second = (x.requires_grad_() for x in old + spread * normal(2, 300, seed=1))
    gap, bound, c = normal(300, seed=2), 0.2, 10.0
    actual = pairwise_joint(gap, first - old[0], second - old[1], bound, c)
    w = ((first - old[0]) + (second - old[1])).exp().clamp(1 / c, c).detach()
    d, d_old = first - second, old[0] - old[1]
    clipped = torch.maximum(torch.minimum(d, d_old + bound), d_old - bound)
    theirs = torch.maximum(-gap * w * d, -gap * w * clipped) / 2
    torch.testing.assert_close(gradient(actual, first, second), gradient(theirs, first, second), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(actual, theirs + gap * w * d_old / 2, rtol=1e-9, atol=1e-10)
    if spread > 1:
        assert (gradient(actual, first)[0] == 0).any()
        assert ((w == c) | (w == 1 / c)).any()


@pytest.mark.parametrize("loss", [pairwise_joint, pairwise_separate])
def test_pairs_may_change_places(loss: object) -> None:
    assert callable(loss)
    gap, first, second = normal(100, seed=0), normal(100, seed=1), normal(100, seed=2)
    torch.testing.assert_close(loss(gap, first, second, 0.2, 10.0), loss(-gap, second, first, 0.2, 10.0))


def test_separate_pairs_by_hand() -> None:
    """(r₁, r₂, q) → half of clip(r₁, q·r₂) + clip(r₂, −q·r₁), factors within [1/c, c]."""
    for r1, r2, q, expected in (
        (1.1, 0.9, 2.0, (-1.1 * 2 * 0.9 + 0.9 * 2 * 1.1) / 2),
        (1.5, 0.9, 2.0, (-1.2 * 1.8 + 0.9 * 3.0) / 2),
        (50.0, 0.9, -2.0, (50.0 * 1.8 - 0.9 * 2 * 10) / 2),
    ):
        gap, first, second = (torch.tensor([x]) for x in (q, math.log(r1), math.log(r2)))
        actual = pairwise_separate(gap, first, second, 0.2, 10.0)
        assert actual.item() == pytest.approx(expected, rel=1e-5)


def test_weights_of_another_sampler() -> None:
    log_weight = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0, 800.0], requires_grad=True)
    truncated = truncated_weight(log_weight, 2.0)
    assert not truncated.requires_grad
    torch.testing.assert_close(truncated, torch.tensor([math.exp(-3), math.exp(-0.5), 1.0, math.exp(0.5), 2.0, 2.0]))
    masked = masked_weight(log_weight, 0.5, 2.0)
    torch.testing.assert_close(masked, torch.tensor([0.0, math.exp(-0.5), 1.0, math.exp(0.5), 0.0, 0.0]))
    assert not masked.requires_grad
