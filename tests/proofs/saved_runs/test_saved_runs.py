"""Runs that earlier commits saved load, play and go on as they did there (``make.py`` says how they were saved).

Numbers are compared with a tolerance, since the last bits depend on the processor; ``tools/traces.py`` compares bits.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "tools"))

import trace_environments  # noqa: E402  # pyright: ignore[reportMissingImports]
from saved_runs import outcomes  # noqa: E402

RUNS = {
    f"{path.parent.name}/{name}": told
    for path in sorted(HERE.glob("*/outcomes.json"))
    for name, told in json.loads(path.read_text()).items()
}


def assert_alike(found: Any, recorded: Any, tolerance: float, where: str = "") -> None:
    """Equal but for the last digits of numbers; what was not recorded may be there, too."""
    if isinstance(recorded, dict):
        for key, value in recorded.items():
            assert_alike(found[key], value, tolerance, f"{where}/{key}")
    elif isinstance(recorded, list):
        assert len(found) == len(recorded), where
        for i, (x, y) in enumerate(zip(found, recorded, strict=True)):
            assert_alike(x, y, tolerance, f"{where}/{i}")
    elif isinstance(recorded, float):
        assert found == pytest.approx(recorded, rel=tolerance, abs=tolerance, nan_ok=True), where
    else:
        assert found == recorded, where


@pytest.fixture(params=RUNS)
def saved(request: pytest.FixtureRequest) -> tuple[Path, dict[str, Any], Any]:
    """A run's folder, what is recorded of it, and its environment where that is a class of ours."""
    told = RUNS[request.param]
    own = told["env"].partition("own:")[2]
    return HERE / request.param, told, getattr(trace_environments, own) if own else None


def test_it_answers_as_before(saved: tuple[Path, dict[str, Any], Any]) -> None:
    folder, told, source = saved
    env = gymnasium.make(told["env"]) if source is None else source()
    found = outcomes.answers(folder, env.observation_space, told["observations"], told["mask"])
    env.close()
    assert_alike(found, told["answers"], 1e-5)


def test_it_plays_as_before(saved: tuple[Path, dict[str, Any], Any]) -> None:
    folder, told, source = saved
    assert_alike(outcomes.played(folder, source), told["played"], 1e-4)


def test_it_goes_on_as_before(saved: tuple[Path, dict[str, Any], Any], tmp_path: Path) -> None:
    folder, told, source = saved
    copy = shutil.copytree(folder, tmp_path / "run")
    assert_alike(outcomes.resumed(copy, source), told["resumed"], 1e-4)


def test_there_is_one_of_each_algorithm_and_kind_of_policy() -> None:
    found = {told["case"] for told in RUNS.values()}
    algorithms = "reinforce importancesampling vpg a2c npg trpo ppo ppoapart ppopenalty"

    assert {f"{name}/plain" for name in algorithms.split()} <= found
    assert {f"ppo/{kind}" for kind in ("lstm", "image", "hybrid", "masks", "normalisers", "pop art", "two-hot",
                                       "periodic critic", "polyak critic", "tree of actions")} <= found  # fmt: skip
