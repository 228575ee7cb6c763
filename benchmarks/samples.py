"""What speed.py measures: one process's result, how it is taken, and the file in which an interrupted run goes on."""

import csv
import dataclasses
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sides import ENVIRONMENTS, HERE, Side
from workloads import Workload

KERNELS = ("OPENBLAS_CORETYPE", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY")  # each library shall choose its own
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # each as many as the workload says
PATIENCE = 1800.0  # seconds that a process may take


class PeerError(Exception):
    """A side failed, or did other work than it was given."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One process's result."""

    workload: str
    library: str
    round: int
    steps: int
    seconds: float
    mean_return: float | None
    optimizer_steps: int
    threads: int
    memory: float
    """Megabytes at the peak, above those that the imports take."""
    load: float
    """The machine's load average over one minute, just before."""
    versions: str

    @property
    def speed(self) -> float:
        """Decisions per second."""
        return self.steps / self.seconds

    @property
    def words(self) -> str:
        """One line for the screen."""
        score = "" if self.mean_return is None else f", return {self.mean_return:.1f}"
        return f"{self.library} {self.speed:,.0f} steps/s{score}, {self.memory:,.0f} MB, load {self.load:.2f}"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and when the samples were taken."""

    cpu: str
    cores: int
    system: str
    commit: str
    date: str


def measure(side: Side, workload: Workload, number: int) -> Sample:
    """Run one side in its own process; refuses a result that did other work than the workload says."""
    load = os.getloadavg()[0]
    command = [side.python, HERE / "peers" / side.script, json.dumps(dataclasses.asdict(workload)), *side.arguments]
    with TemporaryDirectory() as folder:  # for what libraries write into the working folder
        try:
            done = subprocess.run(
                command,
                env={k: x for k, x in os.environ.items() if k not in KERNELS}
                | dict.fromkeys(THREADS, str(workload.threads)),
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise PeerError(f"not done after {PATIENCE:.0f} s") from None
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"steps"')]
    if done.returncode or not lines:
        raise PeerError(done.stderr.strip()[-3000:] or f"exit status {done.returncode}, and no result")
    result: dict[str, Any] = json.loads(lines[-1])
    if side.name != ENVIRONMENTS and result["optimizer_steps"] != workload.optimizer_steps:
        raise PeerError(
            f"{result['optimizer_steps']} optimizer steps on {workload.name}, not {workload.optimizer_steps}: not the "
            "same work"
        )
    return Sample(
        workload=workload.name,
        library=side.name,
        round=number,
        steps=result["steps"],
        seconds=result["seconds"],
        mean_return=result["return"],
        optimizer_steps=result["optimizer_steps"],
        threads=result["threads"],
        memory=result["memory"],
        load=load,
        versions=", ".join(f"{name} {version}" for name, version in result["versions"].items()),
    )


def machine() -> Machine:
    """The processor, the system and the commit of this run."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return Machine(
        cpu=models[0] if models else platform.processor() or platform.machine(),
        cores=os.cpu_count() or 0,
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        commit=commit_of(HERE.parent),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def commit_of(checkout: Path) -> str:
    """The commit of a checkout; + where files other than results have changed since."""
    git = ["git", "-C", str(checkout)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    changed = [*git, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results"]
    dirty = subprocess.run(changed, capture_output=True, text=True, check=False).stdout.strip()
    return (commit.strip() or "unknown") + ("+" if dirty else "")


def write_samples(path: Path, samples: list[Sample], where: Machine) -> None:
    """The samples with commit and machine, in place of what was there."""
    records = [
        dataclasses.asdict(s) | {"steps_per_second": round(s.speed, 1)} | dataclasses.asdict(where) for s in samples
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    partial.replace(path)


def read_samples(path: Path, where: Machine) -> list[Sample]:
    """The samples of an interrupted run; refuses those of another machine or commit."""
    if not path.exists():
        return []
    samples = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            for name in ("cpu", "system", "commit"):
                if row.get(name) != getattr(where, name):
                    raise SystemExit(
                        f"{path} cannot be resumed: its {name} is {row.get(name)}, here it is {getattr(where, name)}"
                    )
            samples.append(
                Sample(
                    workload=row["workload"],
                    library=row["library"],
                    round=int(row["round"]),
                    steps=int(row["steps"]),
                    seconds=float(row["seconds"]),
                    mean_return=float(row["mean_return"]) if row["mean_return"] else None,
                    optimizer_steps=int(row["optimizer_steps"]),
                    threads=int(row["threads"]),
                    memory=float(row["memory"]),
                    load=float(row["load"]),
                    versions=row["versions"],
                )
            )
    return samples
