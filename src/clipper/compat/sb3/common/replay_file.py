"""Replays in files of Clipper's, without a pickle."""

import tempfile
from pathlib import Path

from clipper.compat.sb3.common.buffers import ReplayBuffer
from clipper.compat.sb3.common.saved_policies import File, on_disk, write
from clipper.errors import CorruptCheckpointError
from clipper.storage import checkpoint


def named(path: File) -> File:
    """A path with ``.pkl`` where it has no suffix, as programs look for it; open files as they are."""
    if isinstance(path, str | Path):
        return path if Path(path).suffix else f"{path}.pkl"
    return path


def save_replay(path: File, replay: ReplayBuffer) -> None:
    """Write what is kept."""
    write(named(path), replay.state(), {"sb3_replay": 1})


def load_replay(path: File, replay: ReplayBuffer) -> None:
    """Take it over; raises ``CorruptCheckpointError`` for what is no such file, or of other environments."""
    with tempfile.TemporaryDirectory() as folder:
        file = on_disk(named(path), folder)
        if not file.is_file():
            raise CorruptCheckpointError(f"there is no replay at {path}")
        tensors, values = checkpoint.load(file)
    if values.get("sb3_replay") != 1:
        raise CorruptCheckpointError(f"{path} holds no replay that save_replay_buffer wrote")
    replay.load_state(tensors, str(path))
