"""What is read is not believed: files that mean harm, settings and spaces that are noise."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clipper
from clipper.cli.arguments import ALGORITHMS
from clipper.errors import ClipperError, ConfigError
from clipper.runs.metrics_file import row_of
from clipper.settings.config import Config
from clipper.settings.config_json import from_json, settings_json
from clipper.spaces.space_json import space_from_json
from clipper.storage import json_text

LARGEST_GROWTH = 100  # MB; a child that has just begun takes some tens for torch's first calls


def test_hostile_files_are_refused_before_memory_is_spent(
    tmp_path: Path, run_program: Callable, figures: Callable
) -> None:
    found = run_program("hostile.py", tmp_path)
    results = found["results"]
    assert {name: result for name, result in results.items() if result[0] != "ClipperError"} == {}
    assert {name: result for name, result in results.items() if result[2] > LARGEST_GROWTH} == {}
    assert found["marks"] == []
    assert not Path("/tmp/escaped").exists()
    assert len(results) >= 25
    figures("F24", files=len(results), refused=len(results), megabytes=max(result[2] for result in results.values()))


def test_nothing_that_a_run_names_is_imported_unless_it_is_named_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "marked.py").write_text(
        "import gymnasium, os\nos.mkdir('imported')\n"
        "gymnasium.register('Marked-v0', 'gymnasium.envs.classic_control:CartPoleEnv')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    plan: Any = {"num_envs": 2, "total_steps": 64}
    clipper.train("marked:Marked-v0", clipper.PPO(horizon=16, epochs=1), run_dir="run", **plan)
    os.rmdir("imported")
    del gymnasium.registry["Marked-v0"]
    del sys.modules["marked"]
    for read in (lambda: clipper.train(resume="run"), lambda: clipper.evaluate("run", episodes=1)):
        with pytest.raises(ConfigError, match=r"marked:Marked-v0, which is code of your own: name it"):
            read()
    clipper.load("run")
    assert "marked" not in sys.modules
    assert not Path("imported").exists()
    clipper.train("marked:Marked-v0", resume="run", total_steps=128)
    assert Path("imported").exists()
    del gymnasium.registry["Marked-v0"]


NUMBERS = st.integers() | st.floats() | st.sampled_from([0, -1, 2**63, 10**400, 1e308, float("inf")])
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=8)
JSON = st.recursive(LEAVES, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=8), x, max_size=3))
KNOWN = [settings_json(Config(env="CartPole-v1", algorithm=algorithm())) for algorithm in ALGORITHMS.values()]
SPACES: list[dict[str, Any]] = [
    {"type": "Discrete", "n": 3, "start": 0},
    {"type": "Box", "low": -1.0, "high": [1.0, 2.0], "shape": [2], "dtype": "float32"},
    {"type": "Box", "low": 0, "high": 255, "shape": [2, 2, 3], "dtype": "uint8"},
]


@st.composite
def damaged(draw: st.DrawFn, known: list[dict[str, Any]]) -> Any:
    """A known tree in which some entries are replaced, renamed or left out."""
    tree = draw(st.sampled_from(known))

    def walk(value: Any) -> Any:
        action = draw(st.integers(0, 11))
        if action == 0:
            return draw(JSON)
        if isinstance(value, dict):
            items = {k: walk(v) for k, v in value.items() if draw(st.integers(0, 15)) > 0}
            return items | (draw(st.dictionaries(st.text(max_size=4), LEAVES, max_size=1)) if action == 1 else {})
        if isinstance(value, list):
            return [walk(v) for v in value] * (2 if action == 1 else 1)
        return draw(LEAVES) if action == 1 else value

    return walk(tree)


def refuses_or_reads(read: Callable[[], object]) -> None:
    with suppress(ClipperError):
        read()


def check_examples(count: int) -> None:
    """A third each: damaged settings, damaged spaces, and text."""
    options = settings(
        max_examples=-(-count // 3),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        database=None,
    )

    @options
    @given(JSON | damaged(KNOWN))
    def configurations(data: Any) -> None:
        refuses_or_reads(lambda: from_json(data, Config))

    @options
    @given(JSON | damaged(SPACES))
    def spaces(data: Any) -> None:
        refuses_or_reads(lambda: space_from_json(data))

    @options
    @given(st.text(max_size=60) | st.binary(max_size=60) | st.text(alphabet='[]{}",:0e-NaInfity ', max_size=40))
    @pytest.mark.filterwarnings("ignore")
    def texts(text: str | bytes) -> None:
        refuses_or_reads(lambda: json_text.parse(text, "a text"))
        with pytest.raises(ValueError, match="is "):  # nothing of the kind is a row of metrics
            row_of(text)

    configurations()
    spaces()
    texts()


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.long)])
def test_settings_and_spaces_that_are_noise_are_refused_or_read(count: int, figures: Callable) -> None:
    check_examples(count)
    if count > 200:
        figures("F24b", examples=3 * -(-count // 3), uncaught=0)
