"""Does Clipper learn? Every recipe over several seeds, held against a target: the command behind each such claim.

python benchmarks/learning.py                               # the whole study, hours; interrupted, it goes on from there
python benchmarks/learning.py --report-only                 # table and picture of what is finished so far
python benchmarks/learning.py --total-steps 4096            # a trial of the machinery, not the study

Each run is a process of its own with one thread, in a folder of the cache: a finished one is not run again, a
half-finished one is resumed, and one that fails is reported and holds up no other.
"""

import csv
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from os import cpu_count
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import tyro
from learning_runs import (
    EPISODES,
    PACKAGES,
    Job,
    Row,
    alone,
    last_words,
    launch,
    log_of,
    metrics,
    number,
    run_all,
    say,
    stage,
)

from clipper.plot import bootstrap_interval, plot_runs
from clipper.recipes import RECIPES

HERE = Path(__file__).resolve().parent
RECENT = 100  # episodes in the mean over the last ones of training, as metrics.jsonl has it
PROTOCOLS = {
    "evaluation": f"mean of {EPISODES} deterministic evaluation episodes of the final policy",
    "training": f"mean of the last {RECENT} training episodes",
}


class Target(NamedTuple):
    """What a recipe is expected to reach."""

    value: float
    protocol: Literal["evaluation", "training"]
    steps: int
    seeds: int
    source: str


