"""Ranks that send gradients learn, up to rounding, what one process learns that has all of their decisions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from launch import HERE, ended, start

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


@pytest.mark.parametrize("sizes", [(2, 1), pytest.param((1, 2, 3), marks=pytest.mark.long)])
def test_a_run_goes_on_in_other_numbers_of_processes(
    sizes: tuple[int, ...], tmp_path: Path, alone: dict[str, Any]
) -> None:
    """What is carried for each environment is saved for all: a file knows neither their number nor the mode."""
    for i, size in enumerate(sizes):
        until = i + 1 if i + 1 < len(sizes) else 3
        first, *others = told(size, tmp_path, f"ppo:{until}")["ppo"]
        assert all(other == first for other in others)
    check_same(first, alone["ppo"], "ppo")
    assert first["steps"] == alone["ppo"]["steps"]
