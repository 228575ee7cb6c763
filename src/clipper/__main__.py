"""``python -m clipper`` is the command line."""

import signal
import sys

from clipper.cli.streams import leave, prepare_streams, status_of


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


if __name__ == "__main__":
    main()
