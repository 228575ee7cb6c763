"""A run's records: one JSON line per row of metrics, TensorBoard events, and loggers of the user's own."""

import importlib
import json
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeAlias

from clipper.data.values import shown
from clipper.errors import ConfigError, text_of, visible
from clipper.runs.hearing import check_hears
from clipper.runs.metrics_file import line_of
from clipper.runs.rows import Row
from clipper.storage import files

Logger: TypeAlias = Callable[[Row], object]
"""Called with each row of metrics as it is written, numbers by name (``wandb.log``, as an example); where it has a
method ``close()``, that is called at the end."""


class Events(NamedTuple):
    """TensorBoard's file."""

    writer: Any
    """TensorBoard's own form of records. Not its writer of events: that has a thread, which takes the interpreter from
    the rollouts during a row; in a run on CartPole that costs more than the writing."""
    event: Any
    """The class of what it takes: of a row, one."""
    summary: Any
    """The class of the numbers in it."""


class Log:
    """Gives rows to ``metrics.jsonl`` and TensorBoard, where there is a folder, and to the user's own ``loggers``.

    New rows follow those of an earlier session, where there are any to ``keep``. Where one fails, a warning says so
    once, and the run goes on.
    """

    def __init__(
        self,
        folder: Path | None,
        keep: list[Row],
        loggers: Sequence[Logger] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.warned: set[str] = set()
        self.loggers, self.written = list(loggers), len(keep)
        self.file: TextIO | None = None
        self.events: Events | None = None
        if folder is not None:
            path = folder / "metrics.jsonl"
            if not keep or not path.exists():
                files.replace(path, "".join(map(line_of, keep)).encode())
            self.file, self.events = path.open("a", buffering=1, encoding="utf-8"), tensorboard_events(folder, keep)
        if self.events is not None and settings:
            try:
                writer, event, summary = self.events
                told = event(step=0, wall_time=time.time(), summary=table(settings, summary))
                writer.write(told.SerializeToString())
            except Exception as error:
                self.warn("TensorBoard's events", error)

    def write(self, row: Row, now: Mapping[str, float] | None = None) -> None:
        """Append one row. NaN and infinity become null, since JSON has neither. ``now`` is what TensorBoard shows, too.

        One event of TensorBoard holds the whole of it, which costs a tenth of an event for each number. It is on the
        disk when this returns: who looks sees the run as it is.
        """
        self.written += 1
        try:
            if self.file is not None:
                finite = {name: x if x is not None and math.isfinite(x) else None for name, x in row.items()}
                self.file.write(json.dumps(finite) + "\n")
        except Exception as error:  # a record that fails must not end what it records
            self.warn("metrics.jsonl", error)
        try:
            if self.events is not None:
                writer, event, summary = self.events
                grouped = [(name, x) for name, x in {**row, **(now or {})}.items() if x is not None and "/" in name]
                numbers = summary(value=[summary.Value(tag=name, simple_value=x) for name, x in grouped])
                told = event(step=int(row["steps"] or 0), wall_time=time.time(), summary=numbers)
                writer.write(told.SerializeToString())
        except Exception as error:
            self.warn("TensorBoard's events", error)
        for own in self.loggers:
            try:
                own(dict(row))
            except Exception as error:
                self.warn(name_of_logger(own), error)

    def close(self) -> None:
        """Flush and close all."""
        writer = None if self.events is None else self.events.writer
        named = [("metrics.jsonl", self.file), ("TensorBoard's events", writer)]
        for name, one in [*named, *((name_of_logger(own), own) for own in self.loggers)]:
            end = getattr(one, "close", None)
            try:
                end() if callable(end) else None
            except Exception as error:
                self.warn(name, error)

    def warn(self, name: str, error: Exception) -> None:
        """Say once that something cannot be written."""
        if name not in self.warned:
            self.warned.add(name)
            warnings.warn(f"{name} cannot be written, training goes on: {visible(text_of(error))}", stacklevel=3)


def logger_list(given: Logger | Sequence[Logger]) -> list[Logger]:
    """The loggers that a user has given; raises ``ConfigError`` for what is none."""
    found = list(given) if isinstance(given, Sequence) else [given]
    for own in found:
        if isinstance(own, type) or not callable(own):
            raise ConfigError(f"{shown(own)} is no logger: give a function of a row, which is a dict of numbers")
        check_hears(own, ("row",), "logger")
    return found


def name_of_logger(own: Logger) -> str:
    """What warnings call it."""
    return f"logger {getattr(own, '__name__', type(own).__name__)}"


def tensorboard_events(folder: Path, keep: list[Row]) -> Events | None:
    """TensorBoard's file in the folder, or None, with one warning, where TensorBoard cannot be had."""
    load = importlib.import_module  # slow, and the messages' classes are made when the module runs
    try:
        event = load("tensorboard.compat.proto.event_pb2")
        summary = load("tensorboard.compat.proto.summary_pb2").Summary
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


def table(settings: Mapping[str, str], summary: Any) -> object:
    """All settings of a run for TensorBoard's page of texts, as a table in Markdown."""
    tensor = importlib.import_module("tensorboard.compat.proto.tensor_pb2").TensorProto
    types = importlib.import_module("tensorboard.compat.proto.types_pb2")
    kind = importlib.import_module("tensorboard.compat.proto.summary_pb2").SummaryMetadata
    cells = (f"| {name} | {text} |" for name, text in settings.items())
    text = tensor(dtype=types.DT_STRING, string_val=["\n".join(["| setting | value |", "|---|---|", *cells]).encode()])
    page = kind(plugin_data=kind.PluginData(plugin_name="text"))
    return summary(value=[summary.Value(tag="settings", metadata=page, tensor=text)])
