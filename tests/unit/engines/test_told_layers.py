"""The definition's losses on layers that kernels compute, beside the definition, whose gradients are in float64."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from batches import decisions, make_steps, small_policy
from random_trees import shake, targets_for
from test_action_trees import drawn
from torch import Generator

import clipper
from clipper.algorithms import PPO, VPG, Algorithm, ImportanceSampling, PPOPenalty, PPOSeparate
from clipper.data.trees import each
from clipper.engines.choose import unknown
from clipper.engines.cpu.losses_by_torch import LossesByTorch
from clipper.engines.eager import Torch
from clipper.learning.advantages import with_old
from clipper.learning.kl import Exact
from clipper.networks.critics import TwoHot
from clipper.networks.policy_options import PolicyOptions

PENALTY: Any = PPOPenalty(beta=3.0, kl_target=1e-4, hinge=2.0, entropy_coef=0.05)


def check_gradient(policy: Any, algorithm: Any, targets: Any, rows: str) -> None:
    """Each parameter's is the definition's in float64: to 1e-5 and 1e-6 of the whole, or twice float32's own error."""
    single, double = copy.deepcopy(policy), copy.deepcopy(policy).double()
    learner = algorithm.init(policy)
    engine = LossesByTorch(learner, algorithm, unknown(algorithm))
    batch = decisions(targets)
    with engine.on_kernels():
        algorithm.loss(learner, batch)[0].backward()
    algorithm.loss(algorithm.init(single), batch)[0].backward()
    batch = each(lambda x: x.double() if x.is_floating_point() else x, batch)
    algorithm.loss(algorithm.init(double), batch)[0].backward()
    whole = torch.cat([q.grad.flatten() for q in double.parameters() if q.grad is not None]).norm()
    assert whole > 0
    for (name, p), q, r in zip(policy.named_parameters(), double.parameters(), single.parameters(), strict=True):
        assert p.grad is not None
        expected = torch.zeros_like(q) if q.grad is None else q.grad
        cost = 0.0 if r.grad is None else float((r.grad - expected).norm())
        limit = max(1e-5 * float(expected.norm()) + 1e-6 * float(whole), 2 * cost)
        assert float((p.grad - expected).norm()) <= limit, (rows, name)


@pytest.mark.parametrize("seed", range(12))
def test_gradients_of_exact_kls_over_trees_are_the_definition_s(seed: int) -> None:
    policy, targets, _ = drawn(seed)
    before = copy.deepcopy(policy)
    shake(before, 0.05, Generator().manual_seed(seed))
    check_gradient(policy, PENALTY, with_old(before, targets), str(seed))


def test_gradients_of_a_critic_over_bins_are_the_definition_s() -> None:
    generator = Generator().manual_seed(1)
    policy = small_policy("categorical", PolicyOptions(hidden=(9, 5), critic=TwoHot(31, 4.0)))
    shake(policy, 0.2, generator)
    targets = targets_for(policy, policy.encoder.space, 200, np.random.default_rng(1))
    check_gradient(policy, PPO(value_loss=clipper.value_losses.CrossEntropy()), targets, "bins")


def absolute(value: Any, target: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """A value loss of one's own."""
    return (value.mean - target).abs()


ALGORITHMS = {
    "penalty": PENALTY,
    "own-objective": PPO(epochs=2, objective=lambda log_ratio, advantage, low, high: -log_ratio.exp() * advantage),
    "kl-adaptive": PPO(epochs=2, learning_rate=clipper.schedules.KLAdaptive()),
    "weight-decay": PPO(epochs=2, optimizer=clipper.optimizers.Adam(weight_decay=0.1)),
    "importance": ImportanceSampling(),
    "vpg": VPG(value_loss=absolute),
    "separate": PPOSeparate(epochs=3, value_epochs=3, kl=Exact(), value_loss=absolute),
}  # fmt: skip


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("kind", ["several", "gaussian"])
def test_update_is_the_definition_s(kind: Any, name: str) -> None:
    algorithm: Algorithm = ALGORITHMS[name]
    options = PolicyOptions(hidden=(16, 16), normalise_obs=True, normalise_returns=True)
    learners = [algorithm.init(small_policy(kind, options), seed=5) for _ in range(2)]
    engines = LossesByTorch(learners[0], algorithm, unknown(algorithm)), Torch(learners[1], algorithm)
    for iteration in range(3):
        steps, last = make_steps(learners[1].policy, 65, 4, seed=iteration)
        ours, theirs = (engine.update(steps, last) for engine in engines)
        assert {k: float(x) for k, x in ours.items()} == pytest.approx(
            {k: float(x) for k, x in theirs.items()}, 1e-3, 1e-4
        )
    distance = (learners[0].parameters - learners[1].parameters).norm() / learners[1].parameters.norm()
    assert distance < 1e-4
    for (key, x), y in zip(learners[0].state_dict().items(), learners[1].state_dict().values(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-4, msg=key)
