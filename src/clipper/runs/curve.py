"""Learning curves: one run, or several with intervals over their seeds."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import gymnasium
import numpy as np

from clipper.data.bootstrap import bootstrap_interval
from clipper.errors import ConfigError
from clipper.runs.config_file import read_config
from clipper.runs.folders import is_run, printable, runs_in
from clipper.runs.groups import Group, grouped
from clipper.runs.metrics_file import MOST_ROWS, read_rows
from clipper.runs.run import Row, Run
from clipper.settings.config_json import short_name
from clipper.storage import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#6A3D9A",
    "#8C510A",
    "#7F7F7F",
)  # Okabe & Ito's without yellow, which white swallows; then three more, so that the eighth curve is none of before
POINTS = 200  # per curve


class Curve(NamedTuple):
    """Return against decisions, of one run."""

    steps: np.ndarray
    returns: np.ndarray
    """Mean over the latest 100 training episodes."""
    eval_steps: np.ndarray
    eval_returns: np.ndarray
    label: str
    """What tells it from others on its environment: runs that share it are seeds of one curve."""
    env: str
    of_tokens: bool = False
    """Decisions are tokens, and returns the scores of responses."""


def read_curve(folder: Path) -> Curve:
    """A run's curve from its folder, under its algorithm's name."""
    if not is_run(folder):
        raise ConfigError(f"{folder} is no run: it has no metrics.jsonl and config.json")
    config = read_config(folder)
    return curve_of(list(read_rows(folder, MOST_ROWS)), short_name(config.algorithm), config.env)


def curve_of(rows: Sequence[Row], label: str, env: str) -> Curve:
    """Rows of metrics → a curve."""
    returns = [(r["steps"], r["episode/recent_return"]) for r in rows if r.get("episode/recent_return") is not None]
    evals = [(r["steps"], r["eval/return"]) for r in rows if r.get("eval/return") is not None]
    x, y = np.array(returns, dtype=float).reshape(-1, 2).T
    ex, ey = np.array(evals, dtype=float).reshape(-1, 2).T
    return Curve(x, y, ex, ey, label, env, any("response/length" in r for r in rows[:1]))


def plot_run(run: Run) -> Path | None:
    """Draw ``curve.png`` in the run's folder."""
    if run.path is None or not run.history:
        return None
    rows = run.history if len(run.history) < MOST_ROWS else list(read_rows(run.path, MOST_ROWS))
    curve = curve_of(rows, short_name(run.config.algorithm), run.config.env)
    return draw_curves([curve], run.path / "curve.png")


def plot_runs(folders: Sequence[Path], output: Path) -> Path:
    """Draw several runs in one picture; those that differ in their seed alone become a mean with its interval.

    A folder of ``clipper train --seeds`` stands for its runs; what is no run is left out with a warning.
    """
    return draw_curves(curves_of(grouped(runs_in(folders))), output)


def curves_of(groups: Sequence[Group]) -> list[Curve]:
    """The curve of each run; a warning names groups that have none yet."""
    curves = [
        curve_of(list(read_rows(folder, MOST_ROWS)), group.label, group.env)
        for group in groups
        for folder in group.folders
    ]
    for group in groups:
        if not any(len(c.steps) for c in curves if (c.env, c.label) == (group.env, group.label)):
            where = f"{group.label} on {printable(group.env)}"
            warnings.warn(f"{where} has no curve: no episode has finished so far; train it longer", stacklevel=2)
    return curves


