"""The estimators by linear recurrence equal the papers' sums, whatever the masks, and never read what is masked."""

from typing import NamedTuple

import numpy as np
import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from clipper.functional.importance import log_product_so_far, log_whole_product
from clipper.functional.returns import (
    discounted_sum_so_far,
    gae,
    linear_recurrence,
    n_step,
    reward_to_go,
    total_return,
    vtrace,
)

GAP, STEP, TERMINATION, TRUNCATION = range(4)
# Relative to the sum of all magnitudes in a column; γ itself is rounded to float32, and that to the power T.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-14}


class Segment(NamedTuple):
    """Random rows; whatever no equation may read is NaN, and flags of rows that are no decision are arbitrary."""

    reward: Tensor
    value: Tensor
    terminated: Tensor
    done: Tensor
    mask: Tensor
    gamma: float
    lam: float

    @property
    def atol(self) -> float:
        size = self.reward.nan_to_num().abs().sum(0).max() + self.value.nan_to_num().abs().sum(0).max()
        return TOLERANCE[self.reward.dtype] * (1 + float(size))


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    t, n = draw(st.integers(1, 20)), draw(st.integers(1, 3))
    dtype = draw(st.sampled_from(list(TOLERANCE)))
    kind = torch.from_numpy(draw(arrays(np.int64, (t, n), elements=st.integers(GAP, TRUNCATION))))
    numbers = st.floats(-100, 100, width=32)
    reward = torch.from_numpy(draw(arrays(np.float64, (t, n), elements=numbers))).to(dtype)
    value = torch.from_numpy(draw(arrays(np.float64, (t + 1, n), elements=numbers))).to(dtype)
    if draw(st.booleans()):  # columns padded at their end
        kind[draw(st.integers(0, t - 1)) :, draw(st.integers(0, n - 1))] = GAP
    mask, terminated = kind != GAP, kind == TERMINATION
    done = terminated | (kind == TRUNCATION)
    noise = torch.from_numpy(draw(arrays(np.bool_, (t, n))))
    reward[~mask] = torch.nan
    read = torch.zeros_like(value, dtype=torch.bool)
    read[:-1] |= mask
    read[1:] |= mask & ~terminated
    value[~read] = torch.nan
    gamma = draw(st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
    lam = draw(st.sampled_from([0.0, 0.3, 0.95, 1.0]))
    return Segment(reward, value, terminated | (noise & ~mask), done | (noise & ~mask), mask, gamma, lam)


def assert_columns(actual: Tensor, expected: list[list[float]], s: Segment) -> None:
    assert actual.dtype == s.reward.dtype
    wanted = torch.tensor(expected, dtype=torch.float64).t()
    torch.testing.assert_close(actual.double(), wanted, rtol=0, atol=s.atol)


@given(segments())
def test_gae_is_the_weighted_sum_of_k_step_advantages(s: Segment) -> None:
    fields = (s.reward, s.value, s.terminated, s.done, s.mask)
    expected = reference.per_column(reference.gae, *fields, gamma=s.gamma, lam=s.lam)
    assert_columns(gae(*s), expected, s)


@given(segments())
def test_gae_of_lambda_0_is_the_temporal_difference(s: Segment) -> None:
    fields = (s.reward, s.value, s.terminated, s.mask)
    expected = reference.per_column(reference.temporal_difference, *fields, gamma=s.gamma)
    assert_columns(gae(*s._replace(lam=0.0)), expected, s)


@given(segments())
def test_reward_to_go_is_the_discounted_sum_to_the_end(s: Segment) -> None:
    expected = reference.per_column(reference.reward_to_go, s.reward, s.done, s.mask, gamma=s.gamma)
    assert_columns(reward_to_go(s.reward, s.done, s.mask, s.gamma), expected, s)


@given(segments(), st.floats(-10, 10))
def test_discounted_sum_so_far_is_the_sum_over_the_episode_so_far(s: Segment, carry: float) -> None:
    start = torch.full_like(s.reward[0], carry)
    total, left = discounted_sum_so_far(s.reward, s.done, s.mask, s.gamma, start)
    carried = float(start[0])
    expected = reference.per_column(
        reference.discounted_sum_so_far, s.reward, s.done, s.mask, gamma=s.gamma, carry=carried
    )
    assert_columns(total.masked_fill(~s.mask, 0), [column for column, _ in expected], s)
    assert_columns(left[None], [[c] for _, c in expected], s)


def recorded_together(s: Segment) -> Segment:
    """As episodes are recorded: what comes before a gap is an end."""
    done = s.done.clone()
    done[:-1] |= ~s.mask[1:]
    return s._replace(done=done)


@given(segments())
def test_total_return_is_the_sum_over_the_whole_episode(s: Segment) -> None:
    s = recorded_together(s)
    expected = reference.per_column(reference.total_return, s.reward, s.done, s.mask, gamma=s.gamma)
    assert_columns(total_return(s.reward, s.done, s.mask, s.gamma).masked_fill(~s.mask, 0), expected, s)


@given(segments(), st.integers(1, 25))
def test_n_step_is_the_sum_of_n_rewards_and_a_value(s: Segment, n: int) -> None:
    s = recorded_together(s)
    fields = (s.reward, s.value, s.terminated, s.done, s.mask)
    expected = reference.per_column(reference.n_step, *fields, gamma=s.gamma, n=n)
    assert_columns(n_step(*fields, s.gamma, n).masked_fill(~s.mask, 0), expected, s)


@given(segments(), st.data())
def test_vtrace_is_the_papers_sum(s: Segment, data: st.DataObject) -> None:
    log_ratio = torch.from_numpy(
        data.draw(arrays(np.float64, tuple(s.mask.shape), elements=st.floats(-1, 1, width=32)))
    ).to(s.reward.dtype)
    log_ratio[~s.mask] = torch.nan
    bounds = {"lam": s.lam, "rho_bar": data.draw(st.sampled_from([0.5, 1.0, 2.0])), "c_bar": 1.0}
    fields = (s.reward, s.value, log_ratio, s.terminated, s.done, s.mask)
    expected = reference.per_column(reference.vtrace, *fields, gamma=s.gamma, **bounds)
    assert_columns(vtrace(*fields, s.gamma, **bounds), expected, s._replace(reward=3 * s.reward))


@given(segments())
def test_vtrace_on_policy_is_gae(s: Segment) -> None:
    """π = μ: every ratio is 1, and eq 2 of the paper is the n-step Bellman target, GAE's with the same λ."""
    same = torch.zeros_like(s.reward)
    actual = vtrace(s.reward, s.value, same, s.terminated, s.done, s.mask, s.gamma, s.lam)
    torch.testing.assert_close(actual, gae(*s), rtol=0, atol=s.atol)


@given(segments())
def test_products_of_ratios_are_the_sums_over_the_episode(s: Segment) -> None:
    log_ratio, done = s.value[:-1].masked_fill(~s.mask, 0), recorded_together(s).done
    expected = reference.per_column(reference.log_products, log_ratio, done, s.mask)
    for i, product in enumerate((log_product_so_far, log_whole_product)):
        actual = product(log_ratio, done, s.mask).masked_fill(~s.mask, 0)
        assert_columns(actual, [[row[i] for row in column] for column in expected], s)


@given(segments(), st.data())
def test_cutting_a_segment_changes_no_discounted_sum(s: Segment, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(s.mask) - 1))
    start = torch.ones_like(s.reward[0])
    whole, end = discounted_sum_so_far(s.reward, s.done, s.mask, s.gamma, start)
    carry, parts = start, []
    for rows in (slice(0, cut), slice(cut, None)):
        if len(s.mask[rows]):
            part, carry = discounted_sum_so_far(s.reward[rows], s.done[rows], s.mask[rows], s.gamma, carry)
            parts.append(part)
    torch.testing.assert_close(torch.cat(parts)[s.mask], whole[s.mask], rtol=0, atol=s.atol)
    torch.testing.assert_close(carry, end, rtol=0, atol=s.atol)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 9, 63, 64, 65, 1000])
