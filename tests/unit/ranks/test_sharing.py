"""Ranks that send gradients learn, up to rounding, what one process learns that has all of their decisions."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from launch import HERE, ended, start

import clipper
from clipper.environments.vector.serial import Serial
from clipper.ranks.columns import OwnColumns
from clipper.ranks.gathered_rollouts import GatheredRollouts
from clipper.ranks.group import Group
from clipper.rollout.state import Columns

PLAYED = ("ppo", "few", "a2c", "reinforce", "trpo")
UPDATED = ("lstm", "transformer", "picture", "nan")
CASES = (*PLAYED, *UPDATED)


def told(size: int, folder: Path, *cases: str) -> dict[str, list[dict[str, Any]]]:
    """What each of so many processes tells of each case, by rank."""
    status, _, errors = ended(start(size, HERE / "sharing.py", folder, *cases))
    assert status == 0, errors
    names = [case.partition(":")[0] for case in cases]
    return {name: [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in range(size)] for name in names}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {case: rows[0] for case, rows in told(1, tmp_path_factory.mktemp("alone"), *CASES).items()}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return told(2, tmp_path_factory.mktemp("two"), *CASES)


def check_same(ours: dict[str, Any], theirs: dict[str, Any], case: str) -> None:
    """Parameters to float32's rounding, running statistics to float64's; as many steps, so the KL stopped alike."""
    np.testing.assert_allclose(ours["parameters"], theirs["parameters"], rtol=0, atol=1e-5, err_msg=case)
    for x, y in zip(ours["buffers"], theirs["buffers"], strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6, err_msg=case)
    for name in ("taken", "skipped", "generator"):
        assert ours[name] == theirs[name], (case, name)


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_learn_what_one_process_learns(case: str, alone: dict[str, Any], two: dict[str, Any]) -> None:
    """Five environments divide unevenly; in ``few`` a rank has no decision in some minibatches."""
    first, second = two[case]
    check_same(first, alone[case], case)
    assert first == second, "what they learn differs between ranks"
    if case in PLAYED:
        for ours, theirs in zip(first["rows"], alone[case]["rows"], strict=True):
            assert {k for k, x in ours.items() if x is None} == {k for k, x in theirs.items() if x is None}
            watched = {k: x for k, x in theirs.items() if x is not None}
            assert {k: ours[k] for k in watched} == pytest.approx(watched, rel=1e-3, abs=1e-5, nan_ok=True)


def test_what_the_cases_are_about_happens(alone: dict[str, Any], two: dict[str, Any]) -> None:
    """The KL ends updates in mid-course, NaN in one rank is skipped by all, and kernels act."""
    assert alone["ppo"]["taken"] % 16 != 0
    assert 0 < alone["ppo"]["taken"] < 3 * 16
    assert [row["skipped"] for row in two["nan"]] == [3 * 2 * 3 - row["taken"] for row in two["nan"]]
    assert two["nan"][0]["skipped"] > 0
    assert all("the ranks send gradients" in two[case][0]["engine"] for case in PLAYED)


def test_statistics_are_those_of_one_process(alone: dict[str, Any], two: dict[str, Any]) -> None:
    """From the same batches: moments merged in the order of ranks."""
    for x, y in zip(two["lstm"][0]["buffers"], alone["lstm"]["buffers"], strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6 if len(y) > 1 else 1e-12, atol=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("sizes", [(2, 1), (1, 2, 3)])
def test_a_run_goes_on_in_other_numbers_of_processes(
    sizes: tuple[int, ...], tmp_path: Path, alone: dict[str, Any]
) -> None:
    """What is carried for each environment is saved for all: a file knows neither their number nor the mode."""
    for i, size in enumerate(sizes[:-1]):
        told(size, tmp_path, f"ppo:{i + 1}")
    first, *others = told(sizes[-1], tmp_path, "ppo:3")["ppo"]
    assert all(other == first for other in others)
    check_same(first, alone["ppo"], "ppo")
    assert first["steps"] == alone["ppo"]["steps"]


class Twice(Group):
    """Two processes, of which the other one does the same."""

    def __init__(self) -> None:
        self.rank, self.size, self.left = 0, 2, False

    def gather(self, own: bytes | bytearray | memoryview, purpose: str = "") -> list[memoryview]:
        return [memoryview(own)] * 2


class Broken(gymnasium.Env):
    """Fails, or gives NaN, in its fourth step."""

    observation_space, action_space = gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.Discrete(2)
    taken = 0

    def __init__(self, fails: bool) -> None:
        self.fails = fails

    def reset(self, **options: Any) -> Any:
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        Broken.taken += 1
        if Broken.taken == 4 and self.fails:
            raise OSError("the simulator is gone")
        obs = np.full(2, np.nan if Broken.taken == 4 else 0, np.float32)
        return obs, 0.0, False, False, {}


def broken_rollouts(fails: bool, restarts: int) -> GatheredRollouts:
    """Two such environments, of which one has the numbers 3 and 4, in rank 1."""
    Broken.taken = 0
    own = OwnColumns(Serial([lambda: Broken(fails)] * 2, max_restarts=restarts), Columns(3, 5), lambda rows: rows)
    own.name_part(" in rank 1")
    return GatheredRollouts(own, Twice(), data=False)


def acting() -> clipper.ActorCritic:
    return clipper.make_policy(
        Broken.observation_space, Broken.action_space, clipper.PolicyOptions(), torch.Generator().manual_seed(0)
    )


def test_counts_of_environments_and_decisions_are_of_all_ranks() -> None:
    rollouts = broken_rollouts(fails=True, restarts=3)
    with pytest.warns(UserWarning, match="simulator is gone"):
        steps, _ = rollouts.collect(acting(), horizon=6)
    assert rollouts.metrics == {"env/restarts": 2}
    assert rollouts.steps == 2 * int(steps.mask.sum())
    assert steps.mask.shape == (6, 2)


def test_an_error_names_an_environment_by_its_number_among_all_and_the_rank() -> None:
    with pytest.raises(clipper.errors.NonFiniteError, match=r"environment 4 of Broken in rank 1 at index \[0\]"):
        broken_rollouts(fails=False, restarts=0).collect(acting(), horizon=6)
