"""Threads of torch in a process that was forked: those of the process before are not there, and it waits for them."""

import os
import signal
import sys
import time

import torch

from clipper.errors import ConfigError

PATIENCE = 10.0  # seconds for what takes a millisecond where it does not hang
FORKED: list[int] = []
"""The process that was forked, while it runs."""

if sys.platform != "win32":
    os.register_at_fork(after_in_child=lambda: FORKED.append(os.getpid()))


def check_threads(count: int) -> None:
    """Raise ``ConfigError`` where to compute with several threads would hang, since this process was forked."""
    if count > 1 and FORKED and not threads_work(count):
        raise ConfigError(
            f"this process was forked from one in which torch had computed with several threads, so threads={count} "
            "would hang: use threads=1, or start it with multiprocessing.get_context('spawn')"
        )


def threads_work(count: int) -> bool:
    """Try it in one more fork, which may hang in this one's place."""
    child = os.fork()
    if not child:
        torch.set_num_threads(count)
        torch.ones(2**20).add_(1.0)
        os._exit(0)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False
