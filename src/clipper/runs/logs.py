"""A run's records: one JSON line per iteration, always, and TensorBoard events."""

import importlib
import io
import json
import math
import os
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from clipper.runs.rows import Row
from clipper.storage import files


class Events(NamedTuple):
    """TensorBoard's file."""

    writer: Any
    """TensorBoard's own form of records. Not its writer of events: that has a thread, which takes the interpreter from
    the rollouts in the midst of a row; in a run on CartPole that costs more than the writing."""
    event: Any
    """The class of what it takes: of a row, one."""
    summary: Any
    """The class of the numbers in it."""


class Log:
    """Appends rows to ``metrics.jsonl`` and to TensorBoard; ``keep`` rows of an earlier session stay.

    Where one of the two cannot be written, a warning says so once, and the run goes on.
    """

    def __init__(self, folder: Path, keep: list[Row], tensorboard: bool = True) -> None:
        self.warned: set[str] = set()
        self.file, self.events, self.written = io.StringIO(), None, 0
        for row in keep:
            self.write(row)
        path = folder / "metrics.jsonl"
        files.replace(path, self.file.getvalue().encode())
        self.file = path.open("a", buffering=1, encoding="utf-8")
        self.events = tensorboard_events(folder, keep) if tensorboard else None

    def write(self, row: Row) -> None:
        """Append one row. NaN and infinity become null, since JSON has neither.

        One event of TensorBoard holds the whole of it, which costs a tenth of an event for each number.
        """
        self.written += 1
        try:
            finite = {name: x if x is not None and math.isfinite(x) else None for name, x in row.items()}
            self.file.write(json.dumps(finite) + "\n")
        except Exception as error:  # a record that fails must not end what it records
            self.warn("metrics.jsonl", error)
        if self.events is None:
            return
        try:
            writer, event, summary = self.events
            grouped = [(name, x) for name, x in row.items() if x is not None and "/" in name]
            numbers = summary(value=[summary.Value(tag=name, simple_value=x) for name, x in grouped])
            writer.write(event(step=int(row["steps"] or 0), wall_time=time.time(), summary=numbers).SerializeToString())
        except Exception as error:
            self.warn("TensorBoard's events", error)

    def close(self, history: list[Row]) -> None:
        """Append what of a run's history is not written, since its evaluation failed; flush and close both."""
        for row in history[self.written :]:
            self.write(row)
        writer = None if self.events is None else self.events.writer
        for name, file in (("metrics.jsonl", self.file), ("TensorBoard's events", writer)):
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


def tensorboard_events(folder: Path, keep: list[Row]) -> Events | None:
    """TensorBoard's file in the folder, or None, with one warning, where TensorBoard cannot be had."""
    load = importlib.import_module  # slow, and the messages' classes are made when the module runs
    try:
        event: Any = load("tensorboard.compat.proto.event_pb2")
        summary: Any = load("tensorboard.compat.proto.summary_pb2").Summary
        record = load("tensorboard.summary.writer.record_writer").RecordWriter
        (folder / "tensorboard").mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns():019d}.{os.getpid()}"  # later files sort after earlier ones
        writer = record((folder / "tensorboard" / name).open("wb", buffering=0))  # whole rows reach the file at once
        writer.write(event.Event(file_version="brain.Event:2", wall_time=time.time()).SerializeToString())
        if keep:  # TensorBoard hides what an earlier file has from this step on
            start, after = event.SessionLog(status=event.SessionLog.START), (keep[-1]["steps"] or 0) + 1
            later = event.Event(step=int(after), wall_time=time.time(), session_log=start)
            writer.write(later.SerializeToString())
    except (ImportError, OSError) as error:
        warnings.warn(f"no TensorBoard events: {error}", stacklevel=2)
        return None
    return Events(writer, event.Event, summary)
