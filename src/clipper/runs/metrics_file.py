"""``metrics.jsonl`` as it is read: row by row, within bounds of memory and time, whoever wrote it."""

import json
import math
import os
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from clipper.runs.rows import Row
from clipper.storage.json_text import infinity

NAME = "metrics.jsonl"
LONGEST_LINE = 100_000  # bytes; a row of a run has under a thousand
MOST_ROWS = 20_000  # that a picture is made of, and that a resumed run remembers
LARGEST = 2**63
MOST_WRONG = 1000  # lines, before the rest is believed no more
TOLD = 3  # of what is wrong line by line; the rest is counted
EVALUATED = b'"eval/return"'


def read_rows(folder: Path, most: int | None = None) -> Iterator[Row]:
    """The rows of a run, in their order; one that a crash has damaged is left out, with a warning.

    Of more than ``most`` rows as many are read, evenly spaced: the last of all, and as many more with an evaluation.
    """
    path = folder / NAME
    if not path.is_file():
        return
    every, last = spacing(path, most)
    iteration, evaluations, wrong = -1, 0, 0
    for number, line in enumerate(lines_of(path), start=1):
        if every > 1 and number % every and number != last:
            evaluations += EVALUATED in line
            if EVALUATED not in line or evaluations > (most or 0):
                continue
        try:
            row = row_of(line)
            if (row["iteration"] or 0) <= iteration:
                raise ValueError("is of no later iteration than the one before")
        except (ValueError, RecursionError) as error:
            wrong += 1
            if wrong <= TOLD:
                warnings.warn(f"line {number} of {path} {error}; it is left out", stacklevel=2)
            if wrong == MOST_WRONG:
                break
            continue
        iteration = row["iteration"] or 0
        yield row
    if wrong > TOLD:
        rest = " and all that come after" if wrong == MOST_WRONG else ""
        warnings.warn(f"{wrong - TOLD} more lines of {path}{rest} are left out", stacklevel=2)


def spacing(path: Path, most: int | None) -> tuple[int, int]:
    """Every how many-th line is read, and how many lines there are."""
    if most is None or path.stat().st_size < most:
        return 1, 0
    count = sum(1 for _ in lines_of(path))
    return -(-count // most), count


def lines_of(path: Path) -> Iterator[bytes]:
    """Whole lines; where one is longer than a row can be, a warning says so, and no more are read."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                warnings.warn(f"{path} has no row of metrics from line {number} on; the rest is left out", stacklevel=3)
                return
            if line.endswith(b"\n"):  # a crash may cut the last one
                yield line


def row_of(line: str | bytes) -> Row:
    """One row of numbers, with its iteration and steps; ``ValueError`` where it is something else."""
    try:
        row = json.loads(line, parse_constant=infinity)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON that can be read: {error}") from None
    if not isinstance(row, dict) or not is_count(row.get("iteration")) or not is_count(row.get("steps")):
        raise ValueError("is no row of metrics")
    return {k: v for k, v in row.items() if v is None or type(v) is float or (type(v) is int and abs(v) < LARGEST)}


def is_count(x: object) -> bool:
    """Is it a whole number that can count something?"""
    return type(x) is int and 0 <= x < LARGEST


def cut_after(folder: Path, iteration: int) -> list[Row]:
    """Leave in the file the rows up to an ``iteration``, and return the latest of them."""
    path, kept = folder / NAME, deque[Row](maxlen=MOST_ROWS)
    aside = path.with_name(f"{NAME}.part")
    aside.unlink(missing_ok=True)
    try:
        with aside.open("x", encoding="utf-8") as file:
            for row in read_rows(folder):
                if (row["iteration"] or 0) > iteration:
                    break
                kept.append(row)
                file.write(line_of(row))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return list(kept)


def replace_last(folder: Path, row: Row) -> None:
    """Let a row take the place of the last one in the file, which it has more numbers than."""
    with (folder / NAME).open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        start = max(end - LONGEST_LINE, 0)
        file.seek(start)
        before = file.read(max(end - start - 1, 0)).rfind(b"\n")
        file.seek(start + before + 1)
        file.write(line_of(row).encode())
        file.truncate()


def line_of(row: Row) -> str:
    """A row as it is written. NaN and infinity become null, since JSON has neither."""
    return json.dumps({name: x if x is not None and math.isfinite(x) else None for name, x in row.items()}) + "\n"
