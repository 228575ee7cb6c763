"""A replay's rows beside a run's checkpoints, in parts: a save writes those that are new, and no others."""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from clipper.errors import CorruptCheckpointError
from clipper.learning.learner import Learner
from clipper.learning.replay import Replay
from clipper.storage import checkpoint

PART = re.compile(r"replay-(\d{12})-(\d{12})\.safetensors")
HEAD = "learner.replay."


class ReplayFiles:
    """What of a run's replay lies in its folder.

    A part holds the rows from one number to another, counted from the run's first one, and is named by both. Each new
    one begins with the last row of that before, which may have been marked as broken off since; the later part counts.
    """

    def __init__(self, saved: int = 0) -> None:
        self.saved = saved
        """Rows before this number lie in the folder."""
        self.oldest: deque[int] = deque()
        """Of the latest checkpoints, the first row that each needs."""

    @classmethod
    def of_folder(cls, folder: Path, learner: Learner) -> "ReplayFiles":
        """Those of a run that goes on with this learner: parts of a later, lost one do not count."""
        replay = learner.modules.get("replay")
        ends = [end for _, _, end in parts(folder)] if isinstance(replay, Replay) else []
        return cls(max((end for end in ends if isinstance(replay, Replay) and end <= replay.rows_ever), default=0))

    def save(self, folder: Path, learner: Learner, keep: int) -> None:
        """Write what is new, and delete what none of the ``keep`` latest checkpoints needs, or a lost run wrote."""
        replay = learner.modules.get("replay")
        if not isinstance(replay, Replay) or replay.kept is None:
            return
        first_kept = replay.written - replay.size
        for path, _, end in parts(folder):
            if end > self.saved:
                path.unlink(missing_ok=True)
        if replay.written > self.saved:
            first = max(first_kept, self.saved - 1)
            path = folder / f"replay-{first:012d}-{replay.written:012d}.safetensors"
            checkpoint.save(path, replay.rows(first, replay.written), {"first": first, "end": replay.written})
            self.saved = replay.written
        self.oldest.append(first_kept)
        while len(self.oldest) > keep:
            self.oldest.popleft()
            for path, _, end in parts(folder):
                if end <= self.oldest[0]:
                    path.unlink(missing_ok=True)


def parts(folder: Path) -> list[tuple[Path, int, int]]:
    """The files that are there, each with the number of its first row and that after its last one, by the latter."""
    found = ((path, PART.fullmatch(path.name)) for path in folder.iterdir())
    return sorted(((path, int(m[1]), int(m[2])) for path, m in found if m), key=lambda part: part[2])


def read_rows(folder: Path, tensors: dict[str, Tensor], were_saved: bool = True) -> dict[str, Tensor]:
    """What a checkpoint holds, with the rows of its replay, where these lie in parts; without it where none is there.

    Raises ``CorruptCheckpointError`` where some are missing or damaged.
    """
    written = tensors.get(f"{HEAD}written")
    if written is None or f"{HEAD}mask" in tensors:
        return tensors
    end, size = int(written), int(tensors[f"{HEAD}size"])
    there = [part for part in parts(folder) if end - size < part[2] <= end] if were_saved else []
    if not there:
        return {name: x for name, x in tensors.items() if not name.startswith(HEAD)}
    rows: dict[str, Tensor] = {}
    covered = torch.zeros(size, dtype=torch.bool)
    for path, first, after in there:
        found, _ = checkpoint.load(path)
        skipped = max(0, end - size - first)
        place = slice(first + skipped - (end - size), after - (end - size))
        try:
            for name, x in found.items():
                mine = rows.setdefault(f"{HEAD}{name}", x.new_zeros((size, *x.shape[1:])))
                mine[place] = x[skipped:]
        except RuntimeError as error:
            raise CorruptCheckpointError(f"{path} holds other rows than its name says: {error}") from error
        covered[place] = True
    if not covered.all():
        raise CorruptCheckpointError(
            f"{folder} lacks rows of the replay: bring back replay-*.safetensors, or delete them all, and the run goes "
            "on with an empty one"
        )
    return tensors | rows


@contextmanager
def rows_left_out(learner: Learner) -> Iterator[None]:
    """Within this, the learner's state has of its replay the number of rows and what was seen last, but no rows."""
    replay = learner.modules.get("replay")
    if not isinstance(replay, Replay):
        yield
        return
    replay.apart = True
    try:
        yield
    finally:
        replay.apart = False


def begin_anew(learner: Learner) -> bool:
    """Where the replay came without rows, though there were decisions, the first ones are uniform again; was it so?"""
    replay = learner.modules.get("replay")
    if not isinstance(replay, Replay) or replay.columns is not None or not int(learner.extra["decisions"]):
        return False
    for name in ("decisions", "gradient_steps"):
        learner.extra[name].zero_()
    return True
