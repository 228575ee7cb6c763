"""Clipper's training speed beside its peers', or beside another checkout's, on the same work, in one run.

$ sh benchmarks/make_peers.sh  # before: the peers' virtual environments
$ python benchmarks/speed.py --quick  # under 3 minutes: Clipper and Stable-Baselines3 on CartPole
$ python benchmarks/speed.py --cleanrl PATH --leanrl PATH --purejaxrl PATH  # all of it; the paths are checkouts
$ python benchmarks/speed.py --works w1 w3 --peers sb3 torchrl --rounds 3  # some rows, some peers
$ python benchmarks/speed.py --resume  # go on where an interrupted run of the same commit stopped
$ python benchmarks/speed.py --against CHECKOUT  # this checkout beside another one: 20 pairs on W1, W2-512 and W3
$ python benchmarks/speed.py --against CHECKOUT --only W1 --within 0.97 1.03  # status 1 unless the interval lies there

Every side trains in a process of its own, one after another, round by round (A B C A B C …), so that a machine that
slows down slows all. A peer that is not installed is left out, and one that fails on a workload is left out of its
further rounds, each with a message here and on the page; then the exit status is 1. Results are written after every
process. With ``--against`` the two sides are checkouts (benchmarks/against.py says how they are compared), and the
status is 0 whatever comes out, unless ``--within`` says what it should be.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median, mode
from typing import Annotated, Literal

import against
import tyro
from rich.console import Console
from rich.table import Table
from samples import THREADS, Machine, PeerError, Sample, machine, measure, read_samples, write_samples
from sides import CHECKOUTS, CLIPPER, EAGER, ENVIRONMENTS, HERE, PEERS, Side, find_sides
from workloads import WORKLOADS, Workload, flops_per_decision, measure_peak, speed_limit

LIMIT = "computed limit"
RECENT = 100  # episodes in the mean training return, as in peers/measure.py

Row = dict[str, str]
Missing = dict[str, dict[str, str]]
"""By library and workload ("" for all): why it was not measured."""

QUICK = dataclasses.replace(WORKLOADS["W1"], iterations=40)


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure."""

    works: Annotated[tuple[str, ...] | None, tyro.conf.arg(aliases=["--only"])] = None
    """Rows, by name (benchmarks/workloads.py lists them); capitals do not matter. By default all; with --against W1,
    W2-512 and W3."""
    peers: tuple[str, ...] = PEERS
    """Beside Clipper, which is always measured."""
    cleanrl: Path | None = None
    """A checkout of CleanRL; it is on no package index, and left out without this."""
    leanrl: Path | None = None
    """A checkout of LeanRL, in the same way."""
    purejaxrl: Path | None = None
    """A checkout of PureJaxRL, in the same way."""
    rounds: int = 5
    """The table shows medians over them."""
    iterations: int | None = None
    """Training iterations per process, instead of each workload's own number."""
    against: Path | None = None
    """Another checkout of Clipper: nothing is measured but this one beside it."""
    pairs: int = 20
    """Runs of each checkout and workload, with --against."""
    engine: Literal["cpu", "torch"] = "cpu"
    """What both checkouts must compute with, with --against; another one is an error."""
    within: tuple[float, float] | None = None
    """With --against: exit status 1 where an interval does not lie between these two."""
    peak: float | None = None
    """Float32 GFLOP/s of one core, for the computed limit; measured where it is not given."""
    resume: bool = False
    """Take what the CSV file has, of this commit and machine, and measure the rest."""
    quick: bool = False
    """Clipper and Stable-Baselines3 on a shorter W1, three rounds, nothing written unless --out says where."""
    out: Path | None = None
    """Results go to this path with .md and .csv added; by default benchmarks/results/speed. With --against they are
    written only where this is given, and .json is added."""


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
    return {"seconds": alone.steps / speed_limit(alone.speed, flops_per_decision(work), peak, work.threads)}


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


def markdown(
    rows: list[Row], samples: list[Sample], workloads: list[Workload], where: Machine, missing: Missing | None = None
) -> str:
    """The results page."""
    columns = [name for name in rows[0] if name != "versions"]
    lines = [" | ".join(columns), "|".join("---" for _ in columns)]
    lines += [" | ".join(row[name] for name in columns) for row in rows]
    loads = [s.load for s in samples]
    facts = [
        f"{where.cpu}, {where.cores} cores, {where.system}, commit {where.commit}, {where.date}",
        f"{round_words(samples)}, sides alternating, each round with a seed of its own; load average before a process "
        f"{min(loads):.2f} to {max(loads):.2f}",
        f"{', '.join(THREADS)} and torch's threads: the workload's",
        *(f"{library}: {versions}" for library, versions in {r["library"]: r["versions"] for r in rows}.items()),
        *(f"not measured: {line}" for line in missing_words(missing or {})),
    ]
    return PAGE.format(
        workloads="\n".join(f"- {w.name}: {w.words}." for w in workloads),
        table="\n".join(f"| {line} |" for line in lines),
        facts="\n".join(f"- {fact}" for fact in facts),
        recent=RECENT,
    )


