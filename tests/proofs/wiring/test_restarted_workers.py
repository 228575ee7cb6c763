"""Environments made anew after a failure begin anew: no flag of before, a seed of their own; actions stay as sent."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wiring.dying import Dying

from clipper.environments.checks import RESTARTED
from clipper.environments.vector.serial import Serial
from clipper.environments.vector.workers import Workers

ENVS = 4
NOTHING = np.zeros((ENVS, 2), np.float32)
pytestmark = pytest.mark.filterwarnings("ignore:.*made anew")


@pytest.fixture
def made() -> Iterator[list[Any]]:
    envs: list[Any] = []
    yield envs
    for env in envs:
        env.close()


def four(made: list[Any], ends: str = "truncated", processes: int = 2, **last: Any) -> Any:
    """In two processes, or in this one (0); ``last`` says how the last of them fails."""
    factories = [partial(Dying, ends, **(last if i == ENVS - 1 else {})) for i in range(ENVS)]
    restarts = 2 if last else 0
    env = (
        Workers(factories, processes, max_restarts=restarts) if processes else Serial(factories, max_restarts=restarts)
    )
    made.append(env)
    return env


@pytest.mark.parametrize("ends", ["terminated", "truncated"])
def test_a_new_process_does_not_inherit_how_episodes_ended(ends: str, made: list[Any], tmp_path: Path) -> None:
    """In step 3 all episodes end; environment 2 has said so when environment 3 ends the process that they share."""
    env = four(made, ends, dies_at=3, mark=tmp_path / "mark")
    env.reset(seed=0)
    for _ in range(2):
        _, _, terminated, truncated, _ = env.step(NOTHING)
        assert not (terminated | truncated).any()
    _, reward, terminated, truncated, info = env.step(NOTHING)
    assert info[RESTARTED].tolist() == [False, False, True, True]
    assert (terminated if ends == "terminated" else truncated).tolist() == [True, True, False, False]
    assert not (truncated if ends == "terminated" else terminated).any()
    assert reward.tolist() == [1, 1, 0, 0]
    obs, reward, terminated, truncated, _ = env.step(NOTHING)  # the first two are reset, the others go on
    assert obs[:, 2].tolist() == [0, 0, 1, 1]
    assert reward.tolist() == [0, 0, 1, 1]
    assert not (terminated | truncated).any()


def draws_around_a_failure(made: list[Any], processes: int, how: str, mark: Path) -> tuple[list[float], list[float]]:
    """What the environments drew for their first episodes, and what those that were made anew drew for theirs."""
    env = four(made, processes=processes, dies_at=2, mark=mark, how=how)
    first = env.reset(seed=0)[0][:, 0].tolist()
    env.step(NOTHING)
    obs, *_, info = env.step(NOTHING)
    return first, obs[info[RESTARTED], 0].tolist()


@pytest.mark.parametrize(("processes", "how", "anew"), [(2, "kill", 2), (2, "raise", 1), (0, "raise", 1)])
def test_what_is_made_anew_plays_other_episodes(
    processes: int, how: str, anew: int, made: list[Any], tmp_path: Path
) -> None:
    first, again = draws_around_a_failure(made, processes, how, tmp_path / "mark")
    assert len(again) == anew
    assert len({*first, *again}) == ENVS + anew
    assert draws_around_a_failure(made, processes, how, tmp_path / "other") == (first, again)  # in every run alike


@pytest.mark.parametrize("processes", [0, 2, 4])
def test_an_action_that_is_kept_stays_what_it_was(processes: int, made: list[Any]) -> None:
    env = four(made, processes=processes)
    env.reset(seed=0)
    sent = np.random.default_rng(0).uniform(-1, 1, (3, ENVS, 2)).astype(np.float32)
    for t in range(3):
        obs, *_ = env.step(sent[t].copy())
        assert obs[:, 1].tolist() == (sent[t - 1, :, 0].tolist() if t else [0.0] * ENVS)
