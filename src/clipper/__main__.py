"""``python -m clipper`` is the command line."""

import sys


def main() -> None:
    """Run the command line and exit with its status."""
    from clipper.cli import run_command  # noqa: PLC0415 (so that an interrupt during the imports ends quietly)

    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