def round_words(samples: list[Sample]) -> str:
    """How many rounds there were; which workloads had another number."""
    rounds: dict[str, int] = {}
    for s in samples:
        rounds[s.workload] = max(rounds.get(s.workload, 0), s.round + 1)
    usual = mode(rounds.values())
    others = [f"{workload}: {number}" for workload, number in rounds.items() if number != usual]
    return f"{usual} rounds" + (f" ({', '.join(others)})" if others else "")


def missing_words(missing: Missing) -> list[str]:
    """Libraries and workloads that were not measured, with the reason."""
    lines = []
    for library, reasons in missing.items():
        for reason in dict.fromkeys(reasons.values()):
            works = [work for work, given in reasons.items() if given == reason and work]
            lines.append(f"{library}{' on ' if works else ''}{', '.join(works)} ({reason})")
    return lines


PAGE = """# Training speed

Written by `benchmarks/speed.py`; the numbers of every process are in the CSV file of the same name.

{workloads}

{table}

`steps/s` counts decisions (rows in which an environment was only reset are none) by wall-clock time, from the end of
the warm-up to the end of the last iteration; median and range over rounds. `Clipper is` so many times as fast: median
and range over rounds of the ratio within a round. `training return` is the mean over the last {recent} episodes of
training, median over rounds; for the environments alone, actions are random. `memory` is the process's peak above
what its imports take; Clipper's up to its last iteration, since the picture of the run, which no other side draws,
comes after it. `computed limit` is threads / (1/v + F/p): v the speed of the environments alone, F the
operations of the networks' products per decision, p the fused multiply-adds that a core does at best; nothing overlaps.
Rows with natively vectorised environments (W2) are compared with each other only.

All sides: Gymnasium's own environments (PureJaxRL: gymnax's CartPole, compiled together with its training), two
separate tanh networks, Adam, γ 0.99, λ 0.95, clip 0.2, value
coefficient 0.5 on the mean squared error, no value clip, no entropy bonus, gradient norm at most 0.5, advantages
standardised per minibatch, no normalisation of observations or rewards, the same number of optimizer steps (checked).
Clipper is timed through `clipper.train` into a run folder (metrics, TensorBoard events, checkpoints), with its compiled
CPU engine and with its torch engine, which is the definition that the other one is held to;
Stable-Baselines3 through `learn` with its default logging, on `DummyVecEnv`; CleanRL's script is unmodified and logs to
TensorBoard, but for continuous actions its normalising wrappers are taken out. Tianshou, on its
`DummyVectorEnv`, logs nothing by default; skrl, on Gymnasium's synchronous vector environment, standardises advantages
per batch and writes a checkpoint ten times. LeanRL's scripts are unmodified, without their normalising wrappers and
Weights & Biases, and compile in the warm-up. TorchRL's parts (SerialEnv, Collector, GAE once a batch, ClipPPOLoss) are
put together as in its examples and log nothing. PufferLib's trainer computes advantages before every minibatch, takes
whole segments for one, clamps rewards to [-1, 1], and writes a checkpoint every 200 iterations; its dashboard is off.
PureJaxRL's script is unmodified: its value loss is clipped, and since it is compiled before the clock starts, all its
iterations are timed.
No side collects while it updates.

W1-LSTM: sb3-contrib's RecurrentPPO stands for Stable-Baselines3; its LSTM takes the observation, its layer follows,
where Clipper's layer comes first.

Taxi, FrozenLake, Blackjack: observations are choices, which every side sees as vectors of 0s and 1s. What Blackjack
observes is a tuple of three: Stable-Baselines3 gets it through Gymnasium's FlattenObservation.

W4, Pong: the environments alone are ale-py's vector environment in one thread. Each side has its own preprocessing
around the same emulator: grey 84 × 84, 4 frames stacked, every 4th one seen, life lost means the end, rewards' signs.
Clipper's network is computed by torch, as it is chosen by itself, in float32 and with its field `bfloat16`; the third
row of Clipper's has `vector=native` too, which is ale-py's own vector environment, in two threads.
Stable-Baselines3 has `make_atari_env`, `VecFrameStack` and `CnnPolicy`; CleanRL's `ppo_atari.py` is unmodified, with
two of Gymnasium's wrappers under their former names.

{facts}
"""


def chosen(names: tuple[str, ...]) -> list[Workload]:
    """Workloads of these names."""
    known = {name.lower(): work for name, work in WORKLOADS.items()}
    if unknown := [name for name in names if name.lower() not in known]:
        raise SystemExit(f"no workload {', '.join(unknown)}: choose from {', '.join(known)}")
    return [known[name.lower()] for name in names]


def table_of(rows: list[Row], where: Machine) -> Table:
    """The rows for the screen."""
    table = Table(title=f"{where.cpu}, {where.cores} cores, commit {where.commit}")
    for name in rows[0]:
        if name != "versions":
            table.add_column(name, justify="left" if name in ("workload", "library") else "right")
    for row in rows:
        table.add_row(*(value for name, value in row.items() if name != "versions"))
    return table


