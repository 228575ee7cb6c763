"""Files that are whole or not there at all, written nowhere else than where they are named."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from clipper.errors import ConfigError, ReadError


def replace(path: Path, data: bytes, before: Callable[[], None] | None = None) -> None:
    """Let ``data`` take the place of ``path`` once it is on the disk; where that fails, what stood there stays.

    ``before`` is called between the two, when nothing can fail for want of space any more.
    """
    aside = path.with_name(path.name + ".part")
    aside.unlink(missing_ok=True)  # what a crash left, or a link that somebody laid there
    try:
        with aside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if before is not None:
            before()
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def check_readable(path: Path) -> None:
    """Raise ``ReadError`` where there may be such a file, but the system does not let it be read."""
    try:
        if path.is_file():  # to open a pipe could wait for ever
            path.open("rb").close()
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {error.strerror}; allow it, and try again") from error


def from_user(path: str | Path) -> Path:
    """A path as somebody has written it, with ``~`` for their home."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # of somebody who has none
        raise ConfigError(f"{path}: {error}") from error


def sync(folder: Path) -> None:
    """Bring a folder's names to the disk, where the system has a way to."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
