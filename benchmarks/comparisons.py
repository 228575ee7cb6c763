"""Suites that compare variants over tasks: one picture and one table of the variants, the tasks side by side."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import gymnasium
import numpy as np
from learning_runs import Job, metrics
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from suites import PAPER, SURROGATE_TASKS, TRICK_TASKS, TRICKS

from clipper.data.bootstrap import bootstrap_interval

Scores = Mapping[str, Mapping[str, Sequence[float]]]  # task → variant → a number per seed
RANDOM_EPISODES = 20


class Average(NamedTuple):
    """A variant's normalised score over tasks and seeds."""

    mean: float
    low: float
    high: float
    runs: int


def last_hundred(jobs: Sequence[Job], tasks: Sequence[str], variants: Sequence[str]) -> Scores:
    """Mean return of the last 100 training episodes of every finished run."""
    found: dict[str, dict[str, list[float]]] = {task: {variant: [] for variant in variants} for task in tasks}
    for job in jobs:
        value = metrics(job)[-1]["episode/recent_return"]
        if value is not None:
            found[job.config.env][job.entry.rpartition(", ")[0]].append(value)
    return found


def random_return(task: str) -> float:
    """Mean return of actions drawn evenly from the action space."""
    env = gymnasium.make(task)
    env.action_space.seed(0)
    total = 0.0
    for episode in range(RANDOM_EPISODES):
        env.reset(seed=episode)
        done = False
        while not done:
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            total += float(reward)
            done = terminated or truncated
    env.close()
    return total / RANDOM_EPISODES


def normalised(scores: Scores, floor: Callable[[str], float] = random_return) -> dict[str, Average]:
    """Scores on the scale of the PPO paper's table 1: 0 a random policy, 1 the best run of that task; mean of all runs.

    The interval draws seeds with replacement within each task.
    """
    scaled: dict[str, list[np.ndarray]] = {}
    for task, variants in scores.items():
        best = max((value for values in variants.values() for value in values), default=1.0)
        low = floor(task)
        for variant, values in variants.items():
            if values:
                scaled.setdefault(variant, []).append((np.array(values) - low) / (best - low))
    averages = {}
    for variant, tasks in scaled.items():
        generator = np.random.default_rng(0)
        draws = [np.mean([v[generator.integers(len(v), size=len(v))].mean() for v in tasks]) for _ in range(2000)]
        low, high = np.quantile(draws, (0.025, 0.975))
        averages[variant] = Average(float(np.mean([v.mean() for v in tasks])), low, high, sum(map(len, tasks)))
    return averages


def surrogates(jobs: Sequence[Job], output: Path) -> list[str]:
    """The picture of the surrogates, and lines of Markdown that hold them against the paper's table 1."""
    averages = normalised(last_hundred(jobs, SURROGATE_TASKS, tuple(PAPER)))
    names = list(averages)
    paper = [PAPER[name][2] for name in names]
    figure = Figure(figsize=(7.2, 4.4), dpi=150, layout="constrained")
    axes = figure.subplots()
    y = np.arange(len(names))[::-1]
    for row, average in zip(y, averages.values(), strict=True):
        axes.plot([average.low, average.high], [row, row], color="#0072B2", linewidth=2, solid_capstyle="butt")
    axes.plot([a.mean for a in averages.values()], y, "o", color="#0072B2", label="Clipper, 95 % interval over seeds")
    axes.plot(paper, y, "x", color="#D55E00", label="paper: seven tasks, 1M steps")
    axes.set_yticks(y, names)
    axes.set_xlabel("normalised score (0: random policy, 1: best run of a task)")
    axes.set_title("Surrogates of PPO", loc="left", fontweight="bold")
    axes.legend(frameon=False, fontsize=8, loc="best")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    figure.savefig(output)
    lines = ["| surrogate | score | 95 % interval | runs | paper |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {name} | {a.mean:.2f} | {a.low:.2f} to {a.high:.2f} | {a.runs} | {p:.2f} |"
        for (name, a), p in zip(averages.items(), paper, strict=True)
    ]
    if len(names) > 2:
        rho, _ = spearmanr([a.mean for a in averages.values()], paper)
        lines += ["", f"Rank correlation (Spearman) of the two columns of scores: {rho:.2f}."]
    return lines


