"""One process of environments, as the trainer sees it."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from clipper.environments.processes import apart, end_children, lifeline
from clipper.environments.vector.channel import GONE, Channel, Task, packed
from clipper.errors import ConfigError

BOOT = """
import sys, types
package = types.ModuleType("clipper")
package.__path__ = [sys.argv[4]]
sys.modules["clipper"] = package
sys.path[:] = sys.argv[5:]
from clipper.environments.vector.worker_process import main
main()
"""
"""What a worker's interpreter runs: ``clipper`` as a package of which only the modules that are needed are loaded."""
PATIENCE = 60.0  # seconds to make environments, where there is a time-out at all
GRACE = 2.0  # seconds in which processes may end by themselves
LOOK = 0.5  # seconds between two looks whether a silent process still lives


class DeadError(Exception):
    """A process did not answer; says why."""


class Worker:
    """One process, seen from the trainer."""

    def __init__(self, task: Task, memory: int) -> None:
        ours, theirs = (apart(end.detach()) for end in socket.socketpair())
        starter, self.held = lifeline()
        arguments = [str(theirs), str(memory), str(starter), str(Path(__file__).parents[2]), *sys.path]
        # In a session of its own, Ctrl-C does not reach it: the trainer decides what becomes of the run.
        self.process = subprocess.Popen(
            [sys.executable, "-c", BOOT, *arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs, memory, starter),
            start_new_session=True,
        )
        os.close(theirs)
        os.close(starter)
        self.channel, self.poll = Channel(ours), select.poll()
        self.poll.register(ours, select.POLLIN)
        self.task = task
        try:
            self.channel.send(task)
        except Exception as error:
            self.end(0.0)
            raise ConfigError(
                f"the environment cannot be sent to another process: {error!r}. Run it in this one (--vector serial)"
            ) from error

    def answer(self, limit: float) -> object:
        """What it says, at the latest after ``limit`` seconds (0: however long it takes); raises what it raised."""
        answer = self.heard(limit)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def heard(self, limit: float) -> object:
        """As ``answer``; what it raised is returned."""
        began = time.monotonic()
        while not self.poll.poll(1000 * (min(LOOK, limit) if limit else LOOK)):
            # A process that its environment started may hold the channel open after the worker has died.
            if self.process.poll() is not None:
                raise DeadError(self.cause())
            if limit and time.monotonic() - began >= limit:
                raise DeadError(f"did not answer within {limit:g} s{' (env_timeout)' * (limit != PATIENCE)}")
        answer = self.channel.receive()
        if answer == GONE:
            raise DeadError(self.cause())
        return answer

    def cause(self) -> str:
        """How the process ended."""
        try:
            status = self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return "closed its channel"
        if status < 0:
            name = signal.Signals(-status).name
            return f"was ended by {name}" + (" (was there too little memory?)" if name == "SIGKILL" else "")
        return f"exited with status {status}"

    def say(self, message: object) -> None:
        """Send a word, or an object, ``packed`` or not; that it may be gone shows when an answer is awaited."""
        with suppress(OSError):
            if isinstance(message, bytes):
                self.channel.say(message)
            else:
                self.channel.pass_on(message if isinstance(message, memoryview) else packed(message))

    def end(self, grace: float) -> None:
        """End it and what it started, by force after ``grace`` seconds."""
        with suppress(OSError):
            self.channel.close()
        try:
            self.process.wait(max(grace, 0.0))
        except subprocess.TimeoutExpired:
            end_children(self.process.pid)  # those that have left its group, too
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.let_go()

    def let_go(self) -> None:
        """Close its lifeline, which ends it where it lives."""
        if self.held >= 0:
            os.close(self.held)
        self.held = -1
