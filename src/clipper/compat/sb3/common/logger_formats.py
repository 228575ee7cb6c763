"""Writers of what was noted, one for each kind of file."""

import csv
import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from clipper.data.tree_type import Tree

Excluded = Mapping[str, tuple[str, ...] | str | None]


@dataclass
class Video:
    """Frames ``[B, T, C, H, W]``."""

    frames: torch.Tensor
    fps: float


@dataclass
class Figure:
    """A figure of matplotlib's."""

    figure: Tree
    close: bool


@dataclass
class Image:
    """An array, a tensor or a file's name, and what its axes are."""

    image: torch.Tensor | np.ndarray | str
    dataformats: str


class HParam:
    """Settings of a run, and the metrics that they are compared by."""

    def __init__(self, hparam_dict: Mapping[str, bool | str | float | None], metric_dict: Mapping[str, float]) -> None:
        self.hparam_dict = hparam_dict
        if not metric_dict:
            raise Exception("metric_dict must name a metric at least: TensorBoard shows hyperparameters beside metrics")
        self.metric_dict = metric_dict


class FormatUnsupportedError(NotImplementedError):
    """A writer that cannot hold a value."""

    def __init__(self, unsupported_formats: Sequence[str], value_description: str) -> None:
        formats = ", ".join(unsupported_formats)
        super().__init__(f"no {value_description} can be written as {formats}: record(…, exclude=…) leaves formats out")


class KVWriter(ABC):
    """Writes rows of named values."""

    @abstractmethod
    def write(self, key_values: Mapping[str, Tree], key_excluded: Excluded, step: int = 0) -> None:
        """A row; ``key_excluded`` has the formats that each name is not for."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more comes."""


class SeqWriter(ABC):
    """Writes words."""

    @abstractmethod
    def write_sequence(self, sequence: list[str]) -> None:
        """A line of them."""


@runtime_checkable
class Writes(Protocol):
    """All that a file for people is asked for."""

    def write(self, text: str, /) -> object:
        """Add text."""
        ...

    def flush(self) -> object:
        """Show it."""
        ...


def filter_excluded_keys(key_values: Mapping[str, Tree], key_excluded: Excluded, _format: str) -> dict[str, Tree]:
    """Without those that this format leaves out."""
    return {key: x for key, x in key_values.items() if _format not in (key_excluded.get(key) or ())}


def refuse_pictures(value: Tree, formats: Sequence[str]) -> None:
    """Raise for what only TensorBoard shows."""
    kinds = {Video: "video", Figure: "figure", Image: "image", HParam: "hparam"}
    for kind, name in kinds.items():
        if isinstance(value, kind):
            raise FormatUnsupportedError(formats, name)


class HumanOutputFormat(KVWriter, SeqWriter):
    """A table, in a file or on the screen."""

    def __init__(self, filename_or_file: str | Writes, max_length: int = 36) -> None:
        self.max_length = max_length
        self.own_file = isinstance(filename_or_file, str)
        if isinstance(filename_or_file, str):
            self.file: Tree = Path(filename_or_file).open("w", encoding="utf-8")  # noqa: SIM115
        elif isinstance(filename_or_file, Writes):
            self.file = filename_or_file
        else:
            raise ValueError(f"a path or an open file is needed, not {filename_or_file!r}")

    def write(self, key_values: Mapping[str, Tree], key_excluded: Excluded, step: int = 0) -> None:
        shown = dict[tuple[str, str], str]()
        tag = ""
        for key, value in sorted(filter_excluded_keys(key_values, key_excluded, "stdout").items()):
            if "log" in (key_excluded.get(key) or ()):
                continue
            refuse_pictures(value, ["stdout", "log"])
            text = f"{value:<8.3g}" if isinstance(value, float) else str(value)
            if "/" in key:
                tag = key[: key.find("/") + 1]
                shown[tag, self._truncate(tag)] = ""
            name = f"   {key[len(tag) :]}" if tag and tag in key else key
            place = tag, self._truncate(name)
            if place in shown:
                raise ValueError(f"Key '{name}' truncated to '{place[1]}' that already exists: increase `max_length`.")
            shown[place] = self._truncate(text)
        if not shown:
            warnings.warn("there is nothing to write", stacklevel=2)
            return
        keys, values = max(len(key) for _, key in shown), max(map(len, shown.values()))
        dashes = "-" * (keys + values + 7)
        rows = [f"| {key:<{keys}} | {value:<{values}} |" for (_, key), value in shown.items()]
        self.file.write("\n".join([dashes, *rows, dashes]) + "\n")
        self.file.flush()

    def _truncate(self, text: str) -> str:
        return f"{text[: self.max_length - 3]}..." if len(text) > self.max_length else text

    def write_sequence(self, sequence: list[str]) -> None:
        self.file.write(" ".join(sequence) + "\n")
        self.file.flush()

    def close(self) -> None:
        if self.own_file:
            self.file.close()


