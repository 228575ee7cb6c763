"""Targets of action values, beside loops, enumeration and closed forms."""

import math

import pytest
import torch
from torch import Generator, Tensor

from clipper.functional.q_targets import (
    chosen_value,
    clipped_double_q,
    double_q_value,
    expected_soft_value,
    greedy_value,
    inverted_gradient,
    smoothed_action,
    soft_value,
    td_target,
)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def test_the_greedy_value_is_the_best_of_what_is_legal() -> None:
    q, other = drawn(50, 4), drawn(50, 4, seed=1)
    legal = drawn(50, 4, seed=2) > -0.5
    legal[:, 0] = True
    for b in range(50):
        allowed = [k for k in range(4) if legal[b, k]]
        best = max(allowed, key=lambda k: float(q[b, k]))
        assert float(greedy_value(q, legal)[b]) == float(q[b, best])
        assert float(double_q_value(other, q, legal)[b]) == float(other[b, best])
    assert torch.equal(greedy_value(q), torch.tensor([max(row) for row in q.tolist()], dtype=torch.float64))


def test_of_several_critics_the_lowest_counts_for_each_state() -> None:
    q = drawn(3, 20)
    assert clipped_double_q(q).tolist() == [min(column) for column in zip(*q.tolist(), strict=True)]


def test_q_iteration_s_fixed_point_is_bellman_s() -> None:
    """Two states, two actions: to go on to the other one pays 1, to stay 0 and ends with 0.5; by hand, γ = 0.9."""
    after, reward = torch.tensor([[0, 1], [1, 0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]]).double()
    discount = torch.tensor([[0.0, 0.9], [0.0, 0.9]], dtype=torch.float64)  # to stay is the end
    q = torch.zeros(2, 2, dtype=torch.float64)
    for _ in range(400):
        q = td_target(reward, discount, greedy_value(q)[after])
    assert torch.allclose(q, torch.tensor([[0.0, 10.0], [0.0, 10.0]], dtype=torch.float64), atol=1e-6)
    soft = torch.zeros(2, 2, dtype=torch.float64)
    for _ in range(400):
        log_p = (soft / 0.5).log_softmax(-1)
        soft = td_target(reward, discount, expected_soft_value(soft, log_p, 0.5)[after])
    # In both states Q(stay) = 0 and Q(go) = 1 + 0.9 V with V = α log(1 + exp(Q(go)/α)).
    go = float(soft[0, 1])
    assert math.isclose(go, 1 + 0.9 * 0.5 * math.log1p(math.exp(go / 0.5)), rel_tol=1e-9)
    assert torch.allclose(soft, torch.tensor([[0.0, go], [0.0, go]], dtype=torch.float64))


def test_the_soft_value_of_the_best_policy_is_a_log_sum_of_exponentials() -> None:
    q, alpha = drawn(20, 5), 0.3
    best = (q / alpha).log_softmax(-1)
    assert torch.allclose(expected_soft_value(q, best, alpha), alpha * (q / alpha).logsumexp(-1))
    other = drawn(20, 5, seed=3).log_softmax(-1)
    assert (expected_soft_value(q, other, alpha) < alpha * (q / alpha).logsumexp(-1)).all()
    # The mean of samples' values is the exact one.
    each = torch.stack([soft_value(q[:, k], other[:, k], alpha) * other[:, k].exp() for k in range(5)])
    assert torch.allclose(each.sum(0), expected_soft_value(q, other, alpha))


def test_smoothing_stays_within_its_bounds() -> None:
    action, noise = torch.tensor([[0.9], [0.0], [-0.2]]), torch.tensor([[0.3], [2.0], [-0.1]])
    assert torch.allclose(smoothed_action(action, noise, 0.5), torch.tensor([[1.0], [0.5], [-0.3]]))


@pytest.mark.parametrize(
    ("action", "up", "down"), [(1.0, 0.0, 1.0), (-1.0, 1.0, 0.0), (0.0, 0.5, 0.5), (1.2, -0.1, 1.1)]
)
def test_an_inverted_gradient_shrinks_towards_the_bound(action: float, up: float, down: float) -> None:
    there = torch.tensor([action])
    assert math.isclose(float(inverted_gradient(torch.ones(1), there)), up, abs_tol=1e-6)
    assert math.isclose(float(inverted_gradient(-torch.ones(1), there)), -down, abs_tol=1e-6)


def test_one_action_s_value() -> None:
    q = drawn(6, 3)
    assert chosen_value(q, torch.tensor([0, 1, 2, 0, 1, 2])).tolist() == [float(q[i, i % 3]) for i in range(6)]
