"""One run in several processes: on what they agree in each iteration, and the folder, which is the first one's."""

import dataclasses
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from clipper.errors import ConfigError
from clipper.learning.learner import Learner
from clipper.ranks.group import Group
from clipper.ranks.packing import packed, unpacked
from clipper.rollout.state import Columns
from clipper.settings.config import Config
from clipper.settings.config_json import to_json


def columns_of(rank: int, size: int, num_envs: int) -> tuple[Columns, int]:
    """Where the columns begin that one of ``size`` processes collects, and how many: numbers differ by one at most."""
    if num_envs < size:
        raise ConfigError(
            f"{size} ranks cannot divide an environment: there must be at least as many as ranks, not {num_envs}. "
            "num_envs, or the length of a list, is their number over all ranks; raise it, or start fewer ranks"
        )
    first, end = (num_envs * number // size for number in (rank, rank + 1))
    return Columns(first, num_envs), end - first


def check_settings_agree(group: Group, config: Config) -> None:
    """Raise ``RankError`` on all where ranks were given other settings; each may compute on a device of its own."""
    text = json.dumps(to_json(dataclasses.replace(config, device="cpu")), sort_keys=True)
    group.agree(same=zlib.crc32(text.encode()), what="a setting")


def agree(group: Group, learner: Learner, going: bool, due: bool) -> tuple[bool, bool]:
    """Go on, and save now? None goes on where one says stop, and all save where one says that it is due.

    Raises ``RankError`` where learners are not the same any more.
    """
    stop, due_somewhere = group.agree(not going, due, same=digest(learner), what="the learner")
    return not stop, due_somewhere


def digest(learner: Learner) -> int:
    """A number that two learners have in common if their parameters and running statistics are the same."""
    found = 0
    for x in (*(own for part in learner.parts.values() for own in part.vectors), *learner.policy.buffers()):
        if x.numel():
            found = zlib.crc32(x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data, found)
    return found


def of_first(group: Group, numbers: list[float | None]) -> list[float | None]:
    """The numbers that rank 0 has, for all."""
    _, found = unpacked(group.from_first(bytes(packed([], numbers))))
    assert isinstance(found, list)
    return found


@contextmanager
def folder_of_first(folder: Path, group: Group | None) -> Iterator[Path]:
    """A run's folder; on all ranks but the first a copy of what one resumes from, since they may be other machines."""
    if group is None:
        yield folder
        return
    files = list[Path]()
    if group.rank == 0 and folder.is_dir():
        kept = ("config.json", "metrics.jsonl", "checkpoint*.safetensors", "replay-*.safetensors")
        files = [path for name in kept for path in sorted(folder.glob(name))]
    contents = [torch.from_numpy(np.frombuffer(path.read_bytes(), np.uint8).copy()) for path in files]
    received, names = unpacked(group.from_first(bytes(packed(contents, [path.name for path in files]))))
    if group.rank == 0:
        yield folder
        return
    assert isinstance(names, list)
    with TemporaryDirectory() as copy:
        for name, content in zip(names, received, strict=True):
            (Path(copy) / Path(name).name).write_bytes(content.numpy().tobytes())
        yield Path(copy)
