"""A run's records: one JSON line per iteration, always, and TensorBoard events."""

import importlib
import json
import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clipper.runs.run import Row
from clipper.storage import files


class Log:
    """Appends rows to ``metrics.jsonl`` and to TensorBoard; ``keep`` rows of an earlier session stay.

    Where one of the two cannot be written, a warning says so once, and the run goes on.
    """

    def __init__(self, folder: Path, keep: list[Row], tensorboard: bool = True) -> None:
        path = folder / "metrics.jsonl"
        files.replace(path, "".join(map(line, keep)).encode())
        self.file = path.open("a", buffering=1)
        self.events = tensorboard_writer(folder, keep) if tensorboard else None
        self.warned: set[str] = set()

    def write(self, row: Row) -> None:
        """Append one row."""
        with self.warns("metrics.jsonl"):
            self.file.write(line(row))
        if self.events is not None:
            with self.warns("TensorBoard's events"):
                self.events.add(row)

    def close(self) -> None:
        """Flush and close both."""
        with self.warns("metrics.jsonl"):
            self.file.close()
        if self.events is not None:
            with self.warns("TensorBoard's events"):
                self.events.close()

    @contextmanager
    def warns(self, name: str) -> Iterator[None]:
        """Turn an error into a warning, the first time."""
        try:
            yield
        except Exception as error:  # a record that fails must not end what it records
            if name not in self.warned:
                self.warned.add(name)
                warnings.warn(f"{name} cannot be written, training goes on: {error}", stacklevel=3)


def line(row: Row) -> str:
    """One row as JSON; NaN and infinity become null, since JSON has neither."""
    return json.dumps({k: finite(v) for k, v in row.items()}) + "\n"


def finite(x: float | int | None) -> float | int | None:
    """``x``, or None where it is no finite number."""
    return x if x is not None and math.isfinite(x) else None


class Events:
    """TensorBoard's file. One event holds a whole row, which costs a tenth of an event for each number."""

    def __init__(self, folder: Path, keep: list[Row]) -> None:
        load = importlib.import_module  # slow, and the messages' classes are made when the module runs
        self.event: Any = load("tensorboard.compat.proto.event_pb2")
        self.summary: Any = load("tensorboard.compat.proto.summary_pb2").Summary
        self.writer = load("tensorboard.summary.writer.event_file_writer").EventFileWriter(str(folder / "tensorboard"))
        if keep:  # TensorBoard hides what an earlier file has from this step on
            start = self.event.SessionLog(status=self.event.SessionLog.START)
            self.write((keep[-1]["steps"] or 0) + 1, session_log=start)

    def add(self, row: Row) -> None:
        """Add one row."""
        numbers = [(name, x) for name, x in row.items() if x is not None and "/" in name]
        summary = self.summary(value=[self.summary.Value(tag=name, simple_value=x) for name, x in numbers])
        self.write(row["steps"] or 0, summary=summary)

    def write(self, step: float, **what: Any) -> None:
        """One event."""
        self.writer.add_event(self.event.Event(step=int(step), wall_time=time.time(), **what))

    def close(self) -> None:
        """Flush and close."""
        self.writer.close()


def tensorboard_writer(folder: Path, keep: list[Row]) -> Events | None:
    """A TensorBoard writer for the folder, or None, with one warning, where TensorBoard cannot be had."""
    try:
        return Events(folder, keep)
    except (ImportError, OSError) as error:
        warnings.warn(f"no TensorBoard events: {error}", stacklevel=2)
        return None
