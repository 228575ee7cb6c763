"""Every surrogate that PPO may hold: by hand in each region, at θ_old, against each other, and in what comes of it."""

import math
import typing
from copy import deepcopy

import pytest
import torch
from batches import Kind, make_steps, small_policy
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from clipper.algorithms import PPO
from clipper.data.values import is_protocol
from clipper.functional.objectives import (
    clip,
    conservative,
    dual_clip,
    policy_gradient,
    rollback,
    spo,
    trust_region,
    trust_region_rollback,
)
from clipper.learning.advantages import with_old
from clipper.learning.kl import Exact
from clipper.learning.objectives import (
    SPO,
    Clip,
    DualClip,
    Objective,
    Rollback,
    TrustRegion,
    TrustRegionRollback,
    Unclipped,
)

OBJECTIVES = pytest.mark.parametrize(
    "objective",
    [kind() for kind in typing.get_args(Objective) if not is_protocol(kind)],
    ids=lambda o: type(o).__name__,
)


def double(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


def losses(objective: Objective, log_ratio: Tensor, advantage: Tensor, kl: Tensor) -> Tensor:
    return objective(log_ratio, advantage, 0.1, 0.3, *([kl] if getattr(objective, "needs_kl", False) else []))


# (ratio, Â, KL, loss, ∂loss/∂log r) with ε_low = 0.1 and ε_high = 0.3; ∂/∂log r = r ∂/∂r.
DUAL = DualClip(c=2.0)
BACK = Rollback(alpha=0.5)
REGION = TrustRegion(delta=0.01)
TRULY = TrustRegionRollback(delta=0.01, alpha=5.0)
CELLS = [
    (DUAL, 1.5, -2.0, 0.0, 3.0, 3.0),  # clip's −r Â = 3 is below c |Â| = 4
    (DUAL, 2.5, -2.0, 0.0, 4.0, 0.0),  # −r Â = 5 is not
    (DUAL, 2.5, 2.0, 0.0, -2.6, 0.0),  # Â > 0: clip's own
    (DUAL, 0.5, -2.0, 0.0, 1.8, 0.0),
    (BACK, 1.2, 2.0, 0.0, -2.4, -2.4),  # inside
    (BACK, 1.5, 2.0, 0.0, -2.4, 1.5),  # F = 1.3 − 0.5 · 0.2 = 1.2; downhill is back: 0.5 · 1.5 · 2
    (BACK, 1.5, -2.0, 0.0, 3.0, 3.0),  # min is the plain one
    (BACK, 0.5, -2.0, 0.0, 2.2, -0.5),  # F = 0.9 + 0.5 · 0.4 = 1.1
    (BACK, 0.5, 2.0, 0.0, -1.0, -1.0),
    (REGION, 1.5, 2.0, 0.009, -3.0, -3.0),  # within the region nothing is clipped
    (REGION, 1.5, 2.0, 0.011, -2.0, 0.0),  # outside, and better off than at r = 1: let go
    (REGION, 0.5, 2.0, 0.011, -1.0, -1.0),  # outside, and worse off
    (REGION, 0.5, -2.0, 0.011, 2.0, 0.0),
    (REGION, 1.5, -2.0, 0.011, 3.0, 3.0),
    (TRULY, 1.5, 2.0, 0.009, -3.0, -3.0),
    (TRULY, 1.5, 2.0, 0.03, -2.9, -3.0),  # + 5 · 0.02
    (TRULY, 0.5, 2.0, 0.03, -1.0, -1.0),
    (TRULY, 0.5, -2.0, 0.03, 1.1, 1.0),
    (SPO(), 1.3, 2.0, 0.0, -2.6 + 0.3, 0.0),  # at the best ratio: 2 · 0.09 / 0.6 = 0.3
    (SPO(), 0.9, -2.0, 0.0, 1.8 + 0.1, 0.0),
    (SPO(), 1.6, 2.0, 0.0, -3.2 + 1.2, -3.2 + 2 * 0.6 / 0.3 * 1.6),
    (SPO(), 0.5, 2.0, 0.0, -1.0 + 2 * 0.25 / 0.6, -1.0 - 2 * 0.5 / 0.3 * 0.5),
    (Unclipped(), 5.0, 2.0, 1.0, -10.0, -10.0),
]


@pytest.mark.parametrize(("objective", "r", "advantage", "kl", "loss", "gradient"), CELLS)
def test_by_hand(objective: Objective, r: float, advantage: float, kl: float, loss: float, gradient: float) -> None:
    log_ratio = double(math.log(r))
    actual = losses(objective, log_ratio, double(advantage), double(kl))
    [slope] = torch.autograd.grad(actual.sum(), log_ratio)
    assert actual.item() == pytest.approx(loss, rel=1e-12)
    assert slope.item() == pytest.approx(gradient, rel=1e-12, abs=1e-12)


def test_the_kl_itself_is_pulled_back() -> None:
    """∂loss/∂KL = α outside the region, on the side that gains; 0 elsewhere."""
    for r, advantage, kl, slope in ((1.5, 2.0, 0.03, 5.0), (1.5, 2.0, 0.005, 0.0), (0.5, 2.0, 0.03, 0.0)):
        divergence = double(kl)
        losses(TRULY, double(math.log(r)), double(advantage), divergence).sum().backward()
        assert divergence.grad is not None
        assert divergence.grad.item() == slope


@OBJECTIVES
def test_at_theta_old_each_has_the_policy_gradient(objective: Objective) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    advantage = torch.randn(50, generator=generator, dtype=torch.float64)
    log_prob = logits.log_softmax(-1)[torch.arange(50), torch.randint(4, (50,), generator=generator)]
    kl = (logits.detach().softmax(-1) * (logits.detach().log_softmax(-1) - logits.log_softmax(-1))).sum(-1)
    [expected] = torch.autograd.grad(policy_gradient(log_prob, advantage).sum(), logits, retain_graph=True)
    [actual] = torch.autograd.grad(losses(objective, log_prob - log_prob.detach(), advantage, kl).sum(), logits)
    torch.testing.assert_close(actual, expected, rtol=1e-14, atol=1e-14)


numbers = st.floats(-5, 5)
rows = st.lists(st.tuples(numbers, numbers, st.floats(0, 0.1)), min_size=1, max_size=20)


@given(rows)
def test_limits_and_bounds(cells: list[tuple[float, float, float]]) -> None:
    """Each becomes another at an end of its own parameter; each but the dual clip is a lower bound of L^CPI."""
    x, a, kl = torch.tensor(cells, dtype=torch.float64).unbind(1)
    plain, clipped = conservative(x, a), clip(x, a, 0.2, 0.2)

    def same(one: Tensor, other: Tensor) -> bool:
        return torch.allclose(one, other, rtol=1e-12, atol=1e-12)

    assert same(rollback(x, a, 0.2, 0.2, 0.0), clipped)
    assert same(dual_clip(x, a, 0.2, 0.2, math.exp(6)), clipped)
    assert same(trust_region(x, a, kl, 1.0), plain)
    assert same(trust_region_rollback(x, a, kl, 0.01, 0.0), plain)
    assert same(spo(x, a, 1e30, 1e30), plain)
    assert (dual_clip(x, a, 0.2, 0.2, 3.0) <= clipped).all()
    assert (rollback(x, a, 0.2, 0.2, 0.3) >= clipped).all()
    for bound in (
        clipped, rollback(x, a, 0.2, 0.2, 0.3), trust_region(x, a, kl, 0.02),
        trust_region_rollback(x, a, kl, 0.02, 5.0), spo(x, a, 0.2, 0.2),
    ):  # fmt: skip
        assert (bound >= plain).all()


@pytest.mark.parametrize(("advantage", "best"), [(2.0, 1.3), (-2.0, 0.9), (0.01, 1.3)])
def test_spo_is_best_at_its_own_bound(advantage: float, best: float) -> None:
    r = torch.linspace(0.5, 2, 15001, dtype=torch.float64)
    loss = spo(r.log(), torch.full_like(r, advantage), 0.1, 0.3)
    assert float(r[loss.argmin()]) == pytest.approx(best, abs=1e-4)


@OBJECTIVES
@pytest.mark.parametrize("extreme", [-800.0, 800.0])
def test_extreme_ratios_stay_finite(objective: Objective, extreme: float) -> None:
    for advantage in (-3.0, 0.0, 3.0):
        log_ratio = torch.tensor([extreme], requires_grad=True)
        loss = losses(objective, log_ratio, torch.tensor([advantage]), torch.tensor([0.5])).sum()
        loss.backward()
        assert log_ratio.grad is not None
        assert loss.isfinite()
        assert log_ratio.grad.isfinite().all()


def kl_after(objective: Objective, kind: Kind) -> float:
    """Mean KL(π_old ‖ π) after 20 full steps on one batch, measured from two policies held side by side."""
    policy = small_policy(kind)
    old = deepcopy(policy)
    settings = PPO(objective=objective, epochs=20, minibatches=1, learning_rate=0.04)
    steps, last = make_steps(policy, rows=64, envs=4, seed=0)
    settings.update(settings.init(policy), steps, last)
    with torch.no_grad():
        return old.act(steps.obs[steps.mask])[0].kl(policy.act(steps.obs[steps.mask])[0]).mean().item()


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_each_holds_the_policy_back(kind: Kind) -> None:
    """Where the plain surrogate runs far away; those that pull back stay nearer than the one that lets go."""
    free, clipped = kl_after(Unclipped(), kind), kl_after(Clip(), kind)
    assert free > 0.1
    assert clipped < 0.6 * free
    for objective in (SPO(), TrustRegion(0.02), TrustRegionRollback(0.02, 50.0)):
        assert kl_after(objective, kind) < 0.5 * free, objective
    assert kl_after(Rollback(1.0), kind) < clipped


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_exact_kl_is_reported_where_asked_or_needed(kind: Kind) -> None:
    policy = small_policy(kind).double()
    old = deepcopy(policy)
    steps, last = make_steps(policy, rows=20, envs=3, seed=0)
    sampled, exact, needed = PPO(), PPO(kl=Exact()), PPO(objective=TrustRegion())
    learner = exact.init(policy)
    plain = sampled.targets(learner, steps, last)
    targets = [plain, *(with_old(policy, a.targets(learner, steps, last)) for a in (exact, needed))]
    with torch.no_grad():
        learner.parameters.add_(0.1 * torch.randn(learner.parameters.shape, generator=learner.generator).double())
        now, before = policy.act(steps.obs)[0], old.act(steps.obs)[0]
        expected = before.kl(now)[steps.mask].mean().item()
    kl = [a.loss(learner, t)[1]["policy/kl"].item() for a, t in zip((sampled, exact, needed), targets, strict=True)]
    assert kl[1] == pytest.approx(expected, rel=1e-10)
    assert kl[2] == kl[1] != kl[0]
    assert targets[0].old == ()
    rebuilt = type(now)(*with_old(old, targets[0]).old)
    assert rebuilt.kl(before).abs().max() == 0
