"""One file that holds a state: named tensors and JSON, without pickle, checked against its own SHA-256.

The file is in the safetensors format; JSON and checksum stand in its metadata. It is written aside, flushed to the disk
and renamed, so that what bears the final name is always whole. The ones before may stay beside it.
"""

import hashlib
import itertools
import json
import os
import shutil
import warnings
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from clipper.errors import CorruptCheckpointError
from clipper.storage import files, json_text

FORMAT = "clipper-1"
MOST_TENSORS = 50_000  # in a file; each takes some 50 µs to be read and checked, however small it is


def save(path: Path, tensors: dict[str, Tensor], values: dict[str, object], keep: int = 1) -> None:
    """Write tensors and JSON values to ``path``, replacing what stood there only once the new file is complete.

    The latest ``keep`` files stay, this one included (``earlier`` names them).
    """
    tensors = {name: x.detach().cpu().contiguous().clone() for name, x in tensors.items()}
    metadata = {"format": FORMAT, "values": json.dumps(values, sort_keys=True)}
    metadata["sha256"] = digest(tensors, metadata)

    def shift() -> None:
        """Each file becomes the one before; at no moment is there less than one that is whole."""
        names = [earlier(path, age) for age in range(keep)]
        for newer, older in reversed(list(itertools.pairwise(names[1:]))):
            if newer.exists():
                newer.replace(older)
        if keep > 1 and path.exists():
            link = names[1].with_suffix(".link")
            link.unlink(missing_ok=True)
            try:
                os.link(path, link)
            except OSError:  # some file systems know no links
                shutil.copyfile(path, link)
            link.replace(names[1])

    files.replace(path, safetensors.torch.save(tensors, metadata), before=shift)


def earlier(path: Path, age: int) -> Path:
    """Where the file of ``age`` saves ago lies: x.safetensors, x.previous.safetensors, x.previous-2.safetensors …"""
    word = ("", ".previous")[age] if age < 2 else f".previous-{age}"
    return path.with_name(f"{path.stem}{word}{path.suffix}")


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Read back what ``save`` wrote.

    Raises ``CorruptCheckpointError`` where the file was cut short, altered, or is none of ours; ``ReadError`` where the
    system does not let it be read, which says nothing about what it holds.
    """
    files.check_readable(path)
    if not path.is_file():
        raise CorruptCheckpointError(f"there is no checkpoint at {path}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata, names = file.metadata() or {}, file.keys()
            if len(names) > MOST_TENSORS:
                raise ValueError(f"it holds {len(names):,} tensors, more than {MOST_TENSORS:,}")
            tensors = {name: file.get_tensor(name) for name in names}
    except (safetensors.SafetensorError, OSError, ValueError, TypeError, LookupError, RuntimeError) as error:
        raise CorruptCheckpointError(f"{path} is no whole checkpoint ({error}); take an earlier one") from error
    if metadata.get("format") != FORMAT:
        raise CorruptCheckpointError(f"{path} is not a checkpoint of this version of Clipper ({FORMAT})")
    if metadata.pop("sha256", None) != digest(tensors, metadata):
        raise CorruptCheckpointError(f"{path} was altered: its contents do not match its checksum; take an earlier one")
    values = json_text.parse(metadata.get("values", ""), f"what {path} says of itself")
    if not isinstance(values, dict):
        raise CorruptCheckpointError(f"{path} says nothing of itself")
    return tensors, values


def load_latest(folder: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """The newest whole checkpoint of a run's folder; warns where it has to fall back to one before."""
    newest, age = folder / "checkpoint.safetensors", 1
    while True:
        try:
            return load(earlier(newest, age - 1))
        except CorruptCheckpointError as error:
            if not earlier(newest, age).exists():
                raise
            warnings.warn(f"{error}; going back to {earlier(newest, age).name}", stacklevel=2)
            age += 1


def digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors, and over the metadata."""
    total = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        x = tensors[name]
        total.update(f"\0{name}\0{x.dtype}\0{list(x.shape)}\0".encode())
        # Arrays of one number or none may come from numpy with stride 0, which no view as bytes accepts.
        total.update(x.reshape(-1).as_strided((x.numel(),), (1,)).view(torch.uint8).numpy().data)
    return total.hexdigest()
