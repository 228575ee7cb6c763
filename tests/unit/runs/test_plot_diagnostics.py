"""The picture of how updates went: what is drawn is what the rows say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clipper import Config
from clipper.errors import ConfigError
from clipper.pictures.diagnostics import PANELS, POINTS, Panel, columns, draw_panel, plot_diagnostics, thin
from clipper.settings.config_json import to_json


def folder_with(rows: list[dict[str, float | None]], path: Path) -> Path:
    (path / "config.json").write_text(json.dumps(to_json(Config(env="CartPole-v1"))))
    lines = [json.dumps({"iteration": i} | row) + "\n" for i, row in enumerate(rows, 1)]
    (path / "metrics.jsonl").write_text("".join(lines))
    return path


def corners(axes: Axes) -> set[tuple[float, float]]:
    """Of the one shaded area."""
    (area,) = axes.collections
    return {(float(x), float(y)) for x, y in np.asarray(area.get_paths()[0].vertices)}


def test_lines_and_bands_are_the_rows() -> None:
    names = (
        "steps",
        "advantage/mean",
        "advantage/std",
        "advantage/minibatch_mean_min",
        "advantage/minibatch_mean_max",
    )
    rows: list[dict[str, Any]] = [dict(zip(names, (10 * i, i, 2 + i, i - 1, i + 3), strict=True)) for i in range(1, 5)]
    panels = {panel.title: panel for panel in PANELS}
    axes = Figure().subplots()
    draw_panel(axes, panels["Advantage of the batch"], columns(rows))
    (line,) = axes.lines
    assert np.array_equal(line.get_xydata(), [[10, 1], [20, 2], [30, 3], [40, 4]])
    assert {(20, -2), (20, 6), (40, -2), (40, 10)} <= corners(axes)
    axes = Figure().subplots()
    draw_panel(axes, panels["Advantage, mean of each minibatch"], columns(rows))
    assert {(30, 2), (30, 6)} <= corners(axes)


def test_the_exact_kl_has_a_line_only_where_it_differs() -> None:
    (panel,) = (p for p in PANELS if "policy/kl" in p.lines)
    for exact, expected in ((0.2, 1), (0.3, 2)):
        axes = Figure().subplots()
        draw_panel(axes, panel, columns([{"steps": 1, "policy/kl_k3": 0.2, "policy/kl": exact}] * 3))
        assert len(axes.lines) == expected


def test_what_is_cut_off_is_said() -> None:
    panel = Panel("Explained", "", {"value/explained_variance": ""}, lowest=-1.0)
    axes = Figure().subplots()
    draw_panel(axes, panel, columns([{"steps": 1, "value/explained_variance": -7.0}, {"steps": 2}]))
    assert axes.get_title(loc="left") == "Explained (cut at −1)"
    assert axes.get_ylim()[0] == -1


@pytest.mark.parametrize("n", [1, POINTS, POINTS + 1, 3 * POINTS - 1])
def test_groups_of_iterations_become_their_means(n: int) -> None:
    x = np.random.default_rng(n).normal(size=n)
    x[n // 2] = np.nan
    size = next(s for s in range(1, n + 1) if n <= s * POINTS)
    slow = []
    for start in range(0, n, size):
        some = [v for v in x[start : start + size] if not np.isnan(v)]
        slow.append(sum(some) / len(some) if some else np.nan)
    np.testing.assert_allclose(thin(x), slow, rtol=1e-12)
    assert len(slow) <= POINTS


@pytest.mark.parametrize("metrics", [{"loss/value": 3.0}, {"policy/beta": 1.0, "loss/policy": None}, {"loss/q": 0.1}])
def test_runs_of_any_algorithm_are_drawn(metrics: dict[str, float | None], tmp_path: Path) -> None:
    folder = folder_with([{"steps": 64, **metrics}, {"steps": 128}], tmp_path)
    assert plot_diagnostics(folder).read_bytes().startswith(b"\x89PNG")
    assert plot_diagnostics(folder, tmp_path / "other.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize("rows", [[], [{"steps": 64, "episode/recent_return": 1.0, "loss/policy": None}]])
def test_a_run_without_diagnostics_is_refused(rows: list[dict[str, float | None]], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds nothing to diagnose"):
        plot_diagnostics(folder_with(rows, tmp_path))
    assert not (tmp_path / "diagnostics.png").exists()
