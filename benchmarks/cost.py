"""What an iteration of PPO costs by size: environments, width and threads, with either engine, beside the limit.

$ python benchmarks/cost.py              # under 10 minutes on an idle machine; writes results/cost.csv and cost.png
$ python benchmarks/cost.py --quick      # under 2 minutes, few sizes; written only where --out says

Natively vectorised CartPole, 32 steps per environment, 4 epochs of 4 minibatches. The limit is that of speed.py: the
environments' own time and the products of the networks at the rate of fused multiply-adds, and nothing else.
"""

import csv
import dataclasses
import os
import time
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal

import gymnasium
import tyro
from workloads import WORKLOADS, flops_per_decision, measure_peak, speed_limit

from clipper import train
from clipper.algorithms import PPO
from clipper.networks.policy_options import PolicyOptions
from clipper.runs.curve import COLOURS
from clipper.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENV, SIZES, HORIZON, EPOCHS, MINIBATCHES = "CartPole-v1", (4, 2), 32, 4, 4
NUM_ENVS, WIDTH = 256, 64  # of the panel in which they do not vary
WARMUP, ATLEAST, SECONDS = 2, 3, 0.5  # iterations untimed; iterations timed, and for how long, whichever is more
ENGINES: tuple[Literal["cpu", "torch"], ...] = ("cpu", "torch")


@dataclass(frozen=True, slots=True)
class Point:
    """One size, and what an iteration takes."""

    num_envs: int
    width: int
    threads: int
    engine: str
    milliseconds: float
    """Median over iterations."""
    limit_milliseconds: float
    load: float
    """The machine's load average over one minute, just before."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure."""

    quick: bool = False
    """Few sizes, one thread."""
    peak: float | None = None
    """Float32 GFLOP/s of one core; measured where it is not given."""
    out: Path | None = None
    """Results go to this path with .csv and .png added; by default benchmarks/results/cost."""


def sizes(quick: bool) -> list[tuple[int, int]]:
    """(environments, width): one varies while the other stands still."""
    envs = (1, 16, 256) if quick else (1, 4, 16, 64, 256, 1024, 4096)
    widths = (32, 64, 128) if quick else (32, 64, 128, 256, 512)
    return list(dict.fromkeys([(n, WIDTH) for n in envs] + [(NUM_ENVS, w) for w in widths]))


def iteration_time(num_envs: int, width: int, threads: int, engine: Literal["cpu", "torch"]) -> float:
    """Median seconds of an iteration, through ``clipper.train``."""
    marks: list[float] = []

    def mark(_: Run) -> bool:
        marks.append(time.perf_counter())
        timed = len(marks) - WARMUP
        return timed <= ATLEAST or marks[-1] - marks[WARMUP] < SECONDS

    train(
        ENV,
        PPO(horizon=HORIZON, epochs=EPOCHS, minibatches=MINIBATCHES),
        policy=PolicyOptions(hidden=(width, width)),
        num_envs=num_envs,
        vector="native",
        total_steps=10**9,
        threads=threads,
        engine=engine,
        callback=mark,
    )
    return median(b - a for a, b in pairwise(marks[WARMUP:]))


def environment_speed(num_envs: int, seconds: float = 0.2) -> float:
    """Steps per second of the environments alone, in one thread."""
    env = gymnasium.make_vec(ENV, num_envs=num_envs, vectorization_mode="vector_entry_point")
    env.reset(seed=1)
    env.action_space.seed(1)
    actions, steps, began = env.action_space.sample(), 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        env.step(actions)
        steps += num_envs
    return steps / (time.perf_counter() - began)


def limit(num_envs: int, width: int, threads: int, speed: float, peak: float) -> float:
    """Seconds of an iteration, if environments (``speed``, steps/s) and products (``peak``, FLOP/s) were all."""
    flops = flops_per_decision(dataclasses.replace(WORKLOADS["W1"], hidden=(width, width), sizes=SIZES, epochs=EPOCHS))
    return num_envs * HORIZON / speed_limit(speed, flops, peak, threads)


def measure(options: Options, peak: float) -> list[Point]:
    """All sizes with all engines and numbers of threads."""
    speeds: dict[int, float] = {}
    points: list[Point] = []
    for (n, width), threads, engine in product(sizes(options.quick), (1,) if options.quick else (1, 2), ENGINES):
        speeds.setdefault(n, environment_speed(n))
        load, seconds = os.getloadavg()[0], iteration_time(n, width, threads, engine)
        best = limit(n, width, threads, speeds[n], peak)
        points.append(Point(n, width, threads, engine, 1e3 * seconds, 1e3 * best, load))
        print(f"{n} environments, width {width}, {threads} threads, {engine}: {1e3 * seconds:.3g} ms", flush=True)
    return points


def draw(points: list[Point], output: Path) -> None:
    """Two panels, over environments and over width, both axes logarithmic."""
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, constrained_layout=True)
    draw_panel(panels[0], [p for p in points if p.width == WIDTH], "num_envs")
    draw_panel(panels[1], [p for p in points if p.num_envs == NUM_ENVS], "width")
    panels[0].set(xlabel="environments", ylabel="time of an iteration, ms", title=f"networks {WIDTH}-{WIDTH}")
    panels[1].set(xlabel="width of both hidden layers", title=f"{NUM_ENVS} environments")
    panels[0].legend(frameon=False, fontsize=9)
    figure.suptitle(f"PPO on CartPole, {HORIZON} steps per environment, {EPOCHS} epochs × {MINIBATCHES} minibatches")
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=150)
    plt.close(figure)


def draw_panel(axes: "Axes", points: list[Point], across: Literal["num_envs", "width"]) -> None:
    """A line for each engine and number of threads, and the limits."""
    names = {"cpu": "CPU engine", "torch": "torch engine"}
    ticks = sorted({getattr(p, across) for p in points})
    for threads in sorted({p.threads for p in points}):
        style, words = ("-", "--")[threads > 1], f"{threads} thread{'s' if threads > 1 else ''}"
        for engine, colour in zip(ENGINES, COLOURS, strict=False):
            mine = [p for p in points if (p.engine, p.threads) == (engine, threads)]
            line = sorted((getattr(p, across), p.milliseconds) for p in mine)
            axes.plot(
                *zip(*line, strict=True), style, color=colour, marker="o", ms=4, label=f"{names[engine]}, {words}"
            )
        line = sorted({(getattr(p, across), p.limit_milliseconds) for p in points if p.threads == threads})
        axes.plot(*zip(*line, strict=True), style, color="0.45", lw=1.2, label=f"computed limit, {words}")
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Measure, write, draw."""
    options = tyro.cli(Options, description=__doc__)
    peak = options.peak * 1e9 if options.peak else measure_peak()
    points = measure(options, peak)
    out = options.out or (None if options.quick else Path(__file__).resolve().parent / "results" / "cost")
    if out is None:
        return
    draw(points, out.with_suffix(".png"))
    with out.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Point)])
        writer.writeheader()
        for point in points:
            times = {
                "milliseconds": round(point.milliseconds, 4),
                "limit_milliseconds": round(point.limit_milliseconds, 4),
            }
            writer.writerow(dataclasses.asdict(point) | times)
    print(f"written: {out.with_suffix('.csv')} and {out.with_suffix('.png')}")


if __name__ == "__main__":
    main()
