"""The compiled kernels: found on the disk, or compiled and left there.

Numba only compiles. Loading its machine code takes LLVM's linker alone, which is ready in a thirtieth of a second and
needs a fraction of Numba's memory.
"""

import ctypes
import hashlib
import json
import os
import platform
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
from llvmlite import binding

from clipper.distributions.squashed import NODES, POINTS, REACH
from clipper.engines.cpu.calls import Kernel, Known
from clipper.engines.protocol import UnsuitableError
from clipper.environments.checks import LARGEST_REWARD
from clipper.functional.objectives import LARGEST_LOG_RATIO
from clipper.networks.heads.beta import SHARPEST
from clipper.storage.files import replace

SOURCES = Path(__file__).parent / "kernels"
MOST, REPLAYED = "most", "replayed"
PARTS = {
    MOST: ("decide", "keep", "keep_f8", "values", "gae", "explained_variance", "mean_and_std", "standard_units",
           "units", "clear", "accumulate", "finish", "epoch"),
    "exact": ("remember", "weigh"),
    "fisher": ("fisher_product",),
    "told": ("tell", "pull"),
    "memory": ("lay_out", "recall", "owe", "pull_back"),
    REPLAYED: ("learn", "settle", "gather", "explore", "keep", "keep_f8"),
}  # fmt: skip
"""What is compiled together, and has a file: the kernels that most runs call, of exact KLs, of natural gradients, of
losses that torch computes, of memories, and all that runs call that learn from a replay."""


class Kernels:
    """All kernels, by name; ``lanes`` are the numbers in one of the processor's vectors.

    A part is loaded, and compiled where no earlier process has, when one of its kernels is asked for.
    """

    decide: Kernel
    keep: Kernel
    keep_f8: Kernel
    values: Kernel
    gae: Kernel
    explained_variance: Kernel
    mean_and_std: Kernel
    standard_units: Kernel
    units: Kernel
    clear: Kernel
    accumulate: Kernel
    finish: Kernel
    epoch: Kernel
    remember: Kernel
    fisher_product: Kernel
    weigh: Kernel
    tell: Kernel
    pull: Kernel
    lay_out: Kernel
    recall: Kernel
    owe: Kernel
    pull_back: Kernel
    learn: Kernel
    settle: Kernel
    gather: Kernel
    explore: Kernel

    def __init__(self, part: str = MOST) -> None:
        self.linkers: list[object] = []
        self.need(part)

    def __getattr__(self, name: str) -> Kernel:
        """One of a part that is not here yet."""
        for part, names in PARTS.items():
            if name in names and name not in vars(self):
                self.need(part)
                return vars(self)[name]
        raise AttributeError(f"there is no kernel {name}")

    def need(self, part: str) -> None:
        """Have the kernels of this part.

        Raises:
            UnsuitableError: they cannot be compiled or loaded here, as where Numba does not go with this NumPy.

        """
        if PARTS[part][0] in vars(self):
            return
        try:
            self.add(*found_or_compiled([part])[part])
        except Exception as error:
            words = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise UnsuitableError(f"kernels cannot be compiled here ({words})") from error

    def add(self, code: bytes, known: Known) -> None:
        """Load code, and note what is in it."""
        self.lanes: int = known["lanes"]
        provide(known["needed"])
        machine = binding.Target.from_default_triple().create_target_machine(jit=True)
        linker = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
        linker.add_object_file(binding.object_file.ObjectFileRef.from_data(code))
        linker.finalize_object()
        self.linkers.append(linker)
        for symbol, described in known["kernels"].items():
            name, address = symbol.partition("_")[2], linker.get_function_address(symbol)
            setattr(self, name, Kernel(name, address, described["arguments"], described["results"]))


def provide(names: Sequence[str]) -> None:
    """See that the linker finds these functions of the C library; it ends the process where it does not."""
    for name in names:
        if binding.address_of_symbol(name) is None:
            library = ctypes.CDLL("ucrtbase" if platform.system() == "Windows" else None)
            binding.add_symbol(name, ctypes.cast(getattr(library, name), ctypes.c_void_p).value)


@cache
def load(part: str = MOST) -> Kernels:
    """The kernels; those that most runs call are compiled first, which takes half a minute, where no earlier process
    has. Others are, as soon as they are asked for.

    Raises:
        UnsuitableError: they cannot be compiled or loaded here, as where Numba does not go with the installed NumPy.

    """
    return Kernels(part)


def found_or_compiled(parts: Sequence[str]) -> dict[str, tuple[bytes, Known]]:
    """These parts from the disk, or else compiled, and left there for others."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    found = {part: code for part in parts for folder in folders() if (code := read(folder / file_name(part)))}
    missing = [part for part in parts if part not in found]
    if missing:
        from clipper.engines.cpu.kernels.build import build  # noqa: PLC0415 (loads Numba, which takes a second)

        found |= dict(zip(missing, build([PARTS[part] for part in missing]), strict=True))
    for part in missing:
        for folder in folders():
            if leave(folder / file_name(part), *found[part]):
                break
    return found


def file_name(part: str) -> str:
    """Of a part's file."""
    return f"{digest()}-{part}.kernels"


def is_compiled(part: str = MOST) -> bool:
    """Has an earlier process left this part on the disk?"""
    return any((folder / file_name(part)).is_file() for folder in folders())


def folders() -> list[Path]:
    """Where kernels may lie: ``CLIPPER_CACHE_DIR``, beside the sources, or with the user's other caches."""
    if base := os.environ.get("CLIPPER_CACHE_DIR"):
        return [Path(base)]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [SOURCES / "__pycache__", home / "clipper"]


@cache
def digest() -> str:
    """The name of what these very sources give, with this Numba, on this processor."""
    numbers = LARGEST_LOG_RATIO, LARGEST_REWARD, SHARPEST, NODES, REACH, len(POINTS)
    parts: list[object] = [
        numbers, version("numba"), version("llvmlite"), np.__version__, binding.get_process_triple(),
        binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten(), os.environ.get("NUMBA_CPU_NAME"),
        os.environ.get("NUMBA_CPU_FEATURES"), bool(os.environ.get("CLIPPER_BOUNDS_CHECK")),
    ]  # fmt: skip
    found = hashlib.sha256(repr(parts).encode())
    for path in sorted(SOURCES.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:20]


def read(path: Path) -> tuple[bytes, Known] | None:
    """A file of kernels: the code's SHA-256, one line of JSON, the code. None where it is missing or damaged."""
    try:
        told, line, code = path.read_bytes().split(b"\n", 2)
        if told != hashlib.sha256(line + code).hexdigest().encode():
            return None
        return code, json.loads(line)
    except (OSError, ValueError):
        return None


def leave(path: Path, code: bytes, known: Known) -> bool:
    """Write that file whole, or not at all; returns whether it could be written."""
    line = json.dumps(known).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, b"\n".join([hashlib.sha256(line + code).hexdigest().encode(), line, code]))
    except OSError:
        return False
    return True
