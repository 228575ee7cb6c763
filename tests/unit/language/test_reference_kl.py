"""KL to a reference in a loss: values and gradients by enumeration, of states and of whole responses."""

from collections.abc import Callable

import pytest
import tiny_language as tiny
import torch
from tiny_language import Table, cosine
from torch import Tensor

from clipper.functional.objectives import kl_estimates
from clipper.functional.reference_kl import k3_of_reference, k3_with_gradient_of_k2, weighted_k3

POLICY, REFERENCE = Table(0), Table(1)


def of_responses(estimate: Callable[[Tensor, Tensor], Tensor], of: Table = POLICY) -> Tensor:
    """E of an estimate from log π(y|x) and log π_ref(y|x), samples from π held fixed."""
    total = torch.zeros((), dtype=torch.float64)
    for x in range(tiny.PROMPTS):
        own = tiny.log_probs(of, x)
        total = total + (own.detach().exp() * estimate(own, tiny.log_probs(REFERENCE, x).detach())).sum()
    return total


def exact(of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for x in range(tiny.PROMPTS):
        total = total + of(tiny.log_probs(POLICY, x), tiny.log_probs(REFERENCE, x).detach()).sum()
    return total


def gradient(y: Tensor) -> Tensor:
    return torch.autograd.grad(y, POLICY.logits, retain_graph=True)[0]


KL = exact(lambda own, frozen: own.exp() * (own - frozen))
REVERSE = exact(lambda own, frozen: frozen.exp() * (frozen - own))
TOWARDS, OTHER_WAY = gradient(KL), gradient(REVERSE)


def same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def test_k1_has_the_value_and_no_gradient() -> None:
    k1 = of_responses(lambda own, frozen: kl_estimates(frozen - own)[0])
    same(k1, KL)
    assert gradient(k1).abs().max() < 1e-14


def test_k2_has_the_gradient_and_another_value() -> None:
    k2 = of_responses(lambda own, frozen: kl_estimates(frozen - own)[1])
    assert abs(k2 / KL - 1) > 0.1
    same(gradient(k2), TOWARDS)


def test_k3_has_the_value_and_the_gradient_of_the_other_direction() -> None:
    k3 = of_responses(k3_of_reference)
    same(k3, KL)
    same(gradient(k3), OTHER_WAY)
    assert cosine(OTHER_WAY, TOWARDS) < 0.95


def test_k3_with_gradient_of_k2_has_both() -> None:
    term = of_responses(k3_with_gradient_of_k2)
    same(term, KL)
    same(gradient(term), TOWARDS)


@pytest.mark.parametrize("seed", [0, 2])
def test_weighted_k3_has_both_off_policy_too(seed: int) -> None:
    """Samples come from ``sampler``, which is π itself or another policy."""
    sampler = Table(seed)
    total = torch.zeros((), dtype=torch.float64)
    for x in range(tiny.PROMPTS):
        own, frozen, old = (tiny.log_probs(p, x) for p in (POLICY, REFERENCE, sampler))
        term = weighted_k3(own, frozen.detach(), own - old.detach())
        total = total + (old.detach().exp() * term).sum()
    same(total, KL)
    same(gradient(total), TOWARDS)


@pytest.mark.parametrize("term", [k3_with_gradient_of_k2, k3_of_reference], ids=["k2", "k3"])
def test_token_by_token_the_gradient_is_that_of_states_held_fixed(term: Callable[[Tensor, Tensor], Tensor]) -> None:
    """The value is the responses' KL, the gradient is not: that an early token leads to later states has no share."""
    own, frozen = POLICY.logits.log_softmax(-1), REFERENCE.logits.log_softmax(-1).detach()
    towards, back = (own.exp() * (own - frozen)).sum(-1), (frozen.exp() * (frozen - own)).sum(-1)
    of_state = back if term is k3_of_reference else towards
    total, fixed = torch.zeros(2, dtype=torch.float64)
    for x in range(tiny.PROMPTS):
        for y, probability in zip(tiny.EVERY[x], tiny.log_probs(POLICY, x).detach().exp(), strict=True):
            at = list(y.states), list(y.tokens)
            total = total + probability * term(own[at], frozen[at]).sum()
            fixed = fixed + probability * of_state[list(y.states)].sum()
    same(total, KL)
    actual = gradient(total)
    same(actual, gradient(fixed))
    assert cosine(actual, TOWARDS) < 0.995
