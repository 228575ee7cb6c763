"""What ``train`` shows of itself in a terminal or a notebook, and how Ctrl-C ends it there."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from clipper.runs.callbacks import IterationCallback
from clipper.runs.header import Header
from clipper.runs.progress import ProgressDisplay
from clipper.runs.run import Run
from clipper.runs.terminal import Terminal


class Interrupt:
    """Ctrl-C ends the run after the current iteration; once more, and it is Python's own ``KeyboardInterrupt``."""

    def __init__(self, console: Console) -> None:
        self.console, self.received, self.run = console, False, None

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Note it, the first time."""
        if self.received:
            raise KeyboardInterrupt
        self.received = True

    def __call__(self, run: Run) -> bool:
        """The callback: go on?"""
        self.run = run
        return not self.received

    def tell(self) -> None:
        """How to go on."""
        if self.received and self.run is not None:
            where = "" if self.run.path is None else f"; clipper.train(resume={str(self.run.path)!r}) goes on"
            self.console.print(f"ended by Ctrl-C after {self.run.steps:,} steps{where}", soft_wrap=True)


@contextmanager
def on_screen(progress: bool | None, rank: int) -> Iterator[list[IterationCallback]]:
    """Callbacks that show the run, where somebody looks: in a terminal or a notebook, unless ``progress`` says it.

    Of several processes the first one shows it.
    """
    console = Terminal()
    looked_at = console.is_terminal or console.is_jupyter
    if rank or not (looked_at if progress is None else progress):
        yield []
        return
    interrupt = Interrupt(console)
    held = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) in (
        signal.default_int_handler,
    )
    before = signal.signal(signal.SIGINT, interrupt.receive) if held else None
    try:
        with ProgressDisplay(console) as display:
            yield [Header(console), display, interrupt]
    finally:
        if held:
            signal.signal(signal.SIGINT, before)
    interrupt.tell()