TARGETS = {
    "cartpole": Target(475, "evaluation", 100_000, 5, "Gymnasium's threshold"),
    "acrobot": Target(-90, "evaluation", 300_000, 5, "ours; Gymnasium's threshold is -100"),
    "lunarlander": Target(200, "evaluation", 1_000_000, 5, "Gymnasium's threshold"),
    "pendulum": Target(-250, "evaluation", 300_000, 5, "ours; Gymnasium sets none"),
    "hopper": Target(2300, "training", 1_000_000, 3, "ours; CleanRL on Hopper-v4: 2383"),
    "halfcheetah": Target(1800, "training", 1_000_000, 3, "ours; CleanRL on HalfCheetah-v4: 1443"),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What to run."""

    recipes: tuple[str, ...] = tuple(TARGETS)
    """Which recipes."""
    seeds: tuple[int, ...] = ()
    """Which seeds; by default 1 to 5, and 1 to 3 for MuJoCo."""
    jobs: int = cpu_count() or 1
    """Runs side by side."""
    cache: Path | None = None
    """Folder of the runs; by default benchmarks/.cache/learning."""
    output: Path | None = None
    """Folder of the results; by default benchmarks/results for the whole study, and the cache for a part or a trial."""
    report_only: bool = False
    """Run nothing: table and picture of what is finished, and a list of what is missing."""
    total_steps: int | None = None
    """Try everything out with runs of this length, which is not the study; the cache has a folder of its own."""

    @property
    def cache_folder(self) -> Path:
        """Where the runs are."""
        trial = "" if self.total_steps is None else f"-trial-{self.total_steps}"
        return self.cache or HERE / ".cache" / f"learning{trial}"

    @property
    def output_folder(self) -> Path:
        """Where the results go: a part of the study must not replace the whole."""
        whole = set(self.recipes) == set(TARGETS) and not self.seeds and self.total_steps is None
        return self.output or (HERE / "results" if whole else self.cache_folder)


def plan(options: Options) -> list[Job]:
    """All runs of the study, in the order of the recipes."""
    return [
        Job(recipe, seed, options.cache_folder / recipe / f"seed{seed}", options.total_steps)
        for recipe in options.recipes
        for seed in options.seeds or range(1, TARGETS[recipe].seeds + 1)
    ]


def study(options: Options) -> bool:
    """Run what is not finished yet; did all go well?"""
    jobs = plan(options)
    left = [job for job in jobs if stage(job) != "finished"]
    failed: list[Job] = []
    finished = len(jobs) - len(left)
    saved = sum(stage(job) == "saved" for job in left)
    say(f"{len(jobs)} runs, {finished} finished, {saved} to resume; {options.jobs} at a time, {options.cache_folder}")

    def ended(job: Job, status: int) -> None:
        nonlocal finished
        if status or stage(job) != "finished":
            failed.append(job)
            say(f"{job} failed with status {status}: {last_words(log_of(job))}  ({log_of(job)})")
            return
        finished += 1
        row = result(job)
        say(
            f"{job}: evaluation {row['evaluation_mean']:.1f} ± {row['evaluation_std']:.1f}, last training episodes "
            f"{number(row['training_mean'], '.1f')}, {row['steps']:,} steps in {row['seconds']:.0f} s, "
            f"{row['steps_per_second']:,.0f} steps/s  [{finished} of {len(jobs)}]"
        )

    def status(running: Sequence[Job]) -> None:
        say(f"… {finished} of {len(jobs)} finished, {len(failed)} failed; " + "; ".join(map(progress, running)))

    run_all(left, options.jobs, launch, ended, status)
    return not failed


def progress(job: Job) -> str:
    """How far a run is, and its latest return."""
    rows = metrics(job)
    if not rows:
        return f"{job} starts"
    done = rows[-1]["steps"] / job.config.total_steps
    return f"{job} {done:.0%}, return {number(rows[-1]['episode/recent_return'], '.1f')}"


def result(job: Job) -> Row:
    """A finished run as a row of the table of all runs."""
    config, noted, rows = job.config, job.study, metrics(job)
    last, recent = rows[-1], rows[-1]["episode/recent_return"]
    around = {key: " then ".join(dict.fromkeys(s[key] for s in noted["sessions"])) for key in noted["sessions"][0]}
    return {
        "recipe": job.recipe,
        "env": config.env,
        "algorithm": type(config.algorithm).__name__,
        "steps": last["steps"],
        "seed": job.seed,
        "evaluation_mean": round(noted["evaluation"]["mean"], 3),
        "evaluation_std": round(noted["evaluation"]["std"], 3),
        "training_mean": recent if recent is None else round(recent, 3),
        "steps_to_target": steps_to(TARGETS[job.recipe].value, rows),
        "seconds": round(last["time/seconds"], 1),
        "steps_per_second": round(last["steps"] / last["time/seconds"], 1),
        "sessions": len(noted["sessions"]),
        "exact": noted["exact"],
        **around,
        "date": noted["date"],
    }


def steps_to(target: float, rows: Sequence[Row]) -> int | None:
    """Steps after which the mean over the latest 100 training episodes first reached the target; None if never."""
    episodes = 0
    for row in rows:
        episodes += row["episode/count"]
        if episodes >= RECENT and row["episode/recent_return"] >= target:
            return row["steps"]
    return None


def summarise(recipe: str, rows: Sequence[Row], planned: int, total_steps: int | None = None) -> dict[str, str]:
    """One line of the table: a recipe over its seeds."""
    target, config = TARGETS[recipe], RECIPES[recipe]()
    column = "evaluation_mean" if target.protocol == "evaluation" else "training_mean"
    values = [row[column] for row in rows if row[column] is not None]
    line = {
        "task": config.env,
        "steps": f"{total_steps or target.steps:,}",
        "seeds": f"{len(rows)}" if len(rows) == planned else f"{len(rows)} of {planned}",
        "target": f"≥ {target.value:g} ({target.source})",
        "protocol": target.protocol,
    }
    if not values:
        return line | {"mean": "", "95 % interval": "", "each seed": "", "reached": "no result yet"}
    (low,), (high,) = bootstrap_interval(np.array(values)[:, None])
    return line | {
        "mean": f"{np.mean(values):.1f}",
        "95 % interval": f"{low:.1f} to {high:.1f}" if len(values) > 1 else "one seed",
        "each seed": ", ".join(f"{v:.1f}" for v in values),
        "reached": verdict(values, float(high), target.value, planned),
    }


def verdict(values: Sequence[float], high: float, target: float, planned: int) -> str:
    """Did the mean over seeds reach the target? Says so where seeds are missing or chance may decide."""
    answer = "yes"
    if sum(values) / len(values) < target:
        answer = "no, but the interval does" if high >= target else "no"
    each = f"{sum(v >= target for v in values)} of {len(values)} seeds do"
    return f"{answer} ({each})" if len(values) == planned else f"so far {answer} ({each}, {planned} planned)"


def report(options: Options) -> None:
    """Write CSV, table and picture of all finished runs, and say which are missing."""
    jobs = plan(options)
    done, missing = [j for j in jobs if stage(j) == "finished"], [j for j in jobs if stage(j) != "finished"]
    rows, folder = [result(job) for job in done], options.output_folder
    if not rows:
        say("no run is finished yet: nothing to report")
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "learning.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    text = page(options, rows, jobs, missing)
    (folder / "learning.md").write_text(text)
    plot_runs([job.folder for job in done], folder / "learning.png")
    say(text)
    say(f"written: {folder}/learning.csv, learning.md and learning.png")


def page(options: Options, rows: Sequence[Row], jobs: Sequence[Job], missing: Sequence[Job]) -> str:
    """The results as Markdown."""
    lines = []
    for recipe in options.recipes:
        planned = sum(job.recipe == recipe for job in jobs)
        lines.append(summarise(recipe, [row for row in rows if row["recipe"] == recipe], planned, options.total_steps))
    table = [list(lines[0]), ["---"] * len(lines[0]), *(list(line.values()) for line in lines)]
    title = "# Learning"
    if options.total_steps is not None:
        title = f"# A trial with {options.total_steps:,} steps per run: not the study, no claim rests on it"
    facts = ("commit", "machine", *PACKAGES, "date")
    return "\n".join(
        [
            title,
            "",
            "Written by `benchmarks/learning.py`. The numbers of every run are in `learning.csv`.",
            "",
            *("| " + " | ".join(cells) + " |" for cells in table),
            "",
            "![Learning curves](learning.png)",
            "",
            *(f"- {name}: {words}." for name, words in PROTOCOLS.items()),
            "- 95 % interval: percentile bootstrap of the mean over seeds; with so few seeds it is rather too narrow.",
            "- CleanRL's numbers are from its documentation, the same protocol on version 4 of the MuJoCo tasks.",
            "- steps per second, in the CSV file, are those of runs side by side; evaluations are not counted.",
            *([f"- still missing: {', '.join(map(str, missing))}."] if missing else []),
            *(f"- {fact}: {'; '.join(dict.fromkeys(r[fact] for r in rows if r[fact]))}" for fact in facts),
            "",
        ]
    )


def main() -> int:
    """Run what is not finished, then report; the exit status."""
    options = tyro.cli(Options, description=(__doc__ or "").partition("\n")[0])
    if unknown := set(options.recipes) - set(TARGETS):
        raise SystemExit(f"no recipe {', '.join(sorted(unknown))}: choose from {', '.join(TARGETS)}")
    if options.jobs < 1:
        raise SystemExit("--jobs must be at least 1")
    good = True
    if not options.report_only:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with alone(options.cache_folder):
                good = study(options)
        except KeyboardInterrupt:
            say("interrupted: the same command goes on from here")
            return 130
    report(options)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
