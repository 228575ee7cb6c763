"""n-step transitions of collected rows, in every autoreset mode, beside the script that made them."""

import math
from typing import Any

import pytest
import torch
from rollout.scripted import BACKENDS, ScriptedPolicy, scripted_envs
from torch import Generator

from clipper.learning.replay import Replay
from clipper.rollout.vector_rollouts import VectorRollouts

GAMMA, NUMBER, ROWS = 0.9, 3, 12


def length(number: int, episode: int) -> int:
    return 1 + (3 * number + 5 * episode) % 7


def expected(obs: list[float], actions: dict[tuple[int, ...], float], n: int) -> list[tuple[float, float, int]]:
    """(R, γᵐ or 0, time of s′) for each m ≤ n that could be all that is kept yet; the last one where nothing is cut."""
    number, episode, time = (int(x) for x in obs[:3])
    total, found = 0.0, []
    for m in range(1, n + 1):
        t = time + m
        total += GAMMA ** (m - 1) * (math.sin(number + 2 * episode + 3 * t) + actions[number, episode, t - 1])
        ended = t == length(number, episode)
        terminated = ended and (number + episode) % 2 == 0
        found.append((total, 0.0 if terminated else GAMMA**m, t))
        if ended or (number, episode, t) not in actions:  # its end, or the newest row
            break
    return found


@pytest.mark.parametrize("backend", [x for x in BACKENDS if not x.startswith("async")])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_what_is_sampled_is_what_the_script_says(backend: str, n: int) -> None:
    """The ring of 12 rows is written more than three times; terminations and truncations fall anywhere in it."""
    rollouts, policy, replay = VectorRollouts(scripted_envs(NUMBER, backend)), ScriptedPolicy(), Replay(NUMBER * ROWS)
    actions: dict[tuple[int, ...], float] = {}
    ends = {"terminated": 0, "truncated": 0, "going on": 0}
    for segment in range(16):
        steps, last = rollouts.collect(policy, horizon=3)
        replay.add(steps, last)
        for t, column in steps.mask.nonzero().tolist():
            place = tuple(int(x) for x in steps.obs[t, column, :3])
            actions[place] = float(steps.action[t, column, 0].float())
        batch = replay.sample(60, Generator().manual_seed(segment), GAMMA, n)
        for obs, action, reward, discount, after in zip(
            batch.obs.tolist(), batch.action, batch.reward, batch.discount, batch.next_obs.tolist(), strict=True
        ):
            place = tuple(int(x) for x in obs[:3])
            assert float(action.float()) == actions[place]
            right, share, time = expected(obs, actions, n)[-1]
            assert float(reward) == pytest.approx(right, abs=1e-5)
            assert float(discount) == pytest.approx(share, abs=1e-6)
            if share:  # also where it was cut off: the last observation, not the next episode's first one
                assert [int(x) for x in after[:3]] == [*place[:2], time]
            cut = time == length(*place[:2])
            ends["terminated" if not share else "truncated" if cut else "going on"] += 1
    assert replay.written > 3 * ROWS
    assert min(ends.values()) > 50
    rollouts.close()


@pytest.mark.parametrize("backend", ["serial", "sync same_step"])
def test_a_ring_holds_the_last_rows_of_a_list(backend: str) -> None:
    """What a ring gives is what a replay gives in which just its rows were ever put."""
    rollouts, policy = VectorRollouts(scripted_envs(NUMBER, backend)), ScriptedPolicy()
    ring, rows = Replay(NUMBER * ROWS), []
    for segment in range(16):
        steps, last = rollouts.collect(policy, horizon=3)
        rows += [
            type(steps)(*(x[t : t + 1] if isinstance(x, torch.Tensor) else x for x in steps))
            for t in range(len(steps.mask))
        ]
        ring.add(steps, last)
        fresh = Replay(NUMBER * ROWS)
        kept = rows[-ROWS:]
        fields: Any = ((torch.cat(x) if isinstance(x[0], torch.Tensor) else ()) for x in zip(*kept, strict=True))
        fresh.add(type(steps)(*fields), last)
        one, other = (x.sample(50, Generator().manual_seed(segment), GAMMA, 3) for x in (ring, fresh))
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True) if isinstance(a, torch.Tensor))
    rollouts.close()