class Session:
    """One run: what is measured so far, what could not be, and the files that say so after every process."""

    def __init__(self, workloads: list[Workload], out: Path | None, peak: float, say: Console, *, resume: bool) -> None:
        self.workloads, self.out, self.peak, self.say = workloads, out, peak, say
        self.where = machine()
        self.samples = read_samples(out.with_suffix(".csv"), self.where) if resume and out is not None else []
        self.missing: Missing = {}
        self.failed = False

    def run(self, sides: list[Side], rounds: int) -> None:
        """Every workload, round by round, side by side."""
        for workload in self.workloads:
            self.say.print(f"{workload.name}: {workload.words}")
            for side in sides:
                if reason := side.refuses(workload):
                    self.leave_out(side.name, reason, workload.name)
            for number in range(rounds):
                for side in sides:
                    if workload.name not in self.missing.get(side.name, {}):
                        self.take(side, workload, number)

    def take(self, side: Side, workload: Workload, number: int) -> None:
        """One sample, unless the file had it; a side that fails is not tried again on this workload."""
        work = dataclasses.replace(workload, seed=number + 1)
        if any((s.workload, s.library, s.round) == (work.name, side.name, number) for s in self.samples):
            return
        try:
            self.samples.append(measure(side, work, number))
        except PeerError as error:
            words = str(error)
            self.say.print(f"{side.name} failed on {work.name}:\n{words}", highlight=False, markup=False)
            self.leave_out(side.name, f"failed: {words.splitlines()[-1][:200]}", work.name)
            self.failed = True
            return
        self.say.print(f"  round {number + 1}: {self.samples[-1].words}", highlight=False)
        self.write()

    def leave_out(self, name: str, reason: str, workload: str = "") -> None:
        """Note why a side is not measured, on a workload or at all."""
        self.missing.setdefault(name, {})[workload] = reason
        self.say.print(f"{name} is left out{' of ' if workload else ''}{workload}: {reason}", markup=False)

    def write(self) -> None:
        """The page and the samples, as far as they are."""
        if self.out is not None:
            rows = summarise(self.samples, self.peak)
            write_samples(self.out.with_suffix(".csv"), self.samples, self.where)
            self.out.with_suffix(".md").write_text(
                markdown(rows, self.samples, self.workloads, self.where, self.missing)
            )


OF_CHECKOUTS, OF_BOTH = ("pairs", "engine", "within"), ("against", "works", "iterations", "out")


def check_together(options: Options) -> None:
    """Refuse options that the chosen kind of comparison does not read."""
    given = [f.name for f in dataclasses.fields(Options) if getattr(options, f.name) != f.default]
    unread = [name for name in given if name not in OF_BOTH and (name in OF_CHECKOUTS) == (options.against is None)]
    if unread:
        verb = "needs" if options.against is None else "does not go with"
        raise SystemExit(f"--{unread[0]} {verb} --against")
    if options.pairs < 2:
        raise SystemExit(f"--pairs {options.pairs} gives no interval: 2 or more do, and 20 a narrow one")


def compare_checkouts(checkout: Path, options: Options, say: Console) -> int:
    """Measure this checkout beside another one, and print the table; returns the exit status."""
    sides = against.find_checkout("this checkout", HERE.parent), against.find_checkout("the other", checkout)
    out = None if options.out is None else options.out.with_suffix(".json")
    works = against.chosen(options.works or against.WORKS, options.iterations, options.engine)
    comparison = against.Comparison(sides, options.engine, say, out)
    try:
        comparison.run(works, options.pairs)
    except against.SideError as error:
        raise SystemExit(str(error)) from None
    say.print(comparison.table())
    missed = [] if options.within is None else against.outside(comparison.intervals(), *options.within)
    for line in missed:
        say.print(line, highlight=False)
    return 1 if missed else 0


def main() -> None:
    """Measure, print the table, write the results."""
    options = tyro.cli(Options, description=__doc__)
    check_together(options)
    say = Console(width=None if sys.stdout.isatty() else 140)
    if options.against is not None:
        raise SystemExit(compare_checkouts(options.against, options, say))
    workloads = [QUICK] if options.quick else chosen(options.works or tuple(WORKLOADS))
    if options.iterations is not None:
        workloads = [dataclasses.replace(w, iterations=options.iterations) for w in workloads]
    if any(w.iterations <= w.warmup for w in workloads):
        raise SystemExit("--iterations must exceed the warm-up's 3")
    checkouts = {name: getattr(options, name) for name in CHECKOUTS}
    sides, left_out = find_sides(("sb3",) if options.quick else options.peers, checkouts)
    out = options.out or (None if options.quick else HERE / "results" / "speed")
    peak = options.peak * 1e9 if options.peak else measure_peak()
    session = Session(workloads, out, peak, say, resume=options.resume)
    for name, reason in left_out.items():
        session.leave_out(name, reason)
    session.run(sides, min(options.rounds, 3) if options.quick else options.rounds)
    if not session.samples:
        raise SystemExit("nothing could be measured")
    session.write()
    say.print(table_of(summarise(session.samples, peak), session.where))
    if out is not None:
        say.print(f"written: {out.with_suffix('.md')} and {out.with_suffix('.csv')}")
    if session.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
