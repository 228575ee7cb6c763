"""Which folders are runs: one, the seeds that were trained side by side, or whatever a pattern of the shell has met."""

import re
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from clipper.errors import ConfigError
from clipper.storage.files import from_user

SEED = re.compile(r"seed(\d{1,19})")
NAMED = 3  # of what is left out; the rest is counted


def is_run(folder: Path) -> bool:
    """Does it hold what a run writes from its first iteration on?"""
    return (folder / "config.json").is_file() and (folder / "metrics.jsonl").is_file()


def new_folder(name: str, seed: int) -> Path:
    """runs/<name>-seed<seed>-<time>, not yet there."""
    stem = f"{name}-seed{seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, count = Path("runs") / stem, 1
    while folder.exists():
        count += 1
        folder = Path("runs") / f"{stem}-{count}"
    return folder


def seeds_below(folder: Path) -> list[Path]:
    """The runs in a folder of ``clipper train --seeds`` (seed1, seed2 …), by number; none where it is a run itself."""
    if not folder.is_dir() or (folder / "config.json").is_file():
        return []
    return [path for path in seed_folders(folder) if is_run(path)]


def seed_folders(folder: Path) -> list[Path]:
    """All that is called seed1, seed2 … in it, by number, whether it has come to be a run or not."""
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := SEED.fullmatch(path.name))]
    return [path for _, path in sorted(found) if path.is_dir()]


def runs_in(named: Sequence[Path]) -> list[Path]:
    """The folders of all runs among those named, each once; a folder of seeds stands for its seeds.

    What is no run, as a file that the shell's pattern has met, is left out with a warning. Raises ``ConfigError`` where
    nothing is left, or where something is not there at all.
    """
    runs: dict[Path, Path] = {}
    skipped: list[Path] = []
    for path in map(from_user, named):
        if not path.exists():
            raise ConfigError(f"{printable(path)} is no run: there is no such folder")
        seeds = [path] if is_run(path) else seeds_below(path)
        skipped += [below for below in seed_folders(path) if below not in seeds] if seeds and seeds != [path] else []
        skipped += [] if seeds else [path]
        for run in seeds:
            runs.setdefault(run.resolve(), run)
    if not runs:
        raise ConfigError(no_runs(skipped))
    if skipped:
        are = "is no run and was left out" if len(skipped) == 1 else "are no runs and were left out"
        warnings.warn(f"{some_of(skipped)} {are}", stacklevel=2)
    return list(runs.values())


def no_runs(paths: Sequence[Path]) -> str:
    """What to say where none of the paths is a run."""
    if len(paths) != 1:
        return f"none of these is a run, with a metrics.jsonl and a config.json: {some_of(paths)}"
    (path,) = paths
    if not path.is_dir():
        return f"{printable(path)} is no run: it is a file, and a run is a folder"
    below = any(is_run(inner) or seeds_below(inner) for inner in path.iterdir() if inner.is_dir())
    remedy = f"; those below it are named by {printable(path)}/*" if below else ""
    return f"{printable(path)} is no run: it has no metrics.jsonl and config.json{remedy}"


def some_of(paths: Sequence[Path]) -> str:
    """a, b and c; of many, the first and how many more."""
    words = [printable(path) for path in (paths if len(paths) <= NAMED + 1 else paths[:NAMED])]
    more = len(paths) - len(words)
    words += [f"{more} more"] if more else []
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def printable(text: object, longest: int = 200) -> str:
    """What a file, or the name of one, says, as it can be shown: no control characters, on one line, cut if long."""
    words = "".join(letter if letter.isprintable() else "?" for letter in str(text)[: longest + 1])
    return words if len(words) <= longest else words[: longest - 1] + "…"
