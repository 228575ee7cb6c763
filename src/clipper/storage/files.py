"""Files that are whole or not there at all, written nowhere else than where they are named."""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from clipper.errors import ConfigError, ReadError


def replace(path: Path, data: bytes, before: Callable[[], None] | None = None) -> None:
    """Let ``data`` take the place of ``path`` once it is on the disk; where that fails, what stood there stays.

    ``before`` is called between the two, when nothing can fail for want of space any more.
    """
    if is_device(path):
        raise OSError(errno.EEXIST, "it is a device, in whose place no file is put", str(path))
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
    except BaseException as error:
        aside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(aside)):  # of a disk that is full, say
            error.filename, error.filename2 = str(path), None
        raise
    sync(path.parent)


def check_readable(path: Path) -> None:
    """Raise ``ReadError`` where there may be such a file, but the system does not let it be read."""
    try:
        if path.is_file():  # to open a pipe could wait for ever
            path.open("rb").close()
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {error.strerror}; allow it, and try again") from error


def is_device(path: Path) -> bool:
    """Is it one by itself, not a link to one?"""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def from_user(path: object) -> Path:
    """A path as somebody has written it, with ``~`` for their home; ``ConfigError`` for what cannot be one."""
    if not isinstance(path, str | Path) or path == "":
        raise ConfigError(f"a path is wanted, a text that is not empty or a pathlib.Path, not {path!r}")
    if "\0" in str(path):
        raise ConfigError(f"{str(path)!r} cannot be a path: no name has a zero byte in it")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # of somebody who has none
        raise ConfigError(f"{path}: {error}") from error


def from_user_kept(path: str | Path) -> Path:
    """A folder as somebody has named it, the same wherever code of theirs goes later (``os.chdir``)."""
    try:
        return from_user(path).absolute()
    except FileNotFoundError:  # where one stands was deleted
        return from_user(path)


def for_output(path: str | Path) -> Path:
    """A file as somebody has named it to be written; ``ConfigError`` where something stands there that is none.

    A device, a pipe or a folder: none is written into, or replaced.
    """
    path = from_user(path)
    with suppress(OSError):  # where nothing stands, or it cannot be seen
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "folder" if stat.S_ISDIR(mode) else "pipe" if stat.S_ISFIFO(mode) else "device or a socket"
            raise ConfigError(f"{path} is a {kind}, and a file is to be written: name another one")
    return path


def sync(folder: Path) -> None:
    """Bring a folder's names to the disk, where the system has a way to."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
