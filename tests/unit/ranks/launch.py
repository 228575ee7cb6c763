"""Programs under torchrun."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def command_of(size: int, *words: object, restarts: int = 0) -> list[str]:
    """A program in so many processes; of one it is started by itself."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(size), "--max-restarts", str(restarts)]
    return [sys.executable, "-W", "ignore", *(launcher * (size > 1)), *map(str, words)]


def start(size: int, *words: object, restarts: int = 0) -> subprocess.Popen[str]:
    """Start it, with what it prints on pipes."""
    return subprocess.Popen(
        command_of(size, *words, restarts=restarts), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={name: x for name, x in os.environ.items() if name != "CLIPPER_ENGINE"} | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def ended(process: subprocess.Popen[str], limit: float = 150) -> tuple[int, str, str]:
    """Its status, and what it printed on both streams."""
    out, errors = process.communicate(timeout=limit)
    return process.returncode, out, errors


def found(size: int, *words: object) -> list[dict[str, Any]]:
    """What ``cases.py`` prints in so many processes."""
    status, out, errors = ended(start(size, HERE / "cases.py", *words))
    assert status == 0, errors
    return [json.loads(line) for line in out.replace("}{", "}\n{").splitlines() if line]
