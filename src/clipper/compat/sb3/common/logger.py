"""What a program notes, and where it is written: a table, files of text, CSV and JSON, TensorBoard."""

import datetime
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from clipper.compat.sb3.common.logger_formats import (
    CSVOutputFormat,
    Figure,
    FormatUnsupportedError,
    HParam,
    HumanOutputFormat,
    Image,
    JSONOutputFormat,
    KVWriter,
    SeqWriter,
    TensorBoardOutputFormat,
    Video,
    filter_excluded_keys,
)
from clipper.data.tree_type import Tree

__all__ = [
    "DEBUG", "DISABLED", "ERROR", "INFO", "WARN", "CSVOutputFormat", "Figure", "FormatUnsupportedError", "HParam",
    "HumanOutputFormat", "Image", "JSONOutputFormat", "KVWriter", "Logger", "SeqWriter", "TensorBoardOutputFormat",
    "Video", "configure", "filter_excluded_keys", "make_output_format", "read_csv", "read_json",
]  # fmt: skip

DEBUG, INFO, WARN, ERROR, DISABLED = 10, 20, 30, 40, 50


def make_output_format(_format: str, log_dir: str | Path, log_suffix: str = "") -> KVWriter:
    """The writer by its name: stdout, log, json, csv or tensorboard."""
    folder = Path(log_dir)
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, Callable[[], KVWriter]] = {
        "stdout": lambda: HumanOutputFormat(sys.stdout),
        "log": lambda: HumanOutputFormat(str(folder / f"log{log_suffix}.txt")),
        "json": lambda: JSONOutputFormat(str(folder / f"progress{log_suffix}.json")),
        "csv": lambda: CSVOutputFormat(str(folder / f"progress{log_suffix}.csv")),
        "tensorboard": lambda: TensorBoardOutputFormat(str(folder)),
    }
    if _format not in made:
        raise ValueError(f"Unknown format specified: {_format}; there are {', '.join(made)}")
    return made[_format]()


class Logger:
    """Keeps what is recorded until ``dump`` writes it."""

    def __init__(self, folder: str | None, output_formats: Sequence[KVWriter] = ()) -> None:
        self.name_to_value: dict[str, Tree] = defaultdict(float)
        self.name_to_count: dict[str, int] = defaultdict(int)
        self.name_to_excluded: dict[str, tuple[str, ...]] = {}
        self.level, self.dir, self.output_formats = INFO, folder, output_formats

    @staticmethod
    def to_tuple(string_or_tuple: str | tuple[str, ...] | None) -> tuple[str, ...]:
        """Formats that leave a key out."""
        if string_or_tuple is None:
            return ("",)
        return string_or_tuple if isinstance(string_or_tuple, tuple) else (string_or_tuple,)

    def record(self, key: str, value: object, exclude: str | tuple[str, ...] | None = None) -> None:
        """Note a value, in the place of one noted before."""
        self.name_to_value[key] = value
        self.name_to_excluded[key] = self.to_tuple(exclude)

    def record_mean(self, key: str, value: float | None, exclude: str | tuple[str, ...] | None = None) -> None:
        """Note a number of which the row has the mean."""
        if value is None:
            return
        before, count = self.name_to_value[key], self.name_to_count[key]
        self.name_to_value[key] = before * count / (count + 1) + value / (count + 1)
        self.name_to_count[key] = count + 1
        self.name_to_excluded[key] = self.to_tuple(exclude)

    def dump(self, step: int = 0) -> None:
        """Write a row, and begin the next."""
        if self.level == DISABLED:
            return
        for writer in self.output_formats:
            if isinstance(writer, KVWriter):
                writer.write(self.name_to_value, self.name_to_excluded, step)
        self.name_to_value.clear()
        self.name_to_count.clear()
        self.name_to_excluded.clear()

    def log(self, *args: object, level: int = INFO) -> None:
        """Write words, where they matter enough."""
        if self.level <= level:
            for writer in self.output_formats:
                if isinstance(writer, SeqWriter):
                    writer.write_sequence(list(map(str, args)))

    def debug(self, *args: object) -> None:
        """Words for who looks for a fault."""
        self.log(*args, level=DEBUG)

    def info(self, *args: object) -> None:
        """Words."""
        self.log(*args, level=INFO)

    def warn(self, *args: object) -> None:
        """Words of what may be wrong."""
        self.log(*args, level=WARN)

    def error(self, *args: object) -> None:
        """Words of what is wrong."""
        self.log(*args, level=ERROR)

    def set_level(self, level: int) -> None:
        """What matters enough."""
        self.level = level

    def get_dir(self) -> str | None:
        """Where files go."""
        return self.dir

    def close(self) -> None:
        """Write no more."""
        for writer in self.output_formats:
            writer.close()


def configure(folder: str | None = None, format_strings: list[str] | None = None) -> Logger:
    """A logger for a folder, a new one without, with the formats of these names; by default stdout, log and csv."""
    if folder is None:
        folder = os.getenv("SB3_LOGDIR")
    if folder is None:
        now = datetime.datetime.now().strftime("SB3-%Y-%m-%d-%H-%M-%S-%f")
        folder = str(Path(tempfile.gettempdir()) / now)
    Path(folder).mkdir(parents=True, exist_ok=True)
    if format_strings is None:
        format_strings = os.getenv("SB3_LOG_FORMAT", "stdout,log,csv").split(",")
    formats = [make_output_format(name, folder) for name in format_strings if name]
    logger = Logger(folder, formats)
    if [name for name in format_strings if name and name != "stdout"]:
        logger.log(f"Logging to {folder}")
    return logger


def read_json(filename: str) -> Tree:
    """What ``JSONOutputFormat`` wrote, a ``pandas.DataFrame``."""
    import pandas  # noqa: PLC0415  # pyright: ignore[reportMissingImports] (only tables need it)

    return pandas.read_json(filename, lines=True)


def read_csv(filename: str) -> Tree:
    """What ``CSVOutputFormat`` wrote, a ``pandas.DataFrame``."""
    import pandas  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    return pandas.read_csv(filename, index_col=None, comment="#")
