"""`speed.py --against CHECKOUT`: is this checkout as fast as another one of Clipper?

Both train on the same work in turns, each run a fresh process: A B, B A, A B … A pair shares its seed and its moment,
so that a machine that slows down slows both. Iterations are timed in the process, after the first ones, and a run's
time is that of its median part (PARTS of equal length): what happens once in a part counts, a burst of something else
on the machine does not.

The interval is Student's for the mean of the pairs' log ratios. Logarithms, since then it does not matter which
checkout stands above the line; Student's and not a bootstrap's, since of some 20 pairs a bootstrap makes intervals that
are too short, whereas here an unquiet machine can only make it longer.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from samples import KERNELS, PATIENCE, THREADS, commit_of, machine
from scipy import stats
from sides import HERE
from workloads import WORKLOADS, Workload

WORKS = ("W1", "W2-512", "W3")
LENGTHS = {"W1": 450, "W2-512": 50, "W3": 50}
"""Iterations that take the cpu engine five or six seconds on two cores."""
PARTS = 9
SHARE_OF_TORCH = 4  # so many times as few iterations of the torch engine
FIRST = 3  # iterations that are never timed; or a tenth, where that is more
SHORTEST = FIRST + PARTS  # iterations


class SideError(Exception):
    """A run failed, or was not the run that was asked for."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder with Clipper's sources."""

    name: str
    path: Path
    commit: str

    @property
    def package(self) -> Path:
        """Where its package must be imported from."""
        return self.path / "src" / "clipper"


@dataclass(frozen=True, slots=True)
class Timing:
    """What one process told."""

    parts: tuple[float, ...]
    """Seconds of each part."""
    decisions: int
    load: float
    """The machine's load average over one minute, just before."""

    @property
    def seconds(self) -> float:
        """Of the median part."""
        return median(self.parts)


Pair = tuple[Timing, Timing]
"""This checkout's and the other's, whichever came first."""


@dataclass(frozen=True, slots=True)
class Interval:
    """How many times as fast this checkout is, and where that lies with 95 % confidence."""

    ratio: float
    low: float
    high: float

    def lies_within(self, low: float, high: float) -> bool:
        """Whether all of it does."""
        return low <= self.low and self.high <= high


def find_checkout(name: str, path: Path) -> Checkout:
    """The checkout at ``path``; refuses a folder without the package."""
    path = path.resolve()
    if not (path / "src" / "clipper" / "__init__.py").is_file():
        raise SystemExit(f"{path} has no src/clipper: --against takes a checkout of Clipper")
    return Checkout(name, path, commit_of(path))


def chosen(names: Sequence[str], iterations: int | None, engine: str) -> list[Workload]:
    """Workloads of these names, as long as they shall be here."""
    found = []
    known = {name.lower(): work for name, work in WORKLOADS.items() if not work.game and not work.memory}
    if unknown := [name for name in names if name.lower() not in known]:
        raise SystemExit(f"no workload {', '.join(unknown)} for the {engine} engine: choose from {', '.join(known)}")
    for work in (known[name.lower()] for name in names):
        usual = LENGTHS.get(work.name, work.iterations) // (SHARE_OF_TORCH if engine == "torch" else 1)
        length = iterations or max(usual, SHORTEST)
        if length < SHORTEST:
            raise SystemExit(f"--iterations {length} is too few: {SHORTEST} or more can be timed in {PARTS} parts")
        found.append(dataclasses.replace(work, iterations=length, warmup=length - PARTS * part_of(length)))
    return found


