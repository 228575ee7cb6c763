"""A run's records: one JSON line per iteration, always, and TensorBoard events."""

import importlib
import json
import math
import time
import warnings
from pathlib import Path
from typing import Any

from clipper.runs.rows import Row
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
        self.written = len(keep)
        """Rows."""

    def write(self, row: Row) -> None:
        """Append one row."""
        self.written += 1
        try:
            self.file.write(line(row))
        except Exception as error:  # a record that fails must not end what it records
            self.warn("metrics.jsonl", error)
        if self.events is not None:
            try:
                self.events.add(row)
            except Exception as error:
                self.warn("TensorBoard's events", error)

    def close(self, history: list[Row]) -> None:
        """Append what of a run's history is not written, since its evaluation failed; flush and close both."""
        for row in history[self.written :]:
            self.write(row)
        for name, file in (("metrics.jsonl", self.file), ("TensorBoard's events", self.events)):
            try:
                if file is not None:
                    file.close()
            except Exception as error:
                self.warn(name, error)

    def warn(self, name: str, error: Exception) -> None:
        """Say once that something cannot be written."""
        if name not in self.warned:
            self.warned.add(name)
            warnings.warn(f"{name} cannot be written, training goes on: {error}", stacklevel=3)


def line(row: Row) -> str:
    """One row as JSON; NaN and infinity become null, since JSON has neither."""
    return json.dumps({k: v if v is not None and math.isfinite(v) else None for k, v in row.items()}) + "\n"


class Events:
    """TensorBoard's file. One event holds a whole row, which costs a tenth of an event for each number."""

    def __init__(self, folder: Path, keep: list[Row]) -> None:
        load = importlib.import_module  # slow, and the messages' classes are made when the module runs
        self.event: Any = load("tensorboard.compat.proto.event_pb2")
        self.summary: Any = load("tensorboard.compat.proto.summary_pb2").Summary
        self.writer = load("tensorboard.summary.writer.event_file_writer").EventFileWriter(str(folder / "tensorboard"))
        if keep:  # TensorBoard hides what an earlier file has from this step on
            start, after = self.event.SessionLog(status=self.event.SessionLog.START), (keep[-1]["steps"] or 0) + 1
            self.writer.add_event(self.event.Event(step=int(after), wall_time=time.time(), session_log=start))

    def add(self, row: Row) -> None:
        """Add one row."""
        numbers = [(name, x) for name, x in row.items() if x is not None and "/" in name]
        summary = self.summary(value=[self.summary.Value(tag=name, simple_value=x) for name, x in numbers])
        self.writer.add_event(self.event.Event(step=int(row["steps"] or 0), wall_time=time.time(), summary=summary))

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
