"""``python -m clipper`` is the command line."""

import io
import os
import signal
import sys

from clipper.cli.letters import register


def main() -> None:
    """Run the command line and exit with its status, quietly where it is interrupted or nobody reads on."""
    prepare_streams()
    try:
        from clipper.cli.commands import run_command  # noqa: PLC0415 (an interrupt may come while it is imported)

        status = run_command(sys.argv[1:])
        sys.stdout.flush()
    except SystemExit as stopped:
        # Help was printed, or a flag is wrong. Nothing has begun, so torch need not be taken down, which takes longer
        # than all else that help does.
        leave(stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None))
    except KeyboardInterrupt:
        leave(128 + signal.SIGINT)
    except OSError as error:
        leave(status_of(error))
    else:
        sys.exit(status)


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


if __name__ == "__main__":
    main()
