"""Products with the Fisher information by kernels, beside the definition's second differentiation in float64."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from batches import decisions
from test_action_trees import drawn

from clipper.algorithms import NPG
from clipper.data.trees import each
from clipper.engines.cpu.engine import CPU
from clipper.engines.cpu.natural import NaturalStep
from clipper.functional.linear import fisher_vector_product, flat_gradient


def doubled(x: torch.Tensor) -> torch.Tensor:
    """In float64, if it is a number that has a fraction."""
    return x.double() if x.is_floating_point() else x


def definition(policy: Any, batch: Any, v: torch.Tensor) -> torch.Tensor:
    """F v by differentiating the mean KL twice."""
    parameters = policy.actor_parameters()
    old = each(torch.detach, policy.act(batch.steps.obs, (), batch.steps.action_mask)[0].params)
    new = policy.act(batch.steps.obs, (), batch.steps.action_mask)[0]
    kl = type(new)(*old).kl(new).mean()
    return fisher_vector_product(flat_gradient(kl, parameters, create_graph=True), parameters, v)


def check(seed: int) -> None:
    policy, targets, rng = drawn(seed)
    if policy.critic is policy.actor:  # a natural gradient moves the actor apart
        return
    algorithm, size = NPG(damping=0.0), sum(p.numel() for p in policy.actor_parameters())
    v, batch = torch.from_numpy(rng.normal(size=size)), decisions(targets)
    expected = definition(copy.deepcopy(policy).double(), each(doubled, batch), v)
    single = definition(copy.deepcopy(policy), batch, v.float())
    engine = CPU(algorithm.init(policy), algorithm, threads=int(rng.integers(1, 3)))
    keep = np.flatnonzero(targets.steps.mask.numpy())
    rows = engine.rows(targets, keep)
    found = NaturalStep(engine, algorithm, rows, engine.loss(rows, keep, targets.steps), keep).product(v.float())
    limit = max(1e-5 * float(expected.norm()), 2 * float((single - expected).norm()))
    assert float((found - expected).norm()) <= limit, seed


@pytest.mark.parametrize("seed", range(24))
def test_products_over_trees_are_the_definition_s(seed: int) -> None:
    check(seed)


@pytest.mark.long
def test_products_over_many_trees_are_the_definition_s() -> None:
    for seed in range(100, 300):
        check(seed)
