"""Several seeds of one run: side by side, one process per core at hand, and the folder that holds them."""

import os
import shlex
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from clipper.cli.session import program_name
from clipper.cli.terminal import Terminal
from clipper.errors import ClipperError, ConfigError
from clipper.rollout.evaluation import Evaluation
from clipper.runs.curve import plot_runs, read_curve, thousands
from clipper.runs.folders import is_run, printable, seed_folders, seeds_below
from clipper.runs.load import read
from clipper.runs.run import read_config
from clipper.settings.config import Config

SECONDS_BETWEEN_LOOKS = 0.5


def train_seeds(args: Sequence[str], config: Config, count: int, folder: Path) -> int:
    """Run ``clipper train`` with the same arguments for ``count`` seeds; draw one picture of all."""
    console = Terminal()
    flags = without(without(without(args, "--seeds"), "--run-dir"), "--seed")
    again = list(flags)
    if not any(word.startswith("--vector") for word in flags) and not config.env_timeout:
        flags += ["--vector", "serial"]  # the other cores have seeds of their own to train
    folder.mkdir(parents=True, exist_ok=True)
    commands = {
        folder / f"seed{seed}": ["train", *flags, "--seed", str(seed), "--run-dir", str(folder / f"seed{seed}")]
        for seed in range(config.seed, config.seed + count)
    }

    def stopped(waiting: Sequence[Path]) -> None:
        console.print("stopped; go on with:")
        commands = [["resume", str(folder)]]
        if waiting:
            first, several = waiting[0].name.removeprefix("seed"), ["--seeds", str(len(waiting))]
            commands.append(["train", *again, "--seed", first, *several, "--run-dir", str(folder)])
        for words in commands:
            line = shlex.join([program_name(), *words])
            console.print(f"  {line}", soft_wrap=True)

    what = f"{count} seeds of {config.env}"
    return side_by_side(commands, what, folder, config.threads, stopped)


def resume_seeds(folder: Path, flags: Sequence[str], total_steps: int | None) -> int:
    """Go on with all seeds in a folder that have not come to their end, as ``train_seeds`` does."""
    console, runs = Terminal(), seeds_below(folder)
    for lost in seed_folders(folder):
        if not is_run(lost):
            warnings.warn(f"{printable(lost)} is no run to go on with: train that seed anew", stacklevel=2)
    left = [run for run in runs if not ended(run, total_steps)]
    if not left:
        console.print(f"all {len(runs)} seeds in {folder} have ended; --total-steps trains longer")
        return 0
    commands = {run: ["resume", str(run), *flags] for run in left}
    what = f"{len(left)} of {len(runs)} seeds"

    def stopped(_: Sequence[Path]) -> None:
        line = shlex.join([program_name(), "resume", str(folder), *flags])
        console.print(f"stopped; go on with:\n  {line}", soft_wrap=True)

    return side_by_side(commands, what, folder, read_config(left[0]).threads, stopped)


def ended(run: Path, total_steps: int | None) -> bool:
    """Has a run come to its end? One that cannot be read has not: to resume it says what is wrong."""
    try:
        config, (_, values) = read_config(run), read(run, best=False)
    except ClipperError:
        return False
    steps, solved = values.get("steps"), values.get("solved") is True
    end = config.total_steps if total_steps is None else total_steps
    return (isinstance(steps, int) and steps >= end) or (config.until_solved and solved)


