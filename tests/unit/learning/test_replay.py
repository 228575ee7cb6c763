"""What a replay gives, beside a list that is searched row by row; targets beside enumeration."""

import math
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

from clipper.data.steps import Steps
from clipper.errors import ConfigError
from clipper.learning.replay import Replay, Transitions

GAMMA = 0.9


def scripted(seed: int, rows: int, columns: int) -> Steps:
    """Random episodes in next-step form: the row after an end is no decision, and holds the last observation."""
    g = Generator().manual_seed(seed)
    mask = torch.ones(rows, columns, dtype=torch.bool)
    done, terminated = (torch.zeros(rows, columns, dtype=torch.bool) for _ in range(2))
    for n in range(columns):
        for t in range(rows):
            mask[t, n] = t == 0 or not done[t - 1, n]
            done[t, n] = mask[t, n] and torch.rand((), generator=g) < 0.3
            terminated[t, n] = done[t, n] and torch.rand((), generator=g) < 0.5
    obs = torch.arange(rows * columns, dtype=torch.float32).view(rows, columns, 1)  # each row says which one it is
    reward = torch.randn(rows, columns, generator=g)
    action = torch.randint(5, (rows, columns), generator=g)
    return Steps(obs, action, torch.zeros(rows, columns), reward, terminated, done, mask)


def cut(steps: Steps, seed: int) -> Iterator[tuple[Steps, Tensor]]:
    """In segments of 1 to 4 rows, with what is seen after each."""
    g, ends = Generator().manual_seed(seed), [0]
    while ends[-1] < len(steps.mask) - 1:
        ends.append(min(ends[-1] + int(torch.randint(1, 5, (), generator=g)), len(steps.mask) - 1))
    for start, end in pairwise(ends):
        yield Steps(*(x[start:end] if isinstance(x, Tensor) else x for x in steps)), steps.obs[end]


