"""Standard streams of the command line: whatever they are connected to, and whoever stops reading."""

import io
import os
import signal
import sys

from clipper.cli.letters import register


def prepare_streams() -> None:
    """Let standard streams take all that is written: letters that their encoding lacks are spelled (``5 us``).

    One that was closed leads nowhere, and no other file gets its number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (for as long as the process lives)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=register())


def status_of(error: OSError) -> int:
    """The status where output cannot be written: quietly where who read it has left, as ``head`` does."""
    if isinstance(error, BrokenPipeError):
        return 128 + signal.SIGPIPE
    sys.stderr.write(f"error: what is printed cannot be written: {error.strerror}\n")
    return 2


def leave(status: int) -> None:
    """End at once, with what was printed so far."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        status = status or status_of(error)
    os._exit(status)