def part_of(iterations: int) -> int:
    """The iterations of one part; what does not divide belongs to the warm-up."""
    return (iterations - max(FIRST, iterations // 10)) // PARTS


def orders(pairs: int) -> Iterator[tuple[int, int]]:
    """Which side begins, by pair: this checkout is 0, the other 1."""
    return ((0, 1) if number % 2 == 0 else (1, 0) for number in range(pairs))


def interval(ratios: Sequence[float]) -> Interval:
    """The geometric mean of ``ratios`` and Student's interval for it: exp(m ± t s/√n) of their logarithms."""
    logs = np.log(ratios)
    mean, half = logs.mean(), stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    return Interval(*(float(np.exp(x)) for x in (mean, mean - half, mean + half)))


def ratios_of(pairs: Sequence[Pair]) -> list[float]:
    """How many times as fast this checkout was, pair by pair."""
    return [other.seconds / own.seconds for own, other in pairs]


def read(output: str, side: Checkout, work: Workload, engine: str, load: float) -> Timing:
    """What a process printed; refuses another engine, and another checkout's package."""
    lines = [line for line in output.splitlines() if line.startswith('{"engine"')]
    if not lines:
        raise SideError(f"{side.name} ({side.commit}) told no result on {work.name}")
    result: dict[str, Any] = json.loads(lines[-1])
    if result["engine"] != engine:
        raise SideError(
            f"{side.name} ({side.commit}) ran {work.name} on the {result['engine']} engine, not on {engine}: nothing "
            "is compared; see what `clipper.train` with this engine says there"
        )
    if Path(result["package"]) != side.package:
        raise SideError(f"{side.name} imported {result['package']}, not {side.package}: take that off Python's path")
    seconds, size = result["seconds"][work.warmup - 1 :], part_of(work.iterations)
    if len(seconds) != PARTS * size:
        raise SideError(
            f"{side.name} ended {work.name} after {len(result['seconds']) + 1} of {work.iterations} iterations"
        )
    parts = tuple(sum(seconds[k : k + size]) for k in range(0, len(seconds), size))
    return Timing(parts, result["decisions"], load)


def environment_of(side: Checkout, work: Workload) -> dict[str, str]:
    """A process's environment variables: its own package, the workload's threads, and nothing that chooses engines."""
    kept = {k: x for k, x in os.environ.items() if k not in (*KERNELS, "CLIPPER_ENGINE")}
    own = {"PYTHONPATH": str(side.path / "src"), "PYTHONHASHSEED": "0"}
    return kept | own | dict.fromkeys(THREADS, str(work.threads))


def measure(side: Checkout, work: Workload, engine: str) -> Timing:
    """Run one side in a process of its own."""
    load = os.getloadavg()[0]
    given = json.dumps([dataclasses.asdict(work), engine])
    with TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-P", HERE / "timed_run.py", given],  # -P: nothing beside the script is imported
                env=environment_of(side, work),
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise SideError(f"{side.name} is not done with {work.name} after {PATIENCE:.0f} s") from None
    if done.returncode:
        raise SideError(f"{side.name} ({side.commit}) failed on {work.name}:\n{done.stderr.strip()[-3000:]}")
    return read(done.stdout, side, work, engine, load)


class Comparison:
    """Two checkouts on some work: what is measured so far, and the file that says so after every pair."""

    def __init__(self, sides: tuple[Checkout, Checkout], engine: str, say: Console, out: Path | None) -> None:
        self.sides, self.engine, self.say, self.out = sides, engine, say, out
        self.where = machine()
        self.pairs: dict[str, list[Pair]] = {}

    def run(self, works: Sequence[Workload], pairs: int) -> None:
        """Every workload, pair by pair; kernels are compiled before the first one."""
        for work in works:
            self.say.print(f"{work.name}: {work.words}", highlight=False)
            short = dataclasses.replace(work, iterations=SHORTEST, warmup=FIRST)
            for side in self.sides:
                measure(side, short, self.engine)
            self.pairs[work.name] = []
            for number, order in enumerate(orders(pairs)):
                seeded = dataclasses.replace(work, seed=number + 1)
                runs = {k: measure(self.sides[k], seeded, self.engine) for k in order}
                self.pairs[work.name].append((runs[0], runs[1]))
                self.tell(number, runs)
                self.write()

    def tell(self, number: int, runs: dict[int, Timing]) -> None:
        """One line for a pair."""
        own, other = runs[0], runs[1]
        self.say.print(
            f"  pair {number + 1}: {own.seconds:.3f} s and {other.seconds:.3f} s, ratio "
            f"{other.seconds / own.seconds:.3f}, load {own.load:.2f} and {other.load:.2f}",
            highlight=False,
        )

    def intervals(self) -> dict[str, Interval]:
        """By workload, once there are two pairs."""
        return {name: interval(ratios_of(pairs)) for name, pairs in self.pairs.items() if len(pairs) > 1}

    def table(self) -> Table:
        """The result for the screen."""
        this, other = self.sides
        where = f"{self.where.cpu}, {self.where.cores} cores"
        table = Table(title=f"{this.commit} beside {other.commit}, {self.engine} engine; {where}")
        columns = "workload", "pairs", "times as fast", "95 % interval", "same decisions", "load before"
        for name in columns:
            table.add_column(name, justify="left" if name == "workload" else "right")
        for name, found in self.intervals().items():
            pairs = self.pairs[name]
            loads = [run.load for pair in pairs for run in pair]
            same = sum(own.decisions == other.decisions for own, other in pairs)
            table.add_row(
                name,
                str(len(pairs)),
                f"{found.ratio:.3f}",
                f"{found.low:.3f} to {found.high:.3f}",
                f"{same} of {len(pairs)}",
                f"{min(loads):.2f} to {max(loads):.2f}",
            )
        return table

    def write(self) -> None:
        """All of it as JSON, where that was asked for."""
        if self.out is None:
            return
        found = self.intervals()
        works = {
            name: {
                "interval": dataclasses.asdict(found[name]) if name in found else None,
                "pairs": [[dataclasses.asdict(run) for run in pair] for pair in pairs],
            }
            for name, pairs in self.pairs.items()
        }
        facts = dataclasses.asdict(self.where) | {
            "engine": self.engine,
            "against": self.sides[1].commit,
            "works": works,
        }
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def outside(found: dict[str, Interval], low: float, high: float) -> list[str]:
    """A line for each workload whose interval does not lie between the two."""
    return [
        f"{name}: {x.low:.3f} to {x.high:.3f} does not lie within {low:g} to {high:g}"
        for name, x in found.items()
        if not x.lies_within(low, high)
    ]
