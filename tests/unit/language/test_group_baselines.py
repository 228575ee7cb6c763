"""Comparisons within a prompt's responses, against plain loops over them."""

import pytest
import torch
from torch import Generator, Tensor

from clipper.functional.groups import counts, group_mean, group_standardise, leave_one_out, pairs

GROUP = torch.tensor([7, -2, 7, 7, -2, 40, 0, 0])
X = torch.randn(8, generator=Generator().manual_seed(0), dtype=torch.float64)


def members(i: int) -> list[int]:
    return [j for j in range(len(GROUP)) if GROUP[j] == GROUP[i]]


def test_means_and_counts() -> None:
    expected = [sum(X[j].item() for j in members(i)) / len(members(i)) for i in range(8)]
    torch.testing.assert_close(group_mean(X, GROUP), torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=0)
    assert counts(GROUP).tolist() == [len(members(i)) for i in range(8)]


def test_leave_one_out() -> None:
    for i, actual in enumerate(leave_one_out(X, GROUP).tolist()):
        others = [X[j].item() for j in members(i) if j != i]
        assert actual == pytest.approx(X[i].item() - sum(others) / len(others) if others else 0.0, rel=1e-13)


@pytest.mark.parametrize("correction", [0, 1])
def test_standardise(correction: int) -> None:
    actual = group_standardise(X, GROUP, correction, eps=1e-3)
    for i in range(8):
        own = X[members(i)]
        std = own.std(correction=correction).item() if len(own) > 1 else 0.0
        assert actual[i].item() == pytest.approx((X[i] - own.mean()).item() / (std + 1e-3), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("level", [0.0, 0.1, 1e6])
def test_a_group_without_differences_teaches_nothing(level: float) -> None:
    x = torch.full((3,), level)
    assert group_standardise(x, torch.zeros(3, dtype=torch.long)).tolist() == [0.0] * 3
    assert leave_one_out(x, torch.zeros(3, dtype=torch.long)).abs().max() <= 1e-6 * level


def test_pairs_are_all_of_a_prompt_once() -> None:
    first, second = pairs(GROUP)
    found = {(min(p), max(p)) for p in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(found) == len(first)
    assert found == {(i, j) for i in range(8) for j in members(i) if i < j}


def test_a_shift_of_a_prompts_rewards_changes_nothing() -> None:
    shift: Tensor = GROUP.double() * 10
    for f in (leave_one_out, group_standardise):
        torch.testing.assert_close(f(X + shift, GROUP), f(X, GROUP), rtol=1e-10, atol=1e-10)
