"""Mistakes in options, as the command line says them: the message first, and at last where help is."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

RULES = " -\u2500\u2570\u256f"
"""Of such letters are the lines between and below; narrow encodings have no others."""
WIDE = "4000"
"""Columns in which tyro breaks no line."""


@contextmanager
def said_in_short(command: str) -> Iterator[None]:
    """Have what tyro says of a mistake without its frame and its usage, which for ``train`` fills a screen."""
    columns, captured = os.environ.get("COLUMNS"), io.StringIO()
    os.environ["COLUMNS"] = WIDE
    try:
        with redirect_stderr(captured):
            yield
    except SystemExit as stopped:
        if stopped.code:
            sys.stderr.write(in_short(captured.getvalue(), command))
        raise
    else:
        sys.stderr.write(captured.getvalue())
    finally:
        os.environ.pop("COLUMNS", None)
        os.environ |= {} if columns is None else {"COLUMNS": columns}


def in_short(framed: str, command: str) -> str:
    """The message of tyro without its frame, its rules and its own hint at help."""
    _title, *rows = [line.strip(" \u2502") for line in framed.splitlines()] or [""]
    hints = ("For full helptext", "Argument helptext:", command)
    said = [row for row in rows if row.strip(RULES) and not row.startswith(hints)]
    message, *more = said or ["the options cannot be read"]
    if message.endswith(":") and more:
        message, *more = [f"{message} {more[0]}", *more[1:]]
    return "\n".join([f"error: {message}", *(f"  {line}" for line in more), f"help: {command} --help", ""])
