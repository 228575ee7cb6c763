"""The runs of the learning studies: one process each, resumed where a study before left them.

python benchmarks/learning_runs.py '["line", "trpo", 1, "FOLDER", null]' is one run: suite, entry, seed, folder, and
steps where they are not the entry's.
"""

import dataclasses
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from suites import SUITES, with_seed

import clipper
from clipper.cli.session import StopOnSignal
from clipper.runs.config_file import read_config

HERE = Path(__file__).resolve().parent
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
EVALUATION_SEED = 10_000_000  # far from training's seeds and from those of the evaluations during training
SEEDS_APART = 10_000  # runs are evaluated on episodes of their own, so that the interval over runs has their luck in it
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_BETWEEN_STATUS_LINES = 60.0
PACKAGES = {"clipper": "clipper-rl", "torch": "torch", "gymnasium": "gymnasium", "numpy": "numpy", "mujoco": "mujoco"}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """One entry of a suite with one seed, in its folder."""

    suite: str
    entry: str
    seed: int
    folder: Path
    total_steps: int | None = None

    @property
    def config(self) -> clipper.Config:
        """The settings it is to run with."""
        return with_seed(self.suite, self.entry, self.seed, self.total_steps)

    @property
    def study(self) -> Row:
        """What ``train_one`` noted: its sessions, and the final evaluation once there is one."""
        path = self.folder / "study.json"
        return json.loads(path.read_text()) if path.exists() else {"sessions": []}

    def __str__(self) -> str:
        return f"{self.entry} seed {self.seed}"


def stage(job: Job) -> Literal["new", "unsaved", "saved", "finished", "other settings"]:
    """How far a run is; a run of settings other than the suite's of today never counts."""
    if not (job.folder / "config.json").exists():
        return "new"
    try:
        # A run notes the engine and the stepping that it got, where "auto" was asked for.
        plan = job.config
        same = dataclasses.replace(read_config(job.folder), engine=plan.engine, vector=plan.vector) == plan
    except clipper.ClipperError:
        same = False
    if not same:
        return "other settings"
    if "evaluation" in job.study:
        return "finished"
    return "saved" if (job.folder / "checkpoint.safetensors").exists() else "unsaved"


def make_way(job: Job) -> None:
    """Clear a folder from which nothing can be resumed; runs of other settings are kept beside it."""
    now = stage(job)
    if now == "other settings":
        number = 1
        while (aside := job.folder.with_name(f"{job.folder.name}.aside{number}")).exists():
            number += 1
        job.folder.rename(aside)
        say(f"{job}: its settings have changed since it was run; the old run is now {aside.name}")
    elif now == "unsaved":
        shutil.rmtree(job.folder)


def train_one(job: Job) -> int:
    """The work of one process: train or resume, evaluate, note the result; the exit status."""
    study, parent = job.study, os.getppid()
    study["sessions"].append(surroundings())
    write_json(job.folder / "study.json", study)
    with StopOnSignal() as stop:
        # A run whose parent was killed stops as well: the next study would train in the same folder.
        callback = [stop, lambda _: os.getppid() == parent]
        make, config = SUITES[job.suite][job.entry].policy, job.config
        policy = None if make is None else make(config)
        if stage(job) == "saved":
            run = clipper.train(resume=job.folder, policy=policy, callback=callback)
        else:
            run = clipper.train(config, policy=policy, run_dir=job.folder, callback=callback)
    study["processor_seconds"] = study.get("processor_seconds", 0.0) + time.process_time()
    write_json(job.folder / "study.json", study)
    if run.steps < run.config.total_steps:
        return 128 + (stop.received or signal.SIGHUP)
    study |= {"exact": run.exact, "date": datetime.now(UTC).strftime("%Y-%m-%d")}
    evaluate(job, study)
    return 0


