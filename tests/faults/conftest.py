"""Figures of the long tests go to a file where ``CLIPPER_RELIABILITY`` names one, for docs/*/reliability.md."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def figures() -> Callable[..., None]:
    """``figures("F18", kills=50)`` keeps what a row of the table shows."""

    def note(row: str, **numbers: float) -> None:
        if os.environ.get("CLIPPER_RELIABILITY"):
            path = Path(os.environ["CLIPPER_RELIABILITY"])
            known = json.loads(path.read_text()) if path.exists() else {}
            path.write_text(json.dumps(known | {row: numbers}, indent=2, sort_keys=True) + "\n")

    return note


@pytest.fixture
def run_program() -> Callable[..., dict]:
    """Run a program of this folder in a process of its own; what it prints last, as JSON, is its result."""

    def run(name: str, *words: object) -> dict:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name(name)), *map(str, words)],
            capture_output=True, text=True, check=False,
            env=os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run