def draw_curves(curves: Sequence[Curve], output: Path) -> Path:
    """One line per label, with a 95 % interval where it has several runs; one panel per environment."""
    from matplotlib.figure import Figure  # noqa: PLC0415 (half a second to import)

    everywhere = list(dict.fromkeys(curve.label for curve in curves))
    colours = {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(everywhere)}
    envs = list(dict.fromkeys(curve.env for curve in curves))
    figure = Figure(figsize=(6.4 * min(len(envs), 3), 4.0 * -(-len(envs) // 3)), dpi=150, layout="constrained")
    panels = figure.subplots(-(-len(envs) // 3), min(len(envs), 3), squeeze=False).flat
    for env, axes in zip(envs, panels, strict=False):
        for label in dict.fromkeys(c.label for c in curves if c.env == env):
            draw_label(axes, [c for c in curves if (c.env, c.label) == (env, label)], label, colours[label])
        draw_threshold(axes, env)
        of_tokens = all(curve.of_tokens for curve in curves if curve.env == env)
        axes.set_xlabel("tokens" if of_tokens else "environment steps")
        what, of = ("score", "responses") if of_tokens else ("return", "episodes")
        axes.set_ylabel(f"{what} (training: latest 100 {of})")
        axes.set_title(drawable(env), loc="left", fontweight="bold")
        if axes.get_legend_handles_labels()[0]:  # none where no episode has finished
            axes.legend(frameon=False, loc="best", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
        axes.xaxis.set_major_formatter(lambda x, _: thousands(x))
    for axes in list(panels):
        axes.set_visible(False)
    return write_figure(figure, output)


def write_figure(figure: "Figure", output: Path) -> Path:
    """Write a picture in the format that the file's name ends in, png where it ends in none.

    Raises ``ConfigError`` for a format that there is none of.
    """
    kinds = sorted(figure.canvas.get_supported_filetypes().keys() - {"pgf"})  # which needs a TeX system
    kind = output.suffix.lstrip(".").lower() or "png"
    if kind not in kinds:
        raise ConfigError(f"{printable(output)}: there are no pictures of that kind: let it end in {', '.join(kinds)}")
    picture, output = io.BytesIO(), files.for_output(output)
    figure.savefig(picture, format=kind)
    output.parent.mkdir(parents=True, exist_ok=True)
    files.replace(output, picture.getvalue())
    return output


def draw_label(axes: "Axes", curves: Sequence[Curve], label: str, colour: str) -> None:
    """Mean over runs of training returns as a line and of evaluations as dots."""
    drawn, label = [c for c in curves if len(c.steps)], drawable(label)
    if drawn:
        x = np.linspace(max(c.steps[0] for c in drawn), min(c.steps[-1] for c in drawn), POINTS)
        y = np.stack([np.interp(x, c.steps, c.returns) for c in drawn])
        seeds = f", {len(drawn)} seeds, 95 % interval" if len(drawn) > 1 else ""
        axes.plot(x, y.mean(0), color=colour, label=f"{label}: training{seeds}", linewidth=1.6)
        if len(drawn) > 1:
            low, high = bootstrap_interval(y)
            axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    for i, curve in enumerate(c for c in curves if len(c.eval_steps)):
        name = f"{label}: deterministic evaluation" if i == 0 else None
        axes.plot(curve.eval_steps, curve.eval_returns, "o", color=colour, markersize=3.5, label=name, alpha=0.7)


def draw_threshold(axes: "Axes", env: str) -> None:
    """The return at which the environment's authors call it solved."""
    spec = gymnasium.registry.get(env.partition(",")[0])
    if spec is not None and spec.reward_threshold is not None:
        axes.axhline(spec.reward_threshold, color="0.5", linestyle="--", linewidth=1)
        axes.annotate(
            f"solved: {spec.reward_threshold:g}",
            (0.01, spec.reward_threshold),
            xycoords=("axes fraction", "data"),
            va="bottom",
            fontsize=7,
            color="0.4",
        )


def drawable(text: str) -> str:
    """What a file says, for a picture: no formula between $ and $, no leading _, which would hide it from legends."""
    words = printable(text, 80).replace("$", r"\$")
    return f" {words}" if words.startswith("_") else words


def thousands(x: float) -> str:
    """20000 → 20k, 1500000 → 1.5M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(x) >= size:
            return f"{x / size:.3g}{unit}"
    return f"{x:g}"
