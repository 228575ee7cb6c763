"""SAC, TD3 and DDPG on Clipper's two engines and on Stable-Baselines3: processor time per step, in one run.

$ sh benchmarks/make_peers.sh sb3
$ python benchmarks/off_policy.py  # HalfCheetah-v5, networks 64-64 and 256-256, one thread, three rounds
$ python benchmarks/off_policy.py --env Pendulum-v1 --algorithms SAC --hidden 64 --rounds 1

Every side trains in a process of its own, one after another, round by round. A step is one of the environment, with
acting, the replay and one gradient step of 256 decisions; what comes before the first gradient step is not timed. By
processor time a machine that others use counts less; the load is said with each line all the same.
"""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import tyro
from samples import THREADS, machine
from sides import HERE

SIDES = ("Clipper", "Clipper, torch engine", "Stable-Baselines3")


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure."""

    env: str = "HalfCheetah-v5"
    """An environment with one finite Box of actions."""
    algorithms: tuple[str, ...] = ("SAC", "TD3", "DDPG")
    """By name."""
    hidden: tuple[int, ...] = (64, 256)
    """Units of each of two layers, in actor and critics."""
    steps: int = 2_000
    """Steps that are timed."""
    rounds: int = 3
    """The table has medians over them."""
    sb3: Path = HERE / ".peers" / "sb3" / "bin" / "python"
    """The interpreter of an environment with Stable-Baselines3; left out where there is none."""
    out: Path | None = None
    """A CSV file of all processes."""


def measure(side: str, work: Mapping[str, object], sb3: Path) -> dict[str, float]:
    """One side in a process of its own: milliseconds of processor time a step, and the load before it."""
    python, script = (
        (sb3, "run_sb3_off_policy.py") if side == SIDES[2] else (sys.executable, "run_clipper_off_policy.py")
    )
    engine = "torch" if side == SIDES[1] else "cpu"
    load = os.getloadavg()[0]
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            [python, str(HERE / "peers" / script), json.dumps({**work, "engine": engine})],
            env=os.environ | dict.fromkeys(THREADS, "1"), cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{side} failed: {done.stderr[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return {"milliseconds": told["seconds"] / told["steps"] * 1e3, "load": load}


def main(options: Options) -> None:
    """Measure all, and print a line for each process and a table at the end."""
    sides = [side for side in SIDES if side != SIDES[2] or options.sb3.exists()]
    if len(sides) < len(SIDES):
        sys.stderr.write(f"no {options.sb3}: sh benchmarks/make_peers.sh sb3 makes it\n")
    rows: list[Mapping[str, object]] = []
    for number in range(options.rounds):
        for algorithm in options.algorithms:
            for width in options.hidden:
                for side in sides:
                    work = {"env": options.env, "algorithm": algorithm, "width": width, "steps": options.steps}
                    found = measure(side, work | {"seed": number + 1}, options.sb3)
                    rows.append(work | {"side": side, "round": number} | found)
                    print(
                        f"{algorithm} {width}-{width} {side}: {found['milliseconds']:.3f} ms a step, load "
                        f"{found['load']:.2f}", flush=True,
                    )  # fmt: skip
                if options.out is not None:
                    write(options.out, rows)
    print(f"\n{machine().cpu}, commit {machine().commit}, {options.env}, one thread, {options.rounds} rounds")
    for algorithm in options.algorithms:
        for width in options.hidden:
            print(f"{algorithm} {width}-{width}: {words(rows, algorithm, width, sides)}")


def words(rows: list[Mapping[str, object]], algorithm: str, width: int, sides: list[str]) -> str:
    """Medians of milliseconds, and of the ratios to Clipper's own within a round."""
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for row in rows:
        if (row["algorithm"], row["width"]) == (algorithm, width):
            taken[str(row["side"])].append(float(str(row["milliseconds"])))
    ratios = {side: median(x / own for x, own in zip(taken[side], taken[SIDES[0]], strict=True)) for side in sides}
    return ", ".join(f"{side} {median(taken[side]):.3f} ms ({ratios[side]:.2f}x)" for side in sides)


def write(path: Path, rows: list[Mapping[str, object]]) -> None:
    """All processes so far."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