def side_by_side(
    commands: dict[Path, list[str]],
    what: str,
    folder: Path,
    threads: int,
    stopped: Callable[[Sequence[Path]], None],
) -> int:
    """Run Clipper's command for each run's folder, as many at a time as there are cores; draw one picture of all.

    ``stopped`` tells how to go on, where a signal ends all of them; it is given those that have not begun.
    """
    console, waiting = Terminal(), list(commands)
    running: dict[Path, subprocess.Popen] = {}
    failed: list[Path] = []
    at_once = max(1, (os.cpu_count() or 1) // threads)
    many = f"{what}, {min(at_once, len(waiting))} at a time, in {folder}"
    console.print(many, soft_wrap=True)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # which ends the seeds first
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                run = waiting.pop(0)
                running[run] = launch(commands[run], run)
            for run in [run for run, process in running.items() if process.poll() is not None]:
                status = running.pop(run).returncode
                failed += [run] if status else []
                console.print(outcome(run, status), soft_wrap=True)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    except (KeyboardInterrupt, SystemExit):
        end(running.values())
        stopped(waiting)
        raise
    finally:
        end(running.values())
    if seeds_below(folder):
        console.print(f"curves: {plot_runs([folder], folder / 'curves.png')}", soft_wrap=True)
    return 1 if failed else 0


def end(processes: Iterable[subprocess.Popen]) -> None:
    """Ask processes to end, and wait until they have: a run saves itself before."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()


def evaluate_seeds(runs: Sequence[Path], play: Callable[[Path], tuple[str, Evaluation]]) -> int:
    """Evaluate each seed, and print how all do: the mean over seeds with its interval."""
    from clipper.pictures.compare import estimate  # noqa: PLC0415 (scipy is slow to import)

    console, found, envs = Terminal(), list[float](), set[str]()
    failed = list[ClipperError]()
    for run in runs:
        try:
            env, result = play(run)
        except ClipperError as error:
            failed.append(error)
            continue
        envs.add(env)
        found.append(result.mean)
        console.print(f"{run.name}  {env}  {result}", soft_wrap=True)
    if not found:
        raise failed[0]
    for error in failed:
        warnings.warn(f"a seed was left out: {printable(error, 400)}", stacklevel=2)
    if len(envs) == 1 and len(found) > 1:
        mean = estimate([np.array(found)], lambda scores: float(np.mean(scores[0])))
        told = f"mean of {len(found)} seeds: return {mean.value:.1f}, 95 % interval {mean.low:.1f} to {mean.high:.1f}"
        few = "; with so few seeds it is too narrow" if len(found) < 10 else ""
        console.print(f"{told} (bootstrap over seeds{few})", soft_wrap=True)
    return 0


def single(folder: Path, command: str) -> Path:
    """The folder, where it is that of one run; of several seeds ``ConfigError`` names each, and the best of them."""
    runs = seeds_below(folder)
    if not runs:
        return folder
    latest = {run: curve.returns[-1] for run in runs if len((curve := read_curve(run)).returns)}
    best = max(latest, key=lambda run: latest[run], default=runs[0])
    each = ", ".join(f"{run.name} {latest[run]:.1f}" if run in latest else run.name for run in runs)
    line = shlex.join([program_name(), command, str(best)])
    raise ConfigError(f"{folder} holds {len(runs)} seeds (latest return: {each}): name one of them, as in {line}")


def launch(command: Sequence[str], run_dir: Path) -> subprocess.Popen:
    """One seed's process; what it prints goes to ``<run_dir>.log``, when it goes on behind what stands there.

    Ctrl-C reaches it through this process alone.
    """
    with run_dir.with_suffix(".log").open("a" if command[0] == "resume" else "w") as log:
        words = [sys.executable, "-m", "clipper", *command]
        nothing = subprocess.DEVNULL
        return subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, stdin=nothing, start_new_session=True)


def without(args: Sequence[str], flag: str) -> list[str]:
    """The arguments without one flag and its value."""
    kept, skip = [], False
    for word in args:
        if not skip and word != flag and not word.startswith(flag + "="):
            kept.append(word)
        skip = word == flag
    return kept


def outcome(run_dir: Path, status: int) -> str:
    """One line on how a seed ended."""
    seed = run_dir.name.replace("seed", "seed ")
    if status and not (run_dir / "checkpoint.safetensors").exists():
        return f"{seed} failed: see {run_dir.with_suffix('.log')}"
    if status:
        return f"{seed} ended early: see {run_dir.with_suffix('.log')}"
    curve = read_curve(run_dir)
    if not len(curve.steps):
        return f"{seed}: no episode finished"
    return f"{seed}: return {curve.returns[-1]:.1f} after {thousands(curve.steps[-1])} steps"
