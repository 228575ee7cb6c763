"""Does Clipper learn? Suites of settings over several seeds, held against targets: the command behind each such claim.

$ python benchmarks/learning.py                               # the recipes, hours; interrupted, it goes on from there
$ python benchmarks/learning.py --suite line                  # every algorithm of the line on CartPole
$ python benchmarks/learning.py --suite line --report-only    # table and picture of what is finished so far
$ python benchmarks/learning.py --total-steps 4096            # a trial of the machinery, not a study

Each run is a process of its own with one thread, in a folder of the cache: a finished one is not run again, a
half-finished one is resumed, and one that fails is reported and holds up no other.
"""

import csv
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import cpu_count
from pathlib import Path

import numpy as np
import tyro
from comparisons import COMPARISONS
from learning_figures import draw
from learning_runs import (
    PACKAGES,
    Job,
    Row,
    alone,
    evaluate,
    last_words,
    launch,
    log_of,
    metrics,
    number,
    run_all,
    say,
    stage,
)
from notes import EXPLAINED, EXPLANATION, note, noted
from suites import SCORES, SUITES, Protocol

from clipper.data.bootstrap import bootstrap_interval
from clipper.runs.config_file import read_config

HERE = Path(__file__).resolve().parent
RECENT = 100  # episodes in the mean over the last ones of training, as metrics.jsonl has it
PROTOCOLS: dict[Protocol, str] = {
    "evaluation": "mean of 100 deterministic evaluation episodes (hybrid tasks: 1000) of the final policy",
    "success": "part of 1000 deterministic evaluation episodes of the final policy that succeeded",
    "training": f"mean of the last {RECENT} training episodes",
    "best": "the largest, over training, of the deterministic evaluations' mean over seeds; each seed's value is that "
    "of the same moment",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What to run."""

    suite: str = "recipes"
    """Which suite of suites.py; several, with commas between them, one after the other."""
    entries: tuple[str, ...] = ()
    """Which of its entries; by default all."""
    seeds: tuple[int, ...] = ()
    """Which seeds; by default 1 to the number that the entry asks for."""
    jobs: int = cpu_count() or 1
    """Runs side by side."""
    cache: Path | None = None
    """Folder of the runs; by default benchmarks/.cache/SUITE."""
    output: Path | None = None
    """Folder of the results; by default benchmarks/results for a whole suite, and the cache for a part or a trial."""
    report_only: bool = False
    """Run nothing: table and picture of what is finished, and a list of what is missing."""
    evaluate_again: bool = False
    """Train nothing: evaluate the finished runs anew, as the suite asks for today, then report."""
    total_steps: int | None = None
    """Try everything out with runs of this length, which is not the study; the cache has a folder of its own."""

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names of the entries."""
        return self.entries or tuple(SUITES[self.suite])

    @property
    def cache_folder(self) -> Path:
        """Where the runs are."""
        trial = "" if self.total_steps is None else f"-trial-{self.total_steps}"
        return self.cache or HERE / ".cache" / f"{self.suite}{trial}"

    @property
    def output_folder(self) -> Path:
        """Where the results go: a part of the study must not replace the whole."""
        whole = set(self.chosen) == set(SUITES[self.suite]) and not self.seeds and self.total_steps is None
        return self.output or (HERE / "results" if whole else self.cache_folder)


def plan(options: Options) -> list[Job]:
    """All runs of the study: first seeds first, so that an interrupted study has a little of everything."""
    jobs = [
        Job(options.suite, name, seed, options.cache_folder / name / f"seed{seed}", options.total_steps)
        for name in options.chosen
        for seed in options.seeds or range(1, SUITES[options.suite][name].seeds + 1)
    ]
    return sorted(jobs, key=lambda job: job.seed)


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
        success = "" if row["success_rate"] is None else f", success rate {row['success_rate']:.3f}"
        say(
            f"{job}: evaluation {shown(row['evaluation_mean'])} ± {row['evaluation_std']:.1f}{success}, last episodes "
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
    target, protocol = SUITES[job.suite][job.entry].target, SUITES[job.suite][job.entry].protocol
    best = [row["eval/return"] for row in rows if row.get("eval/return") is not None]
    return {
        "entry": job.entry,
        "env": config.env,
        "algorithm": type(config.algorithm).__name__,
        "engine": read_config(job.folder).engine,
        "steps": last["steps"],
        "seed": job.seed,
        "evaluation_mean": round(noted["evaluation"]["mean"], 3),
        "evaluation_std": round(noted["evaluation"]["std"], 3),
        "success_rate": noted["evaluation"].get("success_rate"),
        "training_mean": recent if recent is None else round(recent, 3),
        "best_evaluation": round(max(best), 3) if best else None,
        "steps_to_target": None if target is None or protocol == "success" else steps_to(target.value, rows),
        **time_to(SCORES.get(config.env), rows),
        "seconds": round(last["time/seconds"], 1),
        "processor_seconds": round(noted["processor_seconds"], 1) if "processor_seconds" in noted else None,
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


def time_to(score: float | None, rows: Sequence[Row]) -> Row:
    """Steps and seconds of training to a score, as columns; empty where there is none or it was not reached."""
    steps = None if score is None else steps_to(score, rows)
    seconds = next((row["time/seconds"] for row in rows if row["steps"] == steps), None)
    return {"steps_to_score": steps, "seconds_to_score": None if seconds is None else round(seconds, 1)}


def values_of(suite: str, name: str, jobs: Sequence[Job]) -> list[float]:
    """The number that stands for each run, by the entry's protocol."""
    protocol = SUITES[suite][name].protocol
    if protocol == "best":
        curves = [[r["eval/return"] for r in metrics(job) if r.get("eval/return") is not None] for job in jobs]
        points = np.array([curve[: min(map(len, curves))] for curve in curves])
        return points[:, points.mean(0).argmax()].tolist() if points.size else []
    rows = [result(job) for job in jobs]
    column = {"evaluation": "evaluation_mean", "success": "success_rate"}.get(protocol, "training_mean")
    return [row[column] for row in rows if row[column] is not None]


def summarise(suite: str, name: str, jobs: Sequence[Job], planned: int, total_steps: int | None = None) -> Row:
    """One line of the table: an entry over its seeds."""
    entry = SUITES[suite][name]
    config, target, values = entry.config(), entry.target, values_of(suite, name, jobs)
    line = {
        "entry": name,
        "task": config.env,
        "steps": f"{total_steps or config.total_steps:,}",
        "seeds": f"{len(jobs)}" if len(jobs) == planned else f"{len(jobs)} of {planned}",
        "target": "" if target is None else f"≥ {target.value:g} ({target.source})",
        "protocol": entry.protocol,
    }
    if noted(suite):
        line["what differs from what is published"] = note(suite, name, "en")
    if not values:
        return line | {"mean": "", "95 % interval": "", "each seed": "", "reached": "no result yet"}
    (low,), (high,) = bootstrap_interval(np.array(values)[:, None])
    return line | {
        "mean": shown(float(np.mean(values))),
        "95 % interval": f"{shown(low)} to {shown(high)}" if len(values) > 1 else "one seed",
        "each seed": ", ".join(map(shown, values)),
        "reached": "" if target is None else verdict(values, float(high), target.value, planned),
    }


def shown(x: float) -> str:
    """One decimal, or three where scores are of the size of 1."""
    return f"{x:.1f}" if abs(x) >= 10 else f"{x:.3f}"


def verdict(values: Sequence[float], high: float, target: float, planned: int) -> str:
    """Did the mean over seeds reach the target? Says so where seeds are missing or chance may decide."""
    answer = "yes"
    if sum(values) / len(values) < target:
        answer = "no, but the interval does" if high >= target else "no"
    each = f"{sum(v >= target for v in values)} of {len(values)} seeds do"
    return f"{answer} ({each})" if len(values) == planned else f"so far {answer} ({each}, {planned} planned)"


def report(options: Options) -> None:
    """Write CSV, table and picture of all finished runs, and say which are missing."""
    jobs = sorted(plan(options), key=lambda job: options.chosen.index(job.entry))
    done, missing = [j for j in jobs if stage(j) == "finished"], [j for j in jobs if stage(j) != "finished"]
    folder = options.output_folder
    if not done:
        say("no run is finished yet: nothing to report")
        return
    folder.mkdir(parents=True, exist_ok=True)
    rows = [result(job) for job in done]
    write_csv(folder / f"{options.suite}.csv", rows)
    points = [point for job in done for point in evaluations(job)]
    if points:
        write_csv(folder / f"{options.suite}-evaluations.csv", points)
    picture = folder / f"{options.suite}.png"
    compare = COMPARISONS.get(options.suite)
    comparison = [] if compare is None else [*compare(done, picture), ""]
    if compare is None:
        draw(done, picture)
    text = page(options, done, missing, rows, comparison)
    (folder / f"{options.suite}.md").write_text(text)
    say(text)
    say(f"written: {options.suite}.csv, .md and .png in {folder}")


def evaluations(job: Job) -> list[Row]:
    """Each evaluation during training as a row, with what it came from."""
    around = result(job)
    where = {key: around[key] for key in ("entry", "env", "algorithm", "engine", "seed")}
    facts = {key: around[key] for key in ("commit", "machine", *PACKAGES, "date")}
    rows = [row for row in metrics(job) if row.get("eval/return") is not None]
    return [where | {"steps": r["steps"], "return": round(r["eval/return"], 3)} | facts for r in rows]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Rows that share their columns."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def page(
    options: Options, done: Sequence[Job], missing: Sequence[Job], rows: Sequence[Row], comparison: Sequence[str] = ()
) -> str:
    """The results as Markdown, a comparison of variants first where the suite is one."""
    lines = []
    for name in options.chosen:
        planned = sum(job.entry == name for job in [*done, *missing])
        of_entry = [job for job in done if job.entry == name]
        lines.append(summarise(options.suite, name, of_entry, planned, options.total_steps))
    table = [list(lines[0]), ["---"] * len(lines[0]), *(list(line.values()) for line in lines)]
    title = f"# Learning: {options.suite.replace('_', ' ')}"
    if options.total_steps is not None:
        title = f"# A trial with {options.total_steps:,} steps per run: not the study, no claim rests on it"
    facts = ("commit", "machine", *PACKAGES, "date")
    used = {line["protocol"] for line in lines}
    numbers = f"`{options.suite}.csv`"
    return "\n".join(
        [
            title,
            "",
            f"Written by `benchmarks/learning.py --suite {options.suite}`. The numbers of every run are in {numbers}.",
            "",
            *comparison,
            f"![The picture of these numbers]({options.suite}.png)",
            "",
            *("| " + " | ".join(cells) + " |" for cells in table),
            "",
            *(f"- {name}: {words}." for name, words in PROTOCOLS.items() if name in used),
            "- 95 % interval: percentile bootstrap of the mean over seeds; with so few seeds it is rather too narrow.",
            *([f"- {EXPLANATION['en']}"] if options.suite in EXPLAINED else []),
            "- Targets of other libraries are published by them, on the version named.",
            "- steps per second, in the CSV file, are those of runs side by side; evaluations are not counted.",
            *([f"- still missing: {', '.join(map(str, missing))}."] if missing else []),
            *(f"- {fact}: {'; '.join(dict.fromkeys(r[fact] for r in rows if r[fact]))}" for fact in facts),
            "",
        ]
    )


def main() -> int:
    """Run what is not finished, then report; the exit status."""
    options = tyro.cli(Options, description=__doc__)
    suites = options.suite.split(",")
    for name in suites:
        if name not in SUITES:
            raise SystemExit(f"no suite {name}: choose from {', '.join(SUITES)}")
        if unknown := set(options.entries) - set(SUITES[name]):
            raise SystemExit(f"no entry {', '.join(sorted(unknown))}: choose from {', '.join(SUITES[name])}")
    if options.jobs < 1:
        raise SystemExit("--jobs must be at least 1")
    if options.cache is not None and len(suites) > 1:
        raise SystemExit("--cache is one suite's folder: leave it out, or name one suite")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return max(run_suite(replace(options, suite=name)) for name in suites)
    except KeyboardInterrupt:
        say("interrupted: the same command goes on from here")
        return 130


def run_suite(options: Options) -> int:
    """Run what is not finished of one suite, then report; the exit status."""
    good = True
    if options.evaluate_again:
        with alone(options.cache_folder):
            for job in plan(options):
                if stage(job) == "finished":
                    evaluate(job, job.study)
                    say(f"{job}: {number(job.study['evaluation']['mean'], '.3f')}")
    elif not options.report_only:
        with alone(options.cache_folder):
            good = study(options)
    report(options)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
