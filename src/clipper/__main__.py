"""``python -m clipper`` is the command line."""

import os
import signal
import sys


def main() -> None:
    """Run the command line and exit with its status."""
    from clipper.cli.commands import run_command  # noqa: PLC0415 (so that an interrupt during the imports ends quietly)

    try:
        status = run_command(sys.argv[1:])
    except SystemExit as stopped:
        # Help was printed, or a flag is wrong. Nothing has begun, so torch need not be taken down, which takes longer
        # than all else that help does.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None))
    except BrokenPipeError:  # whoever read our output has left, as `head` does
        os._exit(128 + signal.SIGPIPE)
    sys.exit(status)


if __name__ == "__main__":
    main()
