"""Settings as JSON and back, with nothing that runs: classes of networks and optimizers are kept by their names."""

import importlib
import io
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from clipper.compat.sb3.common.buffers import ReplayBuffer
from clipper.compat.sb3.common.noise import ActionNoise, noise_from_json, noise_to_json
from clipper.compat.sb3.common.rollout_buffers import RolloutBuffer
from clipper.compat.sb3.common.schedules import ConstantSchedule, FloatSchedule, LinearSchedule
from clipper.compat.sb3.common.torch_layers import BaseFeaturesExtractor
from clipper.data.tree_type import Tree
from clipper.errors import ConfigError, CorruptCheckpointError
from clipper.spaces.space_json import space_from_json, space_to_json
from clipper.storage import checkpoint
from clipper.storage.files import from_user

P = TypeVar("P", bound=nn.Module)
File = str | Path | IO[bytes] | io.BufferedIOBase
KNOWN = ("torch.nn.", "torch.optim.", "clipper.compat.sb3.")
"""Modules of which names in a file are looked up even where nobody has imported them yet."""
KINDS: dict[str, type] = {
    "policy_class": nn.Module, "features_extractor_class": BaseFeaturesExtractor, "activation_fn": nn.Module,
    "optimizer_class": torch.optim.Optimizer, "rollout_buffer_class": RolloutBuffer,
    "replay_buffer_class": ReplayBuffer,
}  # fmt: skip
"""What a name in a file may stand for, by setting. It will be called, with arguments from the file: anything else that
the program has imported, as a class that starts processes, would be run by whoever wrote the file."""
UNSAVED = "unsaved"


def encode(value: Tree) -> Tree:  # noqa: PLR0911 (a kind each)
    """As JSON has it; what no name identifies becomes a note of what was there."""
    if isinstance(value, str | bool | int | float | None):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return {type(value).__name__: [encode(x) for x in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: encode(x) for key, x in value.items()}}
    if isinstance(value, gymnasium.Space):
        return {"space": space_to_json(value)}
    if isinstance(value, FloatSchedule):
        return {"float_schedule": encode(value.value_schedule)}
    if isinstance(value, ConstantSchedule):
        return {"constant": value.val}
    if isinstance(value, LinearSchedule):
        return {"linear": [value.start, value.end, value.end_fraction]}
    if isinstance(value, ActionNoise) and (kept := noise_to_json(value)) is not None:
        return {"noise": kept}
    name = f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '')}"
    if isinstance(value, type) and issubclass(value, tuple(KINDS.values())) and "<" not in name:
        return {"name": name}
    return {UNSAVED: repr(value)[:200]}


def decode(data: Tree, what: str) -> Tree:
    """The inverse; ``what`` names the setting in errors."""
    if not isinstance(data, dict):
        return data
    if len(data) != 1:
        raise CorruptCheckpointError(f"{what} is kept in no way that is known")
    ((kind, x),) = data.items()
    made: dict[str, Callable[[Tree], Tree]] = {
        "list": lambda x: [decode(y, what) for y in x],
        "tuple": lambda x: tuple(decode(y, what) for y in x),
        "dict": lambda x: {key: decode(y, f"{what}[{key!r}]") for key, y in x.items()},
        "space": space_from_json,
        "float_schedule": lambda x: FloatSchedule(decode(x, what)),
        "constant": ConstantSchedule,
        "linear": lambda x: LinearSchedule(*x),
        "noise": noise_from_json,
        "name": lambda x: named(x, what),
    }
    if kind == UNSAVED:
        raise NotSavedError(
            f"{what} was {x}, which has no name that a file could keep, and nothing is pickled: give it again, "
            f"load(…, custom_objects={{{what.partition('[')[0]!r}: …}})"
        )
    if kind not in made:
        raise CorruptCheckpointError(f"{what} is kept as {kind!r}, which is not known")
    return made[kind](x)


def lacks(data: Tree) -> bool:
    """Has ``encode`` left something out?"""
    if isinstance(data, dict):
        return UNSAVED in data or any(lacks(x) for x in data.values())
    return isinstance(data, list) and any(lacks(x) for x in data)


class NotSavedError(ConfigError):
    """A setting that a file could not keep."""


def named(name: str, what: str) -> type:
    """The class of this name, of torch, of Clipper, or of a module that the program has imported itself.

    Raises ``CorruptCheckpointError`` for whatever is no class of the kind that the setting asks for.
    """
    setting = what.removesuffix("']").rpartition("['")[2]
    module, _, path = str(name).partition(":")
    if any(f"{module}.".startswith(known) for known in KNOWN):
        importlib.import_module(module)
    found: Tree = sys.modules.get(module)
    if module.startswith("torch.") and found is None:
        found = torch
    for part in path.split(".") if found is not None else ():
        found = getattr(found, part, None)
    if found is not None and not (isinstance(found, type) and setting in KINDS and issubclass(found, KINDS[setting])):
        kind = KINDS[setting].__name__ if setting in KINDS else "plain value"
        raise CorruptCheckpointError(f"{what} names {name}, which is no {kind}: nothing else of a file is called")
    if found is None:
        raise NotSavedError(
            f"{what} was {name}, and no module of that name is imported here: import it first, or give it again, "
            f"load(…, custom_objects={{{what.partition('[')[0]!r}: …}})"
        )
    return found


def write(path: File, tensors: dict[str, Tensor], values: dict[str, object]) -> None:
    """A checkpoint of Clipper's, to a path or into an open file."""
    if isinstance(path, str | Path):
        file = from_user(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(file, tensors, values)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model"
        checkpoint.save(file, tensors, values)
        path.write(file.read_bytes())


def on_disk(path: File, folder: str) -> Path:
    """A path as it is, or what an open file holds, in a folder."""
    if isinstance(path, str | Path):
        return from_user(path)
    path.seek(0)
    file = Path(folder) / "model"
    with file.open("wb") as out:
        shutil.copyfileobj(path, out)
    return file


def save_policy(path: File, policy: nn.Module, arguments: dict[str, Tree]) -> None:
    """Weights and constructor arguments."""
    write(path, policy.state_dict(), {"arguments": {name: encode(x) for name, x in arguments.items()}})


def load_policy(kind: type[P], path: str | Path, device: torch.device) -> P:
    """What ``save_policy`` wrote, as a policy of this class."""
    tensors, values = checkpoint.load(from_user(path))
    arguments = values.get("arguments")
    if not isinstance(arguments, dict):
        raise CorruptCheckpointError(f"{path} holds no policy")
    make: Callable[..., P] = getattr(kind, "of_arguments", kind)
    made = make(**{name: decode(x, name) for name, x in arguments.items()})
    try:
        made.load_state_dict(tensors)
    except RuntimeError as error:
        raise CorruptCheckpointError(f"{path} does not fit its own arguments: {error}") from error
    return made.to(device)


def with_suffix(path: File) -> File:
    """A path with ``.zip`` where it has no suffix; open files as they are."""
    if isinstance(path, str) or hasattr(path, "suffix"):
        named = str(path)
        return named if "." in named.rsplit("/", 1)[-1] else f"{named}.zip"
    return path


def taken(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin so, without that."""
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}
