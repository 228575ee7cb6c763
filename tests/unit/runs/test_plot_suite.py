"""The picture of algorithms over tasks: its scale by hand, and every panel from known runs."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from clipper.errors import ConfigError
from clipper.pictures.suite import draw_improvement, draw_profiles, draw_suite, normalised
from clipper.runs.curve import Curve


def curve(label: str, env: str, first: float, last: float) -> Curve:
    steps, none = np.array([100.0, 200.0]), np.zeros(0)
    return Curve(steps, np.array([first, last]), none, none, label, env)


CURVES = [
    curve("PPO", "CartPole-v1", 10, 110), curve("PPO", "CartPole-v1", 30, 80),
    curve("A2C", "CartPole-v1", 20, 65), curve("PPO", "Own-v0", -5, 5),
    curve("A2C", "Own-v0", -5, 0), curve("PPO", "Alone-v0", 0, 1),
]  # fmt: skip


def test_the_scale_runs_from_untrained_to_the_best_run_of_shared_tasks() -> None:
    table = normalised(CURVES)
    assert all(list(table[label]) == ["CartPole-v1", "Own-v0"] for label in ("PPO", "A2C"))
    assert table["PPO"]["CartPole-v1"] == pytest.approx([1, 60 / 90])
    assert table["A2C"]["CartPole-v1"] == pytest.approx([0.5])
    assert table["A2C"]["Own-v0"] == pytest.approx([0.5])


def test_panels_show_what_was_counted() -> None:
    profiles, matrix = Figure().subplots(1, 2)
    table = normalised(CURVES)
    draw_profiles(profiles, table, dict.fromkeys(table, "k"))
    (ppo, a2c) = profiles.lines
    assert np.interp([0.4, 0.6, 0.9], *ppo.get_data()) == pytest.approx([1, 1, 0.75])
    assert np.interp([0.4, 0.6], *a2c.get_data()) == pytest.approx([1, 0])
    draw_improvement(matrix, table)
    assert [text.get_text() for text in matrix.texts] == ["1.00", "0.00"]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_picture_is_written(suffix: str, tmp_path: Path) -> None:
    picture = draw_suite(CURVES, tmp_path / f"suite.{suffix}")
    assert picture.read_bytes().startswith(b"\x89PNG" if suffix == "png" else b"<?xml")


def test_nothing_to_compare_is_said() -> None:
    with pytest.raises(ConfigError, match="nothing to compare"):
        normalised([curve("PPO", "A-v0", 0, 1), curve("A2C", "B-v0", 0, 1)])
    with pytest.raises(ConfigError, match=r"on A-v0 no run got better"):
        normalised([curve("PPO", "A-v0", 1, 0)])