def test_linear_recurrence_is_the_loop(length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    b, a = torch.randn(2, length, 3, generator=generator, dtype=torch.float64)
    x, expected = torch.zeros(3, dtype=torch.float64), []
    for t in reversed(range(length)):
        x = b[t] + a[t] * x
        expected.append(x)
    torch.testing.assert_close(linear_recurrence(b, a), torch.stack(expected[::-1]), rtol=1e-10, atol=1e-10)


def test_a_long_undiscounted_float32_return_keeps_its_digits() -> None:
    """10⁵ rewards of 0.1 sum to 10⁴ within float32's relative rounding, which a running sum in float32 would miss."""
    reward = torch.full((100_000, 1), 0.1)
    no = torch.zeros_like(reward, dtype=torch.bool)
    total = reward_to_go(reward, no, ~no, 1.0)[0]
    torch.testing.assert_close(
        total.double(), torch.tensor([100_000 * float(reward[0, 0])]).double(), rtol=1e-6, atol=0
    )


@given(segments())
def test_nothing_crosses_an_episodes_edge(s: Segment) -> None:
    """Rows after an end, or before a beginning, change no bit of an advantage."""
    row = len(s.mask) // 2
    done, mask = s.done.clone(), s.mask.clone()
    done[row], mask[row] = True, True
    reward, value = s.reward.nan_to_num(), s.value.nan_to_num()
    before = gae(reward, value, s.terminated, done, mask, s.gamma, s.lam)
    reward[row + 1 :] += 1
    value[row + 2 :] -= 1
    after = gae(reward, value, s.terminated, done, mask, s.gamma, s.lam)
    assert torch.equal(before[: row + 1], after[: row + 1])
