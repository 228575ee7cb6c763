"""KLs of whole distributions in the kernels, over trees of actions, beside the definition in float64."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from batches import decisions
from random_trees import shake
from test_action_trees import drawn
from test_gradients import gradient_of
from torch import Generator

from clipper.algorithms import PPO, PPOPenalty
from clipper.data.steps import Targets
from clipper.data.trees import each, leaves
from clipper.engines.cpu.engine import CPU
from clipper.learning.action_parts import Joint, PerPart
from clipper.learning.advantages import with_old
from clipper.learning.kl import Exact
from clipper.learning.objectives import TrustRegion, TrustRegionRollback

DELTA = 0.02
LOSSES: dict[str, Any] = {
    "exact": lambda parts: PPO(kl=Exact(), parts=parts, clip=0.5),
    "trust-region": lambda parts: PPO(objective=TrustRegion(DELTA), parts=parts, clip=0.5),
    "rollback": lambda parts: PPO(objective=TrustRegionRollback(DELTA, 5.0), parts=parts, entropy_coef=0.05, clip=0.5),
    "penalty": lambda _: PPOPenalty(beta=3.0, entropy_coef=0.05),
}


@torch.no_grad()
def away_from_kinks(policy: Any, targets: Targets) -> Targets:
    """Without the rows where rounding decides on which side of an edge a ratio or a KL lies."""
    steps = targets.steps
    dist, _ = policy(steps.obs, (), steps.action_mask)
    old = type(dist)(*targets.old)
    ratios, kls = [dist.log_prob(steps.action) - steps.log_prob], [old.kl(dist)]
    if steps.log_probs:
        ratios += leaves(each(torch.sub, dist.log_probs(steps.action), steps.log_probs))
        kls += leaves(old.kls(dist))
    clear = [(x.exp() - edge).abs() > 1e-3 for x in ratios for edge in (0.5, 1.0, 1.5)]
    clear = [near | (x == 0) for near, x in zip(clear, [x for x in ratios for _ in range(3)], strict=True)]
    clear += [(x - DELTA).abs() > 1e-4 for x in kls]
    return targets._replace(steps=steps._replace(mask=steps.mask & torch.stack(clear).all(0)))


def run_kernels(engine: CPU, before: Any, targets: Targets) -> np.ndarray:
    """The gradient of all decisions, π_old as ``before`` has it; the means of what is watched."""
    steps, parameters = targets.steps, engine.learner.parameters.data
    keep, now = np.flatnonzero(steps.mask.numpy()), parameters.clone()
    parameters.copy_(torch.cat([p.detach().flatten() for p in before.parameters()]))
    rows = engine.rows(targets, keep)
    parameters.copy_(now)
    return gradient_of(engine, rows, engine.loss(rows, keep, steps), keep)


def check(seed: int, name: str) -> None:
    policy, targets, rng = drawn(seed)
    before, generator = copy.deepcopy(policy), Generator().manual_seed(seed)
    shake(policy, 0.05, generator)
    algorithm = LOSSES[name]((Joint if rng.random() < 0.5 else PerPart)())
    targets = away_from_kinks(policy, with_old(before, targets))
    single, double = copy.deepcopy(policy), copy.deepcopy(policy).double()
    batch = decisions(targets)
    algorithm.loss(algorithm.init(single), batch)[0].backward()
    exact = decisions(with_old(copy.deepcopy(before).double(), each(doubled, targets)))
    loss, metrics = algorithm.loss(algorithm.init(double), exact)
    loss.backward()
    engine = CPU(algorithm.init(policy), algorithm)
    watched = run_kernels(engine, before, targets)
    assert watched[3] == pytest.approx(float(metrics["policy/kl"]), rel=1e-4, abs=1e-6), (seed, name)
    for i, own in enumerate(x for key, x in metrics.items() if key.startswith("policy/kl/")):
        assert watched[11 + 3 * i] == pytest.approx(float(own), rel=1e-4, abs=1e-6), (seed, name)
    whole = torch.cat([q.grad.flatten() for q in double.parameters() if q.grad is not None]).norm()
    for (key, p), q, r in zip(policy.named_parameters(), double.parameters(), single.parameters(), strict=True):
        assert p.grad is not None
        expected = torch.zeros_like(q) if q.grad is None else q.grad
        cost = 0.0 if r.grad is None else float((r.grad - expected).norm())
        limit = max(1e-5 * float(expected.norm()) + 1e-6 * float(whole), 2 * cost)
        assert float((p.grad - expected).norm()) <= limit, (seed, name, key)


def doubled(x: torch.Tensor) -> torch.Tensor:
    """In float64, if it is a number that has a fraction."""
    return x.double() if x.is_floating_point() else x


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_the_definition_s(name: str) -> None:
    for seed in range(10):
        check(seed, name)


@pytest.mark.long
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_over_many_trees_are_the_definition_s(name: str) -> None:
    for seed in range(100, 200):
        check(seed, name)
