"""How an update went, iteration by iteration: one picture per run, a panel for each thing that its metrics hold."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clipper.errors import ConfigError
from clipper.runs.config_file import read_config
from clipper.runs.curve import COLOURS, drawable, thousands, write_figure
from clipper.runs.folders import is_run
from clipper.runs.metrics_file import MOST_ROWS, read_rows
from clipper.runs.run import Row
from clipper.settings.config_json import short_name
from clipper.storage import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
POINTS = 250  # per line; longer runs are averaged in groups of iterations


class Panel(NamedTuple):
    """What one panel shows."""

    title: str
    unit: str
    lines: dict[str, str]
    """Metric → its name in the legend."""
    bands: tuple[tuple[str, str, str], ...] = ()
    """(metric below, metric above, name) of what is shaded."""
    spread: tuple[str, str] | None = None
    """(mean, standard deviation): mean ± deviation is shaded."""
    log: bool = False
    lowest: float | None = None
    """What lies below is cut off, and the title says so."""


PANELS = (
    Panel(
        "Return",
        "reward per episode",
        {"episode/recent_return": "training, latest 100", "eval/return": "deterministic evaluation"},
    ),
    Panel(
        "KL(μ‖π)",
        "nats",
        {
            "policy/kl_k1": "k1 = −log r",
            "policy/kl_k2": "k2 = ½ log² r",
            "policy/kl_k3": "k3 = r − 1 − log r",
            "policy/kl": "exact",
        },
    ),
    Panel("Ratios outside the clip range", "fraction of decisions", {"policy/clip_fraction": ""}),
    Panel("Largest ratio π/μ of an iteration", "ratio", {"policy/ratio_max": ""}, log=True),
    Panel("Entropy of the policy", "nats", {"policy/entropy": ""}),
    Panel("Explained variance of the returns", "1 is perfect", {"value/explained_variance": ""}, lowest=-1.0),
    Panel(
        "Advantage of the batch",
        "reward",
        {"advantage/mean": "mean"},
        spread=("advantage/mean", "advantage/std"),
    ),
    Panel(
        "Advantage, mean of each minibatch",
        "reward",
        {"advantage/mean": "whole batch"},
        bands=(("advantage/minibatch_mean_min", "advantage/minibatch_mean_max", "minibatches, least to largest"),),
    ),
    Panel(
        "Advantage, std of each minibatch",
        "reward",
        {"advantage/std": "whole batch"},
        bands=(("advantage/minibatch_std_min", "advantage/minibatch_std_max", "minibatches, least to largest"),),
    ),
    Panel("Gradient norm before clipping", "‖∇ loss‖", {"loss/gradient_norm": ""}, log=True),
    Panel("Loss of the policy", "to be minimised", {"loss/policy": ""}),
    Panel("Loss of the critic", "squared error, or its like", {"loss/value": ""}, log=True),
    Panel("Loss of Q", "squared error of its targets", {"loss/q": ""}, log=True),
    Panel("Q of the decisions that are learned from", "return", {"value/q": ""}),
    Panel("Temperature", "α", {"policy/alpha": "", "policy/argument_alpha": "of arguments"}, log=True),
    Panel("Bonus", "reward", {"bonus/reward": "as it is", "bonus/scaled": "as it is learned from"}),
    Panel("KL penalty", "β", {"policy/beta": ""}, log=True),
    Panel("Step that the line search took", "fraction of the full step", {"policy/step_scale": ""}),
    Panel(
        "Importance weights",
        "fraction of decisions",
        {"importance/effective_fraction": "effective sample", "importance/underflow": "underflown"},
    ),
)
CONTEXT = {"episode/recent_return", "eval/return"}
"""What is drawn beside diagnostics, but is none."""


def plot_diagnostics(folder: Path, output: Path | None = None) -> Path:
    """Draw a run's diagnostics; the picture is ``diagnostics.png`` in its folder unless ``output`` names another.

    Panels without a number in ``metrics.jsonl`` are left out. Raises ``ConfigError`` where none is left.
    """
    folder = files.from_user(folder)
    if not is_run(folder):
        raise ConfigError(f"{folder} is no run: it has no metrics.jsonl and config.json")
    config, rows = read_config(folder), list(read_rows(folder, MOST_ROWS))
    title = f"{short_name(config.algorithm)} on {config.env}, seed {config.seed}"
    table = columns(rows)
    panels = [panel for panel in PANELS if metrics_of(panel) & table.keys()]
    if not any(metrics_of(panel) - CONTEXT & table.keys() for panel in panels):
        raise ConfigError(
            f"{folder} holds nothing to diagnose: no row of its metrics.jsonl has a loss, an entropy or the like; "
            "train it for an iteration first"
        )
    unit = "iteration" if rows[-1].get("iteration") == len(rows) else "row"
    return draw(panels, table, f"{title}: {caption(len(rows), unit)}", output or folder / "diagnostics.png")


def metrics_of(panel: Panel) -> set[str]:
    """All metrics that a panel shows."""
    return {*panel.lines, *(panel.spread or ()), *(name for band in panel.bands for name in band[:2])}


def columns(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """Rows of metrics → an array for each metric that has a number anywhere, NaN where it has none."""
    known = {"steps"}.union(*map(metrics_of, PANELS))
    table = {name: np.array([row.get(name, np.nan) for row in rows], dtype=float) for name in known}
    return {name: x for name, x in table.items() if np.isfinite(x).any()}


def group(rows: int) -> int:
    """How many iterations share one point."""
    return -(-rows // POINTS)


def caption(rows: int, unit: str = "iteration") -> str:
    """How many iterations, or rows of several, are drawn, and what a point is."""
    each = "" if group(rows) == 1 else f", each point the mean of {group(rows)}"
    return f"{rows} {unit}{'s' * (rows != 1)}{each}"


def thin(x: np.ndarray) -> np.ndarray:
    """Means over groups of neighbours, of the numbers among them; NaN where a group has none."""
    size = group(len(x))
    padded = np.append(x, np.full(-len(x) % size, np.nan)).reshape(-1, size)
    there = np.isfinite(padded)
    count = there.sum(1)
    return np.where(count > 0, np.where(there, padded, 0).sum(1) / np.maximum(count, 1), np.nan)


def draw(panels: Sequence[Panel], table: dict[str, np.ndarray], title: str, output: Path) -> Path:
    """All panels in one picture."""
    from matplotlib.figure import Figure  # noqa: PLC0415 (half a second to import)

    count = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(4.4 * COLUMNS, 2.7 * count + 0.4), dpi=130, layout="constrained")
    figure.suptitle(drawable(title), fontsize=12, fontweight="bold", x=0.01, ha="left")
    places = iter(figure.subplots(count, COLUMNS, squeeze=False).flat)
    for panel, axes in zip(panels, places, strict=False):
        draw_panel(axes, panel, table)
    for axes in places:
        axes.set_visible(False)
    return write_figure(figure, output)


def draw_panel(axes: "Axes", panel: Panel, table: dict[str, np.ndarray]) -> None:
    """Lines over what is shaded."""
    thinned = {name: thin(x) for name, x in table.items() if name in metrics_of(panel) | {"steps"}}
    x = thinned["steps"]
    lines = {name: thinned[name] for name in panel.lines if name in thinned}
    if "policy/kl" in lines and "policy/kl_k3" in lines and np.array_equal(*pair(lines), equal_nan=True):
        del lines["policy/kl"]  # drawn already
    for colour, (name, y) in zip(COLOURS, lines.items(), strict=False):
        seen = np.isfinite(y)
        sparse = "o" if name.startswith("eval/") or seen.sum() == 1 else None
        axes.plot(x[seen], y[seen], color=colour, linewidth=1.2, marker=sparse, markersize=3, label=panel.lines[name])
    for low, high, name in panel.bands:
        if low in thinned and high in thinned:
            axes.fill_between(x, thinned[low], thinned[high], color=COLOURS[1], alpha=0.3, linewidth=0, label=name)
    if panel.spread is not None and set(panel.spread) <= thinned.keys():
        mean, std = (thinned[name] for name in panel.spread)
        axes.fill_between(
            x, mean - std, mean + std, color=COLOURS[0], alpha=0.2, linewidth=0, label="± standard deviation"
        )
    finish(axes, panel, np.concatenate(list(lines.values())) if lines else np.zeros(1))


def pair(lines: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The KL that decides and k3, which are the same where no exact one was asked for."""
    return lines["policy/kl"], lines["policy/kl_k3"]


def finish(axes: "Axes", panel: Panel, y: np.ndarray) -> None:
    """Titles, scales and legend."""
    numbers = y[np.isfinite(y)]
    title = panel.title
    if panel.lowest is not None and (numbers < panel.lowest).any():
        axes.set_ylim(bottom=panel.lowest)
        title += f" (cut at {panel.lowest:g})".replace("-", "−")
    if panel.log and (numbers > 0).all() and numbers.max() > 10 * numbers.min():
        axes.set_yscale("log")
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_ylabel(panel.unit, fontsize=8)
    axes.set_xlabel("environment steps", fontsize=8)
    axes.tick_params(which="both", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    axes.xaxis.set_major_formatter(lambda x, _: thousands(x))
    axes.locator_params(axis="x", nbins=5)
    if len(axes.get_legend_handles_labels()[1]) > 1 or panel.lines.keys() & CONTEXT:
        axes.legend(fontsize=7, loc="best", framealpha=0.7, edgecolor="none")
