"""Processes that do not outlive the one that started them, however it ends. Loads little: worker processes need it."""

import os
import select
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Protocol
from weakref import WeakSet

LIFELINE = "CLIPPER_LIFELINE"
"""The variable by which a process learns the number of its lifeline: a pipe whose other end its starter holds."""

LAST = 3.0  # seconds in which a process may save itself where its starter has ended


class Owned(Protocol):
    """What belongs to the process that made it."""

    def leave(self) -> None:
        """Called in a process that was forked from that one: let go of it there, and end nothing."""
        ...


OWNED: WeakSet[Owned] = WeakSet()


def leave_all() -> None:
    """In a forked process: keep nothing open whose closing tells others that its owner has ended."""
    for owned in list(OWNED):
        owned.leave()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=leave_all)


def apart(descriptor: int) -> int:
    """The same under a number above those of the standard streams, which a new process would replace.

    Where a program was started with a stream closed, the first that is opened gets its number.
    """
    if descriptor > 2:
        return descriptor
    try:
        return apart(os.dup(descriptor))
    finally:
        os.close(descriptor)


def lifeline() -> tuple[int, int]:
    """A pipe: the end for those who are to end with this process, and the end that this process holds."""
    theirs, held = os.pipe()
    return apart(theirs), apart(held)


def die_with(starter: int) -> None:
    """Have this process and its group killed when the lifeline's other end is closed, even while it hangs.

    On Linux the kernel sees to it. Elsewhere a thread does, which waits where C code keeps Python from running.
    """
    if sys.platform == "linux":
        import fcntl  # noqa: PLC0415 (Windows has none)

        fcntl.fcntl(starter, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(starter, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(starter, fcntl.F_SETFL, fcntl.fcntl(starter, fcntl.F_GETFL) | os.O_ASYNC)
        watch = select.poll()
        watch.register(starter, 0)
        if watch.poll(0):  # closed before anybody could be told
            os.killpg(0, signal.SIGKILL)
    else:
        when_closed(starter, lambda: os.killpg(0, signal.SIGKILL))


def when_closed(descriptor: int, act: Callable[[], object]) -> None:
    """Call ``act`` in a thread of its own when a pipe's other end is closed."""

    def wait() -> None:
        while os.read(descriptor, 1):
            pass
        act()

    Thread(target=wait, daemon=True).start()


def end_with_starter() -> None:
    """Where another process has given this one its lifeline: end as on SIGTERM when it ends, by force in the end."""
    number = os.environ.pop(LIFELINE, "")
    if number.isdecimal():
        when_closed(int(number), end_self)


def end_self() -> None:
    """Ask this process to end, and kill it where that takes too long."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST)
    end_children()
    os.kill(os.getpid(), signal.SIGKILL)


def end_children(of: int | None = None) -> None:
    """Kill all processes that this one, or another one, has started, and those that they have."""
    for process in descendants(os.getpid() if of is None else of):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)


def descendants(root: int) -> list[int]:
    """The processes that one has started, and those that they have started, as far as their starters still live."""
    children: dict[int, list[int]] = defaultdict(list)
    for process, parent in processes():
        children[parent].append(process)
    found, left = list[int](), [root]
    while left:
        own = children.pop(left.pop(), [])
        found += own
        left += own
    return found


def processes() -> list[tuple[int, int]]:
    """All processes of this machine, each with its parent."""
    pairs = list[tuple[int, int]]()
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it may have ended
            pairs.append((int(file.parent.name), int(file.read_text().rpartition(")")[2].split()[1])))
    if not pairs:
        with suppress(OSError):
            told = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
            pairs = [(int(pid), int(parent)) for pid, parent in map(str.split, told.splitlines())]
    return pairs
