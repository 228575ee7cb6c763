"""The settings of a run, as its folder holds them."""

from pathlib import Path

from clipper.errors import CorruptCheckpointError
from clipper.settings.config import Config
from clipper.settings.config_json import read_settings
from clipper.storage import json_text


def read_config(run_dir: Path) -> Config:
    """The settings of a run's folder, checked field by field; see ``read_settings``."""
    path = run_dir / "config.json"
    if not path.is_file():
        raise CorruptCheckpointError(f"{run_dir} is no run: it has no config.json")
    return read_settings(json_text.read(path))
