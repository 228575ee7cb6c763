"""Clipper's training speed beside its peers', on the same work, in one run.

sh benchmarks/make_peers.sh                                 # before: the peers' virtual environments
python benchmarks/speed.py --quick                          # under 3 minutes: Clipper and Stable-Baselines3 on CartPole
python benchmarks/speed.py --cleanrl PATH                   # all of it; the path is a checkout
python benchmarks/speed.py --works w1 w3 --rounds 3         # some rows

Every side trains in a process of its own, one after another, round by round (A B C A B C …), so that a machine that
slows down slows all. A peer that is not installed is left out with a message.
"""

import csv
import dataclasses
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table
from workloads import WORKLOADS, Workload, flops_per_decision, measure_peak, speed_limit

HERE = Path(__file__).resolve().parent
ENVIRONMENTS, CLIPPER, EAGER = "environments alone", "Clipper", "Clipper, torch engine"
LIMIT = "computed limit"
KERNELS = ("OPENBLAS_CORETYPE", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY")  # each library shall choose its own
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # each as many as the workload says
RECENT = 100  # episodes in the mean training return, as in peers/measure.py

Row = dict[str, str]


QUICK = dataclasses.replace(WORKLOADS["W1"], iterations=40)


@dataclass(frozen=True, slots=True)
class Side:
    """One library: the interpreter of its virtual environment, and the script that runs it."""

    name: str
    python: Path
    script: str
    arguments: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("python",)
    """Of environments that it can be given: Python's, stepped one by one, and natively vectorised ones."""


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


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure."""

    works: tuple[str, ...] = tuple(WORKLOADS)
    """Rows, by name (benchmarks/workloads.py lists them); capitals do not matter."""
    cleanrl: Path | None = None
    """A checkout of CleanRL; it is on no package index, and left out without this."""
    rounds: int = 5
    """The table shows medians over them."""
    iterations: int | None = None
    """Training iterations per process, instead of each workload's own number."""
    peak: float | None = None
    """Float32 GFLOP/s of one core, for the computed limit; measured where it is not given."""
    quick: bool = False
    """Clipper and Stable-Baselines3 on a shorter W1, three rounds, nothing written unless --out says where."""
    out: Path | None = None
    """Results go to this path with .md and .csv added; by default benchmarks/results/speed."""


BOTH = ("python", "native")
CHECKOUTS = ("cleanrl",)  # on no package index


def find_sides(options: Options, say: Console) -> list[Side]:
    """All that can run here, in the order of each round."""
    here = Path(sys.executable)
    sides = [
        Side(ENVIRONMENTS, here, "run_environments.py", kinds=BOTH),
        Side(CLIPPER, here, "run_clipper.py", ("cpu",), BOTH),
        Side(EAGER, here, "run_clipper.py", ("torch",), BOTH),
    ]
    peers = [
        ("Stable-Baselines3", "sb3", ("python",), None),
        ("CleanRL", "cleanrl", BOTH, options.cleanrl),
        ("Tianshou", "tianshou", ("python",), None),
        ("skrl", "skrl", ("python",), None),
    ]
    for name, folder, kinds, checkout in peers[:1] if options.quick else peers:
        python = HERE / ".peers" / folder / "bin" / "python"
        if checkout is None and folder in CHECKOUTS:
            say.print(f"{name} is left out: give a checkout with --{folder} PATH")
        elif not python.exists():
            say.print(f"{name} is left out: sh benchmarks/make_peers.sh {folder} makes its virtual environment")
        else:
            sides.append(Side(name, python, f"run_{folder}.py", (str(checkout and checkout.resolve()),), kinds))
    return sides


def measure(side: Side, workload: Workload, number: int) -> Sample:
    """Run one side in its own process; refuses a result that did other work than the workload says."""
    load = os.getloadavg()[0]
    command = [side.python, HERE / "peers" / side.script, json.dumps(dataclasses.asdict(workload)), *side.arguments]
    with TemporaryDirectory() as folder:  # for what libraries write into the working folder
        done = subprocess.run(
            command,
            env={k: x for k, x in os.environ.items() if k not in KERNELS}
            | dict.fromkeys(THREADS, str(workload.threads)),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{side.name} failed on {workload.name}:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if side.name != ENVIRONMENTS and result["optimizer_steps"] != workload.optimizer_steps:
        raise SystemExit(
            f"{side.name} took {result['optimizer_steps']} optimizer steps on {workload.name}, not "
            f"{workload.optimizer_steps}: not the same work"
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


def summarise(samples: list[Sample], peak: float) -> list[Row]:
    """One row per workload and library: median speed and its range, Clipper's ratio to it, memory, mean return.

    The ratios are medians over rounds of Clipper's speed, with either engine, by the other's in the same round: what
    slows the machine for a while slows both. Their range is that of the rounds. ``peak`` (FLOP/s of one core) gives a
    row with what could be reached at most, wherever the environments were measured alone.
    """
    rows: list[Row] = []
    for workload, library in dict.fromkeys((s.workload, s.library) for s in samples):
        mine = {s.round: s for s in samples if (s.workload, s.library) == (workload, library)}
        returns = [s.mean_return for s in mine.values() if s.mean_return is not None]
        rows.append(
            speed_row(workload, library, mine, samples)
            | {
                "memory, MB": f"{median(s.memory for s in mine.values()):,.0f}" if library != ENVIRONMENTS else "",
                "training return": f"{median(returns):.1f}" if returns else "",
                "versions": next(iter(mine.values())).versions,
            }
        )
        if library == ENVIRONMENTS:
            limits = {n: dataclasses.replace(s, library=LIMIT, **at_limit(s, peak)) for n, s in mine.items()}
            empty = {"memory, MB": "", "training return": "", "versions": f"{peak / 1e9:.0f} GFLOP/s per core"}
            rows.append(speed_row(workload, LIMIT, limits, samples) | empty)
    return rows


def at_limit(alone: Sample, peak: float) -> dict[str, float]:
    """Seconds for the same decisions, if there were nothing but environments and matrix products."""
    work = WORKLOADS[alone.workload]
    flops = flops_per_decision(work.hidden, work.sizes, work.epochs)
    return {"seconds": alone.steps / speed_limit(alone.speed, flops, peak, work.threads)}


def speed_row(workload: str, library: str, mine: dict[int, Sample], samples: list[Sample]) -> Row:
    """A row's speeds and ratios."""
    speeds = [s.speed for s in mine.values()]
    ratios = {name: ratios_to(name, mine, samples) for name in (CLIPPER, EAGER)}
    return {
        "workload": workload,
        "library": library,
        "steps/s": f"{median(speeds):,.0f}",
        "range": f"{min(speeds):,.0f} to {max(speeds):,.0f}",
        "Clipper is": ratio_words(ratios[CLIPPER]) if library != CLIPPER else "",
        "its torch engine is": ratio_words(ratios[EAGER]) if library not in (CLIPPER, EAGER) else "",
    }


def ratios_to(name: str, others: dict[int, Sample], samples: list[Sample]) -> list[float]:
    """Speed of the side ``name`` by that of another one's samples, round by round."""
    own = {(s.workload, s.round): s.speed for s in samples if s.library == name}
    pairs = [(own.get((s.workload, s.round)), s.speed) for s in others.values()]
    return [mine / other for mine, other in pairs if mine is not None and other > 0]


def ratio_words(ratios: list[float]) -> str:
    """2.00× (1.90 to 2.10); empty without a partner."""
    return f"{median(ratios):.2f}× ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""


def machine() -> Machine:
    """The processor, the system and the commit of this run."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    return Machine(
        cpu=models[0] if models else platform.processor() or platform.machine(),
        cores=os.cpu_count() or 0,
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        commit=commit,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def markdown(rows: list[Row], samples: list[Sample], workloads: list[Workload], where: Machine) -> str:
    """The results page."""
    columns = [name for name in rows[0] if name != "versions"]
    lines = [" | ".join(columns), "|".join("---" for _ in columns)]
    lines += [" | ".join(row[name] for name in columns) for row in rows]
    loads = [s.load for s in samples]
    facts = [
        f"{where.cpu}, {where.cores} cores, {where.system}, commit {where.commit}, {where.date}",
        f"{1 + max(s.round for s in samples)} rounds, sides alternating, each round with a seed of its own; load "
        f"average before a process {min(loads):.2f} to {max(loads):.2f}",
        f"{', '.join(THREADS)} and torch's threads: the workload's",
        *(f"{library}: {versions}" for library, versions in {r["library"]: r["versions"] for r in rows}.items()),
    ]
    return PAGE.format(
        workloads="\n".join(f"- {w.name}: {w.words}." for w in workloads),
        table="\n".join(f"| {line} |" for line in lines),
        facts="\n".join(f"- {fact}" for fact in facts),
        recent=RECENT,
    )


PAGE = """# Training speed

Written by `benchmarks/speed.py`; the numbers of every process are in the CSV file of the same name.

{workloads}

{table}

`steps/s` counts decisions (rows in which an environment was only reset are none) by wall-clock time, from the end of
the warm-up to the end of the last iteration; median and range over rounds. `Clipper is` so many times as fast: median
and range over rounds of the ratio within a round. `training return` is the mean over the last {recent} episodes of
training, median over rounds; for the environments alone, actions are random. `memory` is the process's peak above
what its imports take. `computed limit` is threads / (1/v + F/p): v the speed of the environments alone, F the
operations of the networks' products per decision, p the fused multiply-adds that a core does at best; nothing overlaps.
Rows with natively vectorised environments stand for themselves.

All sides: Gymnasium's own environments, two separate tanh networks, Adam, γ 0.99, λ 0.95, clip 0.2, value
coefficient 0.5 on the mean squared error, no value clip, no entropy bonus, gradient norm at most 0.5, advantages
standardised per minibatch, no normalisation of observations or rewards, the same number of optimizer steps (checked).
Clipper is timed through `clipper.train` into a run folder (metrics, TensorBoard events, checkpoints), with its compiled
CPU engine and with its torch engine, which is the definition that the other one is held to;
Stable-Baselines3 through `learn` with its default logging, on `DummyVecEnv`; CleanRL's script is unmodified and logs to
TensorBoard, but for continuous actions its normalising wrappers are taken out. Tianshou, on its
`DummyVectorEnv`, logs nothing by default; skrl, on Gymnasium's synchronous vector environment, standardises advantages
per batch and writes a checkpoint ten times.

{facts}
"""


def write(out: Path, samples: list[Sample], page: str, where: Machine) -> None:
    """The page, and the samples with commit and machine."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".md").write_text(page)
    with out.with_suffix(".csv").open("w", newline="") as file:
        records = [
            dataclasses.asdict(s) | {"steps_per_second": round(s.speed, 1)} | dataclasses.asdict(where) for s in samples
        ]
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)


def chosen(names: tuple[str, ...]) -> list[Workload]:
    """Workloads of these names."""
    known = {name.lower(): work for name, work in WORKLOADS.items()}
    if unknown := [name for name in names if name.lower() not in known]:
        raise SystemExit(f"no workload {', '.join(unknown)}: choose from {', '.join(known)}")
    return [known[name.lower()] for name in names]


def main() -> None:
    """Measure, print the table, write the results."""
    options = tyro.cli(Options, description=__doc__)
    say = Console(width=None if sys.stdout.isatty() else 140)
    workloads = [QUICK] if options.quick else chosen(options.works)
    if options.iterations is not None:
        workloads = [dataclasses.replace(w, iterations=options.iterations) for w in workloads]
    if any(w.iterations <= w.warmup for w in workloads):
        raise SystemExit("--iterations must exceed the warm-up's 3")
    sides, where, samples = find_sides(options, say), machine(), []
    peak = options.peak * 1e9 if options.peak else measure_peak()
    for workload in workloads:
        say.print(f"{workload.name}: {workload.words}")
        for number in range(min(options.rounds, 3) if options.quick else options.rounds):
            for side in sides:
                if ("native" if workload.native else "python") in side.kinds:
                    samples.append(measure(side, dataclasses.replace(workload, seed=number + 1), number))
                    say.print(f"  round {number + 1}: {samples[-1].words}", highlight=False)
    rows = summarise(samples, peak)
    table = Table(title=f"{where.cpu}, {where.cores} cores, commit {where.commit}")
    for name in rows[0]:
        if name != "versions":
            table.add_column(name, justify="left" if name in ("workload", "library") else "right")
    for row in rows:
        table.add_row(*(value for name, value in row.items() if name != "versions"))
    say.print(table)
    out = options.out or (None if options.quick else HERE / "results" / "speed")
    if out is not None:
        write(out, samples, markdown(rows, samples, workloads, where), where)
        say.print(f"written: {out.with_suffix('.md')} and {out.with_suffix('.csv')}")


if __name__ == "__main__":
    main()
