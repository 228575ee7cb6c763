"""Several seeds of one run: side by side, one process per core, and the folder that holds them."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from clipper.cli.session import code_again, command_of, endings, turn_away
from clipper.environments.processes import LIFELINE, end_children, lifeline
from clipper.errors import ClipperError, ConfigError, CorruptCheckpointError
from clipper.rollout.evaluation import Evaluation
from clipper.runs.config_file import read_config
from clipper.runs.curve import plot_runs, read_curve, thousands
from clipper.runs.folders import printable, seed_folders, seeds_below
from clipper.runs.load import read
from clipper.runs.lock import locked
from clipper.runs.terminal import Terminal
from clipper.settings.config import Config
from clipper.settings.config_json import read_settings, settings_json
from clipper.storage import files, json_text
from clipper.storage.saved import value_of

SECONDS_BETWEEN_LOOKS = 0.5
PATIENCE = 60.0  # seconds in which a seed saves itself and ends
PLAN = "seeds.json"
"""In the folder of a set: which seeds, and their settings."""
MOST_SEEDS = 10_000


def train_seeds(args: Sequence[str], config: Config, count: int, folder: Path) -> int:
    """Run ``clipper train`` with the same arguments for ``count`` seeds; draw one picture of all."""
    flags = without(without(without(args, "--seeds"), "--run-dir"), "--seed")
    if not any(word.startswith("--vector") for word in flags) and not config.env_timeout:
        flags += ["--vector", "serial"]  # the other cores have seeds of their own to train
        config = dataclasses.replace(config, vector="serial")
    settings = settings_json(config)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        write_plan(folder, config.seed, count, settings)
        commands = {
            folder / f"seed{seed}": ["train", *flags, "--seed", str(seed), "--run-dir", str(folder / f"seed{seed}")]
            for seed in range(config.seed, config.seed + count)
        }
        again = ["resume", folder, *code_again(config.env, config, settings)]
        return side_by_side(commands, f"{count} seeds of {config.env}", folder, config.threads, again)


def write_plan(folder: Path, first: int, count: int, settings: object = None) -> None:
    """Note which seeds the folder is for, and the settings from which they begin, where these say all."""
    plan = {"first": first, "count": count, "settings": settings}
    files.replace(folder / PLAN, (json.dumps(plan, indent=2) + "\n").encode())


def resume_seeds(folder: Path, flags: Sequence[str], total_steps: int | None) -> int:
    """Go on with all seeds in a folder that have not come to their end, and begin those that have not begun."""
    console = Terminal()
    with locked(folder):
        begin_planned(folder)
        runs = [path for path in seed_folders(folder) if (path / "config.json").is_file()]
        for lost in seed_folders(folder):
            if lost not in runs:
                warnings.warn(f"{printable(lost)} is no run to go on with: train that seed anew", stacklevel=2)
        left = [run for run in runs if not ended(run, total_steps)]
        if not left:
            console.print(f"all {len(runs)} seeds in {folder} have ended; --total-steps trains longer")
            return 0
        commands = {run: ["resume", str(run), *flags] for run in left}
        what, again = f"{len(left)} of {len(runs)} seeds", ["resume", folder, *flags]
        return side_by_side(commands, what, folder, read_config(left[0]).threads, again)


def is_set(folder: Path) -> bool:
    """Does it hold seeds that were to be trained side by side, of which some may not have begun?"""
    return (folder / PLAN).is_file() or bool(seeds_below(folder))


def begin_planned(folder: Path) -> None:
    """Give the seeds of a set that have not begun their settings, from which they begin where they are resumed.

    Where settings do not say all, as those of language models do not, a warning says how to begin them.
    """
    if not (folder / PLAN).is_file():
        return
    plan = json_text.read(folder / PLAN)
    try:
        assert isinstance(plan, dict)
        first, count = value_of("first", int, plan), value_of("count", int, plan)
        settings = None if plan["settings"] is None else value_of("settings", dict, plan)
        assert 0 < count <= MOST_SEEDS
    except (AssertionError, LookupError, TypeError) as error:
        raise CorruptCheckpointError(f"{folder / PLAN} is no plan of seeds; delete it, or train them anew") from error
    for seed in range(first, first + count):
        file = folder / f"seed{seed}" / "config.json"
        if not file.exists() and settings is None:
            warnings.warn(
                f"seed {seed} has not begun: train it by the command of the others, with --seed {seed} and "
                f"--run-dir {printable(file.parent)} in place of --seeds",
                stacklevel=2,
            )
        elif not file.exists():
            own = settings_json(dataclasses.replace(read_settings(settings), seed=seed))
            file.parent.mkdir(exist_ok=True)
            files.replace(file, (json.dumps(own, indent=2) + "\n").encode())


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
    again: Sequence[str | Path],
) -> int:
    """Run Clipper's command for each run's folder, as many at a time as there are cores; draw one picture of all.

    ``again`` is the command that goes on, where a signal ends all of them. However this process ends, they end, too.
    """
    console, waiting = Terminal(), list(commands)
    running: dict[Path, subprocess.Popen] = {}
    failed: list[Path] = []
    at_once = max(1, (os.cpu_count() or 1) // threads)
    many = f"{what}, {min(at_once, len(waiting))} at a time, in {folder}"
    console.print(many, soft_wrap=True)
    for number in endings():
        signal.signal(number, leave)
    starter, held = lifeline()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                run = waiting.pop(0)
                running[run] = launch(commands[run], run, starter)
            for run in [run for run, process in running.items() if process.poll() is not None]:
                status = running.pop(run).returncode
                failed += [run] if status else []
                console.print(outcome(run, status), soft_wrap=True)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    except (KeyboardInterrupt, SystemExit):
        end(running.values())
        line = command_of(*again)
        console.print(f"stopped; go on with:\n  {line}", soft_wrap=True)
        raise
    finally:
        end(running.values())
        os.close(starter)
        os.close(held)
    if seeds_below(folder):
        console.print(f"curves: {plot_runs([folder], folder / 'curves.png')}", soft_wrap=True)
    return 1 if failed else 0


def leave(number: int, _: object) -> None:
    """End on a signal, which ends the seeds first."""
    turn_away(number)
    for other in endings()[1:]:
        signal.signal(other, signal.SIG_IGN)  # a terminal may tell twice that it closes
    sys.exit(128 + number)


def end(processes: Iterable[subprocess.Popen]) -> None:
    """Ask processes to end, and wait until they have: a run saves itself before. One that hangs is killed at last."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            end_children(process.pid)
            process.kill()
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
    line = command_of(command, best)
    raise ConfigError(f"{folder} holds {len(runs)} seeds (latest return: {each}): name one of them, as in {line}")


def launch(command: Sequence[str], run_dir: Path, starter: int) -> subprocess.Popen:
    """One seed's process; what it prints goes to ``<run_dir>.log``, when it goes on behind what stands there.

    Ctrl-C reaches it through this process alone. It saves itself and ends when the other end of ``starter`` is closed.
    """
    with run_dir.with_suffix(".log").open("a" if command[0] == "resume" else "w") as log:
        words = [sys.executable, "-m", "clipper", *command]
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            pass_fds=(starter,), env=os.environ | {LIFELINE: str(starter)},
        )  # fmt: skip


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