def tricks(jobs: Sequence[Job], output: Path) -> list[str]:
    """The picture of the tricks, and lines of Markdown with each task's numbers."""
    scores = last_hundred(jobs, TRICK_TASKS, tuple(TRICKS))
    figure = Figure(figsize=(9.6, 3.8), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(TRICK_TASKS), sharey=True)
    names = list(TRICKS)
    lines = ["| without | " + " | ".join(TRICK_TASKS) + " |", "| --- |" + " --- |" * len(TRICK_TASKS)]
    cells = {name: [] for name in names}
    for task, axes in zip(TRICK_TASKS, np.ravel(panels), strict=True):
        for row, name in enumerate(reversed(names)):
            values = np.array(scores[task][name])
            if not len(values):
                cells[name].append("")
                continue
            (low,), (high,) = bootstrap_interval(values[:, None])
            cells[name].append(f"{values.mean():.0f} ({low:.0f} to {high:.0f})")
            colour = "#D55E00" if name == names[0] else "#0072B2"
            axes.plot([low, high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot(values.mean(), row, "o", color=colour)
            axes.plot(values, [row] * len(values), "|", color=colour, alpha=0.6)
        if scores[task][names[0]]:
            axes.axvline(float(np.mean(scores[task][names[0]])), color="0.6", linestyle="--", linewidth=1)
        axes.set_yticks(range(len(names)), list(reversed(names)))
        axes.set_title(task, loc="left", fontweight="bold")
        axes.set_xlabel("return of the last 100 training episodes")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    figure.savefig(output)
    return [*lines, *(f"| {name} | " + " | ".join(cells[name]) + " |" for name in names)]


def masks(jobs: Sequence[Job], output: Path) -> list[str]:
    """The picture of return and KL with and without a mask, and lines of Markdown on how soon each variant learns."""
    every = {job: metrics(job) for job in jobs}
    rows = {job: [row for row in of_job if row["episode/recent_return"] is not None] for job, of_job in every.items()}
    names = list(dict.fromkeys(job.entry for job in jobs))
    best = max(row["episode/recent_return"] for of_job in rows.values() for row in of_job)
    figure = Figure(figsize=(9.6, 3.8), dpi=150, layout="constrained")
    panels = figure.subplots(1, 2)
    lines = ["| policy | decisions to 95 % of the best return, by seed | largest KL of an update | runs |"]
    lines += ["| --- | --- | --- | --- |"]
    for name, colour in zip(names, ("#0072B2", "#D55E00", "#009E73"), strict=False):
        own = [of_job for job, of_job in rows.items() if job.entry == name]
        updates = [of_job for job, of_job in every.items() if job.entry == name]
        for k, (of_job, all_of_job) in enumerate(zip(own, updates, strict=True)):
            panels[0].plot([row["steps"] for row in of_job], [row["episode/recent_return"] for row in of_job],
                           color=colour, alpha=0.7, label=None if k else name)  # fmt: skip
            panels[1].plot([row["steps"] for row in all_of_job], [row["policy/kl"] for row in all_of_job],
                           color=colour, alpha=0.7)  # fmt: skip
        goal = 0.95 * best
        reached = [next((r["steps"] for r in of_job if r["episode/recent_return"] >= goal), None) for of_job in own]
        told = ", ".join("never" if x is None else f"{x:,}" for x in reached)
        largest = max(row["policy/kl"] for of_job in updates for row in of_job)
        lines.append(f"| {name} | {told} | {largest:.3g} | {len(own)} |")
    panels[1].set_yscale("log")
    for axes, title in zip(panels, ("return of the last 100 training episodes", "KL(μ‖π) in an update"), strict=True):
        axes.set_title(title, loc="left", fontweight="bold")
        axes.set_xlabel("decisions")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    panels[0].legend(frameon=False, fontsize=8, loc="best")
    figure.savefig(output)
    return lines


COMPARISONS: Mapping[str, Callable[[Sequence[Job], Path], list[str]]] = {
    "surrogates": surrogates,
    "tricks": tricks,
    "masks": masks,
}
"""By suite: draws the picture, and returns what to say beside it."""