def looked_up(steps: Steps, t: int, column: int, last: int, n: int) -> tuple[float, float, float]:
    """R, γᵐ and s′ of one decision, where ``last`` is the newest row that is kept."""
    total, m = 0.0, 0
    while True:
        total += GAMMA**m * float(steps.reward[t + m, column])
        ended, m = bool(steps.done[t + m, column]), m + 1
        if ended or m == n or t + m > last:
            break
    if steps.terminated[t + m - 1, column]:
        return total, 0.0, math.nan
    return total, GAMMA**m, float(steps.obs[t + m, column, 0])


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("capacity", [1000, 21])
def test_decisions_are_those_of_a_list(n: int, capacity: int) -> None:
    steps, replay = scripted(1, 70, 3), Replay(capacity)  # 21 are 7 rows, which are written ten times
    kept, end = capacity // 3, 0
    for segment, last_obs in cut(steps, 2):
        replay.add(segment, last_obs)
        end += len(segment.mask)
        if end < 5:
            continue
        batch = replay.sample(200, Generator().manual_seed(end), GAMMA, n)
        first = max(0, end - kept)
        rows, columns = batch.obs.squeeze(-1).long() // 3, batch.obs.squeeze(-1).long() % 3
        assert replay.decisions == int(steps.mask[first:end].sum())
        assert set(zip(rows.tolist(), columns.tolist(), strict=True)) <= set(
            map(tuple, (steps.mask[first:end].nonzero() + torch.tensor([first, 0])).tolist())
        )
        for k, (t, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
            reward, discount, after = looked_up(steps, t, column, end - 1, n)
            assert math.isclose(float(batch.reward[k]), reward, rel_tol=1e-5, abs_tol=1e-6)
            assert math.isclose(float(batch.discount[k]), discount, rel_tol=1e-6)
            assert math.isnan(after) or float(batch.next_obs[k]) == after
            assert int(batch.action[k]) == int(steps.action[t, column])


def test_each_decision_is_as_likely() -> None:
    steps, replay = scripted(3, 8, 2), Replay(100)
    replay.add(steps, steps.obs[-1] + 2)
    drawn = replay.sample(40_000, Generator().manual_seed(0), GAMMA).obs.flatten().long()
    count = torch.bincount(drawn, minlength=16)[steps.mask.flatten()].double()
    expected = count.sum() / len(count)
    assert torch.all(torch.bincount(drawn, minlength=16)[~steps.mask.flatten()] == 0)
    assert ((count - expected).abs() < 5 * expected.sqrt()).all()


def test_what_is_no_decision_and_what_follows_a_termination_is_never_read() -> None:
    steps = scripted(4, 40, 3)
    reward = steps.reward.masked_fill(~steps.mask, torch.nan)
    gone = torch.cat([torch.zeros(1, 3, dtype=torch.bool), steps.terminated[:-1]])
    obs = steps.obs.masked_fill(gone.unsqueeze(-1), torch.nan)
    batches = []
    for kind in (steps, steps._replace(reward=reward, obs=obs)):
        replay = Replay(1000)
        replay.add(kind, steps.obs[-1] + 3)
        batches.append(replay.sample(500, Generator().manual_seed(5), GAMMA, 3))
    for a, b in zip(*batches, strict=True):
        assert isinstance(a, tuple) or torch.equal(a, b)
    after_truncation = (steps.done & ~steps.terminated)[:-1].nonzero()[0]
    t, column = after_truncation.tolist()
    changed = steps.obs.clone()
    changed[t + 1, column] = -1.0
    replay = Replay(1000)
    replay.add(steps._replace(obs=changed), steps.obs[-1] + 3)
    assert (replay.sample(500, Generator().manual_seed(5), GAMMA).next_obs == -1).any()


def halves(steps: Steps, at: int) -> tuple[tuple[Steps, Tensor], tuple[Steps, Tensor]]:
    first, second = (
        Steps(*(x[part] if isinstance(x, Tensor) else x for x in steps)) for part in (slice(at), slice(at, None))
    )
    return (first, steps.obs[at]), (second, steps.obs[-1] + 3)


def equal(a: Transitions, b: Transitions) -> bool:
    return all(isinstance(x, tuple) or torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("capacity", [1000, 21])
def test_a_state_goes_on_as_if_never_saved(capacity: int) -> None:
    first, second = halves(scripted(6, 40, 3), 25)
    whole, saved = Replay(capacity), Replay(capacity)
    whole.add(*first)
    saved.load_state_dict({name: x.clone() for name, x in whole.state_dict().items()})
    assert saved.state_dict().keys() == whole.state_dict().keys()
    for replay in (whole, saved):
        replay.add(*second)
    assert equal(*(replay.sample(100, Generator().manual_seed(1), GAMMA, 3) for replay in (whole, saved)))


@pytest.mark.parametrize("before", [1000, 21])
@pytest.mark.parametrize("capacity", [6, 15, 30, 500])
def test_a_state_goes_into_a_ring_of_another_length(before: int, capacity: int) -> None:
    """The newest rows are kept, in their order, as by a replay that had this length from the first row on."""
    steps = scripted(6, 60, 3)
    (first, seen), (rest, _) = halves(steps, 25)
    saved, turned = Replay(before), Replay(capacity)
    saved.add(first, seen)
    turned.load_state_dict(saved.state_dict())
    assert (turned.columns, turned.decisions) == (3, 0)
    kept = min(25, before // 3, capacity // 3)
    for rows, replay in ((25, turned), (30, turned)):
        if rows > 25:
            replay.add(*halves(rest, rows - 25)[0])
            kept = min(kept + 5, capacity // 3)
            expected = Replay(3 * max(kept, 2))
            part = Steps(*(x[30 - kept : 30] if isinstance(x, Tensor) else x for x in steps))
            expected.add(part, steps.obs[30])
            assert turned.decisions == expected.decisions
            pair = (r.sample(100, Generator().manual_seed(1), GAMMA, 3) for r in (turned, expected))
            assert equal(*pair)
    again = Replay(capacity)
    again.load_state_dict(turned.state_dict())
    for replay in (turned, again):
        replay.add(*halves(rest, 17)[1])
    assert equal(*(replay.sample(100, Generator().manual_seed(1), GAMMA, 3) for replay in (turned, again)))
    assert all(torch.equal(x, again.state_dict()[name]) for name, x in turned.state_dict().items())


def test_a_state_of_another_form_is_refused() -> None:
    replay, other = Replay(100), Replay(100)
    replay.add(scripted(6, 10, 3), torch.zeros(3, 1))
    other.load_state_dict(replay.state_dict())
    assert other.columns == 3
    with pytest.raises(ConfigError, match=r"does not fit: its obs is no \[50, 2, 1\]"):
        other.add(scripted(6, 10, 2), torch.zeros(2, 1))


def test_observations_that_are_numbers_are_compared_each_with_its_own() -> None:
    (first, seen), (second, last) = halves(scripted(7, 40, 3), 20)
    flat = [x._replace(obs=x.obs.squeeze(-1).long()) for x in (first, second)]
    replay, broken = Replay(1000), flat[1].obs.clone()
    broken[0, 1] = -5
    replay.add(flat[0], seen.squeeze(-1).long())
    replay.add(flat[1]._replace(obs=broken), last.squeeze(-1).long())
    assert replay.kept is not None
    assert replay.kept.mask[19].tolist() == (first.mask[-1] & torch.tensor([True, False, True])).tolist()


def test_where_an_episode_was_broken_off_nothing_leads_to_the_next() -> None:
    (first, seen), (second, last) = halves(scripted(7, 40, 3), 20)
    replay = Replay(1000)
    replay.add(first, seen)
    before = replay.decisions
    broken = second.obs.clone()
    broken[0, 1] = -5.0
    replay.add(second._replace(obs=broken), last)
    assert replay.decisions == before + int(second.mask.sum()) - int(first.mask[-1, 1])
    assert not (replay.sample(2000, Generator().manual_seed(1), GAMMA).next_obs == -5).any()
    returns = replay.sample(2000, Generator().manual_seed(1), GAMMA, 4)
    rows, column = returns.obs.squeeze(-1).long() // 3, returns.obs.squeeze(-1).long() % 3
    before = (column == 1) & (rows < 20)
    assert before.any()
    assert (returns.next_obs.squeeze(-1)[before] // 3 <= 19).all()


def test_masks_of_the_next_state_come_along() -> None:
    steps = scripted(8, 30, 2)
    legal = torch.rand(30, 2, 4, generator=Generator().manual_seed(1)) < 0.7
    replay = Replay(1000)
    replay.add(steps._replace(action_mask=legal), steps.obs[-1] + 2)
    batch = replay.sample(500, Generator().manual_seed(2), GAMMA)
    row, after = batch.obs.long().squeeze(-1), batch.next_obs.long().squeeze(-1)
    assert torch.equal(batch.action_mask, legal[row // 2, row % 2])
    assert torch.equal(batch.next_mask, legal[after // 2, after % 2])
    assert int(row.max()) < 58  # what is legal after the newest row nobody knows


def test_room_for_two_rows_is_needed() -> None:
    with pytest.raises(ConfigError, match="no two rows"):
        Replay(5).add(scripted(1, 4, 3), torch.zeros(3, 1))


def test_a_replay_that_memory_has_no_room_for_is_refused_by_its_size() -> None:
    with pytest.raises(
        ConfigError, match=r"a replay of 10,000,000,000,000,000 decisions takes [\d,]+\.\d GB, .* lower it"
    ):
        Replay(10**16).add(scripted(1, 4, 3), torch.zeros(3, 1))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory in use is told on Linux")
def test_a_replay_takes_memory_as_it_is_filled() -> None:
    def in_use() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    steps = scripted(1, 4, 3)
    images = steps._replace(obs=torch.ones(*steps.mask.shape, 84, 84, 3, dtype=torch.uint8))
    before = in_use()
    replay = Replay(100_000)  # 2.1 GB of images
    replay.add(images, images.obs[0])
    assert in_use() - before < 3e8


def test_a_replay_without_a_decision_to_learn_from_says_so() -> None:
    steps = scripted(1, 4, 3)
    replay = Replay(100)
    replay.add(steps._replace(mask=torch.zeros_like(steps.mask)), torch.zeros(3, 1))
    with pytest.raises(ConfigError, match="none is a decision"):
        replay.sample(3, Generator().manual_seed(0), GAMMA)
