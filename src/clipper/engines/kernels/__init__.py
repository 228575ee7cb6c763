"""Numba kernels. Each is compiled once for all sizes and cached on the disk; importing them needs Numba.

Numba looks only at a kernel's own file when it asks whether the cached code is still right. Here kernels call others
in other files, so the cache lies in a folder named after the contents of all of them.
"""

import hashlib
import importlib
import os
from pathlib import Path
from typing import Any

from numba.core import config

from clipper.environments.checks import LARGEST_REWARD
from clipper.functional.objectives import LARGEST_LOG_RATIO

HERE = Path(__file__).parent
MODULES = ("act", "returns", "update")


def cache_folder() -> Path:
    """Where the code compiled from these very sources lies."""
    sources = [*sorted(HERE.glob("*.py")), HERE.parent / "network.py"]
    digest = hashlib.sha256(repr((LARGEST_LOG_RATIO, LARGEST_REWARD)).encode())
    for path in sources:
        digest.update(path.read_bytes())
    base = os.environ.get("NUMBA_CACHE_DIR")
    return (Path(base) if base else HERE / "__pycache__") / f"kernels-{digest.hexdigest()[:16]}"


def load() -> None:
    """Import the kernels with that folder as their cache; where it cannot be written, Numba chooses another."""
    settings: Any = config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(cache_folder())
    try:
        for name in MODULES:
            importlib.import_module(f"{__name__}.{name}")
    finally:
        settings.CACHE_DIR = before


load()