def evaluate(job: Job, study: Row) -> None:
    """Evaluate the final policy and note it."""
    make, seed = SUITES[job.suite][job.entry].policy, EVALUATION_SEED + SEEDS_APART * job.seed
    policy: Any = clipper.load(job.folder, policy=None if make is None else make(job.config))
    found = clipper.evaluate(policy, job.config.env, episodes=SUITES[job.suite][job.entry].episodes, seed=seed)
    study["evaluation"] = {
        "mean": found.mean, "std": found.std, "success_rate": found.success_rate, "returns": found.returns.tolist(),
        "seed": seed,
    }  # fmt: skip
    write_json(job.folder / "study.json", study)


def surroundings() -> dict[str, str]:
    """Code, machine and versions of the present process."""
    return {"commit": commit(), "machine": machine()} | {name: installed(p) for name, p in PACKAGES.items()}


def commit() -> str:
    """The commit checked out, with + where the code that matters here differs from it."""
    git = ["git", "-C", str(HERE.parent)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    code = ["src", "pyproject.toml", "benchmarks/learning_runs.py", "benchmarks/suites.py"]
    dirty = subprocess.run([*git, "status", "--porcelain", "--", *code], capture_output=True, text=True, check=False)
    return (head.stdout.strip() + ("+" if dirty.stdout.strip() else "")) or "unknown"


def machine() -> str:
    """The processor's model, and how many cores there are."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def installed(package: str) -> str:
    """A package's version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def write_json(path: Path, data: Any) -> None:
    """Written aside and renamed: whole, or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(data, indent=2) + "\n")
    aside.replace(path)


def launch(job: Job) -> subprocess.Popen:
    """``train_one`` in a process of its own; what it prints goes to ``<folder>.log``."""
    make_way(job)
    job.folder.parent.mkdir(parents=True, exist_ok=True)
    arguments = json.dumps([job.suite, job.entry, job.seed, str(job.folder), job.total_steps])
    with log_of(job).open("a") as log:
        return subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | ONE_THREAD,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then ends each child once
        )


def log_of(job: Job) -> Path:
    """What a run printed."""
    return job.folder.with_name(job.folder.name + ".log")


def run_all(
    jobs: Sequence[Job],
    at_once: int,
    start: Callable[[Job], subprocess.Popen],
    ended: Callable[[Job, int], None],
    status: Callable[[Sequence[Job]], None],
) -> None:
    """Keep ``at_once`` processes going until all jobs have ended; none outlives this function."""
    waiting, running = list(jobs), {}
    last = time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                running[job] = start(job)
            for job in [j for j, process in running.items() if process.poll() is not None]:
                ended(job, running.pop(job).returncode)
            if time.monotonic() - last >= SECONDS_BETWEEN_STATUS_LINES:
                last = time.monotonic()
                status(list(running))
            time.sleep(SECONDS_BETWEEN_LOOKS)
    finally:
        end(list(running.values()))


def end(processes: Sequence[subprocess.Popen]) -> None:
    """Ask processes to end, which lets each save its run; a second interrupt ends them at once."""
    for process in processes:
        process.terminate()
    try:
        for process in processes:
            process.wait()
    except KeyboardInterrupt:
        for process in processes:
            process.kill()
        raise


def last_words(log: Path) -> str:
    """The last line that a failed process printed."""
    lines = log.read_text().splitlines() if log.exists() else []
    return lines[-1] if lines else "it printed nothing"


def metrics(job: Job) -> list[Row]:
    """A run's rows; a last line that is still being written is left out."""
    path = job.folder / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def number(x: float | None, form: str) -> str:
    """``x`` in the given form, or a dash where there is none."""
    return "-" if x is None else format(x, form)


@contextmanager
def alone(cache: Path) -> Iterator[None]:
    """Refuse a second study in the same cache, where the system has file locks."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as file:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise SystemExit(f"another study is running in {cache}") from None
        yield


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    suite, entry, seed, folder, total_steps = json.loads(sys.argv[1])
    sys.exit(train_one(Job(suite, entry, seed, Path(folder), total_steps)))
