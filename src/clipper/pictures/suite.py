"""Runs on several tasks in one picture: curves, and what Agarwal et al. (2021) ask for above single tasks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clipper.errors import ConfigError
from clipper.pictures.aggregate import (
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    stratified_interval,
)
from clipper.runs.curve import COLOURS, Curve, curves_of, draw_label, draw_threshold, drawable, thousands, write_figure
from clipper.runs.folders import runs_in
from clipper.runs.groups import grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Table = dict[str, dict[str, np.ndarray]]  # label → task → score of each run
COLUMNS = 3


def plot_suite(folders: Sequence[Path], output: Path) -> Path:
    """Curves per task; IQM, performance profiles and probability of improvement over the tasks that all labels have.

    Runs that differ in their seed alone share a label, which says what differs between groups; see ``plot_runs``.
    """
    return draw_suite(curves_of(grouped(runs_in(folders))), output)


def normalised(curves: Sequence[Curve]) -> Table:
    """Last training return of each run, on a scale of its task: 0 an untrained policy, 1 the best run of them all.

    Untrained: the first return that any of the task's runs noted, on average. Only tasks that every label has count.
    """
    drawn = [c for c in curves if len(c.returns)]
    labels = list(dict.fromkeys(c.label for c in drawn))
    shared = [
        env for env in dict.fromkeys(c.env for c in drawn)
        if all(any((c.env, c.label) == (env, label) for c in drawn) for label in labels)
    ]  # fmt: skip
    if not shared:
        raise ConfigError(
            "no task has finished episodes of every algorithm and setting named: there is nothing to compare"
        )
    table: Table = {label: {} for label in labels}
    for env in shared:
        here = [c for c in drawn if c.env == env]
        low, high = float(np.mean([c.returns[0] for c in here])), max(float(c.returns[-1]) for c in here)
        if high <= low:
            raise ConfigError(f"on {env} no run got better than it began: there is no scale to compare on")
        for label in labels:
            last = np.array([c.returns[-1] for c in here if c.label == label])
            table[label][env] = (last - low) / (high - low)
    return table


def draw_suite(curves: Sequence[Curve], output: Path) -> Path:
    """A row of curves, task by task, above the three panels that look at all tasks at once."""
    from matplotlib.figure import Figure  # noqa: PLC0415 (half a second to import)

    table = normalised(curves)
    envs = list(dict.fromkeys(c.env for c in curves))
    rows = -(-len(envs) // COLUMNS) + 1
    figure = Figure(figsize=(4.6 * COLUMNS, 3.4 * rows), dpi=130, layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False)
    colours = {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(table)}
    for env, axes in zip(envs, panels[:-1].flat, strict=False):
        draw_task(axes, [c for c in curves if c.env == env], env, colours)
    for axes in panels[:-1].flat[len(envs) :]:
        axes.set_visible(False)
    draw_interquartile_means(panels[-1][0], table, colours)
    draw_profiles(panels[-1][1], table, colours)
    draw_improvement(panels[-1][2], table)
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
    return write_figure(figure, output)


def draw_task(axes: "Axes", curves: Sequence[Curve], env: str, colours: dict[str, str]) -> None:
    """Training curves of one task."""
    nothing = np.zeros(0)
    for label in dict.fromkeys(c.label for c in curves):
        mine = [c._replace(eval_steps=nothing) for c in curves if c.label == label]
        draw_label(axes, mine, label, colours.get(label, "0.5"))
    draw_threshold(axes, env)
    axes.set_title(drawable(env), loc="left", fontweight="bold", fontsize=10)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return, latest 100 episodes")
    axes.xaxis.set_major_formatter(lambda x, _: thousands(x))
    axes.legend(frameon=False, fontsize=7)
    axes.grid(alpha=0.2)


def draw_interquartile_means(axes: "Axes", table: Table, colours: dict[str, str]) -> None:
    """IQM of all runs and its 95 % interval, one line per label."""
    for place, (label, tasks) in enumerate(table.items()):
        scores = list(tasks.values())
        middle, (low, high) = interquartile_mean(scores), stratified_interval(scores)
        axes.plot([low, high], [place, place], color=colours[label], linewidth=6, alpha=0.35, solid_capstyle="butt")
        axes.plot(middle, place, "|", color=colours[label], markersize=14, markeredgewidth=2.5)
    axes.set_yticks(range(len(table)), [drawable(label) for label in table])
    axes.set_ylim(len(table) - 0.5, -0.5)
    tasks = len(next(iter(table.values())))
    axes.set_xlabel("normalised score: 0 untrained, 1 the best run")
    axes.set_title(
        f"IQM and 95 % interval, {tasks} task{'s' * (tasks != 1)}", loc="left", fontweight="bold", fontsize=10
    )
    axes.grid(alpha=0.2, axis="x")


def draw_profiles(axes: "Axes", table: Table, colours: dict[str, str]) -> None:
    """Share of runs above each score."""
    thresholds = np.linspace(0, 1, 201)
    for label, tasks in table.items():
        share = performance_profile(list(tasks.values()), thresholds)
        axes.plot(thresholds, share, color=colours[label], label=drawable(label), linewidth=1.6)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("normalised score τ")
    axes.set_ylabel("share of runs above τ")
    axes.set_title("Performance profiles", loc="left", fontweight="bold", fontsize=10)
    axes.legend(frameon=False, fontsize=7)
    axes.grid(alpha=0.2)


def draw_improvement(axes: "Axes", table: Table) -> None:
    """P(row > column): how often a run of one label beats one of another on the same task."""
    labels = list(table)
    scores = {label: list(tasks.values()) for label, tasks in table.items()}
    found = np.array([[probability_of_improvement(scores[a], scores[b]) for b in labels] for a in labels])
    axes.imshow(found, vmin=0, vmax=1, cmap="RdBu", aspect="auto")
    for i, j in np.ndindex(found.shape):
        if i != j:
            dark = abs(found[i, j] - 0.5) > 0.35
            axes.text(j, i, f"{found[i, j]:.2f}", ha="center", va="center", fontsize=8, color="w" if dark else "k")
    names = [drawable(label) for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(labels)), names, fontsize=8)
    axes.set_title("P(row better than column)", loc="left", fontweight="bold", fontsize=10)
