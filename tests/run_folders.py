"""Folders of runs that nobody has trained: their settings, and returns made up for them."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from clipper.settings.config import Config
from clipper.settings.config_json import to_json


def write(folder: Path, config: Config, returns: Sequence[float] = (10.0, 20.0), age: float = 0.0) -> Path:
    """A run whose recent return goes through ``returns`` at even distances, and that ended ``age`` seconds ago."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(to_json(config)))
    each = config.total_steps // max(len(returns), 1)
    rows = [{"iteration": i + 1, "steps": each * (i + 1), "episode/recent_return": y} for i, y in enumerate(returns)]
    file = folder / "metrics.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.utime(file, (1e9 - age, 1e9 - age))
    return folder