class JSONOutputFormat(KVWriter):
    """A line of JSON for each row."""

    def __init__(self, filename: str) -> None:
        self.file = Path(filename).open("w")  # noqa: SIM115 (stays open)

    def write(self, key_values: Mapping[str, Tree], key_excluded: Excluded, step: int = 0) -> None:
        row = filter_excluded_keys(key_values, key_excluded, "json")
        for value in row.values():
            refuse_pictures(value, ["json"])
        row = {key: plain(value) for key, value in row.items()}
        if row:
            self.file.write(json.dumps(row) + "\n")
            self.file.flush()

    def close(self) -> None:
        self.file.close()


def plain(value: Tree) -> Tree:
    """Arrays and tensors as numbers and lists, other objects as text."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)


class CSVOutputFormat(KVWriter):
    """Columns; where a new key comes, earlier rows are filled up with nothing."""

    def __init__(self, filename: str) -> None:
        self.file = Path(filename).open("w+t", newline="")  # noqa: SIM115
        self.keys, self.rows = list[str](), list[dict[str, Tree]]()

    def write(self, key_values: Mapping[str, Tree], key_excluded: Excluded, step: int = 0) -> None:
        row = filter_excluded_keys(key_values, key_excluded, "csv")
        for value in row.values():
            refuse_pictures(value, ["csv"])
        new = sorted(set(row) - set(self.keys))
        writer = csv.writer(self.file, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
        if new:
            before = len(self.keys)
            self.keys += new
            self.file.seek(0)
            lines = list(csv.reader(self.file))[1:] if before else []
            self.file.seek(0)
            self.file.truncate()
            writer.writerow(self.keys)
            writer.writerows([*line, *[""] * len(new)] for line in lines)
        if row:
            writer.writerow(["" if row.get(key) is None else row[key] for key in self.keys])
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class TensorBoardOutputFormat(KVWriter):
    """TensorBoard's files, by torch's writer."""

    def __init__(self, folder: str) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter  # noqa: PLC0415 (takes long to load)

        self.writer = SummaryWriter(log_dir=folder)
        self._is_closed = False

    def write(self, key_values: Mapping[str, Tree], key_excluded: Excluded, step: int = 0) -> None:
        assert not self._is_closed, "this writer is closed: make another"
        for key, value in sorted(filter_excluded_keys(key_values, key_excluded, "tensorboard").items()):
            self.write_one(key, value, step)
        self.writer.flush()

    def write_one(self, key: str, value: Tree, step: int) -> None:
        """By what kind of value it is."""
        if isinstance(value, bool | np.bool_ | int | float | np.number):
            self.writer.add_scalar(key, float(value), step)
        elif isinstance(value, str):
            self.writer.add_text(key, dedent(value), step)
        elif isinstance(value, torch.Tensor | np.ndarray):
            self.writer.add_histogram(key, torch.as_tensor(value), step)
        elif isinstance(value, Video):
            self.writer.add_video(key, value.frames, step, int(value.fps))
        elif isinstance(value, Figure):
            self.writer.add_figure(key, value.figure, step, close=value.close)
        elif isinstance(value, Image):
            self.writer.add_image(key, value.image, step, dataformats=value.dataformats)
        elif isinstance(value, HParam):
            self.write_settings(value)

    def write_settings(self, value: HParam) -> None:
        """Into TensorBoard's table of runs, as its own ``add_hparams`` does but in this very folder."""
        from torch.utils.tensorboard.summary import hparams  # noqa: PLC0415

        experiment, start, end = hparams(dict(value.hparam_dict), metric_dict=dict(value.metric_dict))
        file_writer = self.writer.file_writer
        assert file_writer is not None
        for summary in (experiment, start, end):
            file_writer.add_summary(summary)

    def close(self) -> None:
        if not self._is_closed:
            self.writer.close()
            self._is_closed = True
