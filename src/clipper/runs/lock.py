"""One process trains in a folder at a time: the system locks it, and forgets the locks of processes that have ended."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clipper.environments.processes import OWNED, apart
from clipper.errors import ConfigError


class Lock:
    """Holds a folder until it is let go; a process that is forked meanwhile does not hold it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.descriptor = folder, -1
        try:
            self.descriptor = take(folder)
        except BlockingIOError:
            raise ConfigError(
                f"another process trains in {folder} at this moment: wait until it has ended, end it, or name another "
                "folder"
            ) from None
        except OSError as error:  # some file systems of networks know no locks
            warnings.warn(f"{folder} cannot be locked, so let no other process train in it: {error}", stacklevel=3)
        OWNED.add(self)

    def check(self) -> None:
        """Raise ``FileNotFoundError`` where the folder is not there any more, or another one bears its name."""
        if self.descriptor >= 0 and sys.platform != "win32":
            there, ours = self.folder.stat(), os.fstat(self.descriptor)
            if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
                raise FileNotFoundError(f"{self.folder} was deleted, and made anew by somebody else")

    def release(self) -> None:
        """Let others train in it, also where a process that was forked at this moment still has a copy."""
        if self.descriptor >= 0 and sys.platform != "win32":
            import fcntl  # noqa: PLC0415

            fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        self.leave()

    def leave(self) -> None:
        """Close it, which leaves it to whoever has a copy."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


@contextmanager
def locked(folder: Path) -> Iterator[Lock]:
    """Nobody else trains in the folder meanwhile; ``ConfigError`` where somebody does."""
    lock = Lock(folder)
    try:
        yield lock
    finally:
        lock.release()


def take(folder: Path) -> int:
    """A descriptor that holds the folder as long as it is open; ``BlockingIOError`` where another one does."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    else:
        import fcntl  # noqa: PLC0415

        descriptor = apart(os.open(folder, os.O_RDONLY))
    try:
        if sys.platform == "win32":
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except PermissionError as error:
                raise BlockingIOError from error
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
