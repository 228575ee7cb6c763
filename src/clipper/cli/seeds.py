"""Several seeds of one run, side by side: one process per core at hand."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from clipper.runs.curve import plot_runs, read_curve, thousands
from clipper.settings.config import Config

SECONDS_BETWEEN_LOOKS = 0.5


def train_seeds(args: Sequence[str], config: Config, count: int, folder: Path) -> int:
    """Run ``clipper train`` with the same arguments for ``count`` seeds; draw one picture of all."""
    console = Console()
    flags = without(without(args, "--seeds"), "--run-dir")
    if not any(word.startswith("--vector") for word in flags) and not config.env_timeout:
        flags += ["--vector", "serial"]  # the other cores have seeds of their own to train
    waiting = [config.seed + i for i in range(count)]
    running: dict[int, subprocess.Popen] = {}
    failed: list[int] = []
    at_once = max(1, (os.cpu_count() or 1) // config.threads)
    console.print(f"{count} seeds of {config.env}, {min(at_once, count)} at a time, in {folder}", highlight=False)
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # which ends the seeds first
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                seed = waiting.pop(0)
                running[seed] = launch([*without(flags, "--seed"), "--seed", str(seed)], folder / f"seed{seed}")
            for seed in [s for s, process in running.items() if process.poll() is not None]:
                failed += [seed] if running.pop(seed).returncode else []
                console.print(outcome(folder / f"seed{seed}", seed), highlight=False)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
    done = [folder / f"seed{config.seed + i}" for i in range(count) if config.seed + i not in failed]
    if done:
        console.print(f"curves: {plot_runs(done, folder / 'curves.png')}", highlight=False, soft_wrap=True)
    return 1 if failed else 0


def launch(args: Sequence[str], run_dir: Path) -> subprocess.Popen:
    """One seed's process; what it prints goes to ``<run_dir>.log``. Ctrl-C reaches it through this process alone."""
    with run_dir.with_suffix(".log").open("w") as log:
        command = [sys.executable, "-m", "clipper", "train", *args, "--run-dir", str(run_dir)]
        nothing = subprocess.DEVNULL
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=nothing, start_new_session=True)


def without(args: Sequence[str], flag: str) -> list[str]:
    """The arguments without one flag and its value."""
    kept, skip = [], False
    for word in args:
        if not skip and word != flag and not word.startswith(flag + "="):
            kept.append(word)
        skip = word == flag
    return kept


def outcome(run_dir: Path, seed: int) -> str:
    """One line on how a seed ended."""
    if not (run_dir / "checkpoint.safetensors").exists():
        return f"seed {seed} failed: see {run_dir.with_suffix('.log')}"
    curve = read_curve(run_dir)
    if not len(curve.steps):
        return f"seed {seed}: no episode finished"
    return f"seed {seed}: return {curve.returns[-1]:.1f} after {thousands(curve.steps[-1])} steps"
