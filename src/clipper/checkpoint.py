"""One file that holds a state: named tensors and JSON, without pickle, checked against its own SHA-256.

The file is in the safetensors format; JSON and checksum stand in its metadata. It is written aside, flushed to the disk
and renamed, so that what bears the final name is always whole.
"""

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from clipper.errors import CorruptCheckpointError

FORMAT = "clipper-1"


def save(path: Path, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Write tensors and JSON values to ``path``, replacing what stood there only once the new file is complete."""
    tensors = {name: x.detach().cpu().contiguous().clone() for name, x in tensors.items()}
    metadata = {"format": FORMAT, "values": json.dumps(values, sort_keys=True)}
    metadata["sha256"] = digest(tensors, metadata)
    aside = path.with_name(path.name + ".part")
    with aside.open("wb") as file:
        file.write(safetensors.torch.save(tensors, metadata))
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read back what ``save`` wrote.

    Raises ``CorruptCheckpointError`` where the file was cut short, altered, or is none of ours.
    """
    if not path.is_file():
        raise CorruptCheckpointError(f"there is no checkpoint at {path}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CorruptCheckpointError(f"{path} is no whole checkpoint ({error}); take an earlier one") from error
    if metadata.get("format") != FORMAT:
        raise CorruptCheckpointError(f"{path} is not a checkpoint of this version of Clipper ({FORMAT})")
    if metadata.pop("sha256", None) != digest(tensors, metadata):
        raise CorruptCheckpointError(f"{path} was altered: its contents do not match its checksum; take an earlier one")
    return tensors, json.loads(metadata["values"])


def load_latest(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The newest whole checkpoint of a run's folder; warns where it has to fall back to the one before."""
    newest, previous = folder / "checkpoint.safetensors", folder / "checkpoint.previous.safetensors"
    try:
        return load(newest)
    except CorruptCheckpointError as error:
        if not previous.exists():
            raise
        warnings.warn(f"{error}; going back to {previous.name}", stacklevel=2)
        return load(previous)


def digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors, and over the metadata."""
    total = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        x = tensors[name]
        total.update(f"\0{name}\0{x.dtype}\0{list(x.shape)}\0".encode())
        # Arrays of one number or none may come from numpy with stride 0, which no view as bytes accepts.
        total.update(x.reshape(-1).as_strided((x.numel(),), (1,)).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
