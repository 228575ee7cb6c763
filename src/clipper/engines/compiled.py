"""The compiled kernels: found on the disk, or compiled and left there; and calls of them.

Numba only compiles. Loading its machine code takes LLVM's linker alone, which is ready in a thirtieth of a second and
needs a fraction of Numba's memory.
"""

import ctypes
import hashlib
import json
import os
import platform
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from llvmlite import binding

from clipper.environments.checks import LARGEST_REWARD
from clipper.files import replace
from clipper.functional.objectives import LARGEST_LOG_RATIO

SOURCES = Path(__file__).parent / "kernels"
HEAD = 5
"""An array as Numba passes it: two slots for its owner, its size, an item's size, its address, shape, strides."""
Entrance = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)
DOUBLE, DOUBLE_AS_INT = struct.Struct("d"), struct.Struct("q")
Leaf = tuple[np.dtype | None, int, bool]
Table = TypeVar("Table", bound=tuple[Any, ...])


class Kernel:
    """One function of the compiled code. Arguments are as in its source; arrays must be C-contiguous."""

    def __init__(self, name: str, address: int, arguments: list[list[str]], results: list[str]) -> None:
        self.name, self.function = name, Entrance(address)
        self.leaves = [[leaf_of(leaf) for leaf in argument] for argument in arguments]
        widths = [sum(width_of(leaf) for leaf in argument) for argument in self.leaves]
        *self.places, self.end = accumulate(widths, initial=0)
        self.counts = [leaves == [(None, 0, False)] for leaves in self.leaves]
        """Which arguments are whole numbers."""
        self.results = results

    def bind(self, *values: Any) -> "Call":
        """A call that can be repeated."""
        return Call(self, values)

    def __call__(self, *values: Any) -> Any:
        """Call it once."""
        return self.bind(*values)()


def width_of(leaf: Leaf) -> int:
    """The slots that an array or a number takes."""
    kind, axes, _ = leaf
    return 1 if kind is None else HEAD + 2 * axes


def leaf_of(text: str) -> Leaf:
    """An array's type and axes, or whether a number is a floating-point one."""
    kind, _, axes = text.partition(" ")
    return (np.dtype(kind), int(axes), False) if axes else (None, 0, kind == "f8")


class Packed(Generic[Table]):
    """An argument that many calls share, written down once. Its arrays must not move while it is in use."""

    def __init__(self, value: Table) -> None:
        self.value = value
        leaves: list[Leaf] = [
            (x.dtype, x.ndim, False) if isinstance(x, np.ndarray) else (None, 0, isinstance(x, float))
            for x in flattened(value)
        ]
        slots = (ctypes.c_int64 * sum(width_of(leaf) for leaf in leaves))()
        write(slots, 0, leaves, value, "a packed argument")
        self.leaves, self.slots = leaves, list(slots)


class Call:
    """A kernel with arguments written down, to be called again with the last few of them changed.

    Raises:
        TypeError: an argument is not what the kernel was compiled for.

    """

    def __init__(self, kernel: Kernel, values: tuple[Any, ...]) -> None:
        self.kernel, self.values, self.function = kernel, list(values), kernel.function
        size = kernel.end + max(len(kernel.results), 1)
        self.slots = (ctypes.c_int64 * size)()
        self.address = ctypes.addressof(self.slots)
        number = ctypes.c_int64 if kernel.results[:1] == ["i8"] else ctypes.c_double
        self.results = (number * size).from_buffer(self.slots)
        if len(values) != len(kernel.leaves):
            raise TypeError(f"kernel {kernel.name} takes {len(kernel.leaves)} arguments, not {len(values)}")
        for k, value in enumerate(values):
            self.write(k, value)

    def __call__(self, *changed: Any) -> Any:
        """Call it; returns its number, or a tuple of them."""
        kernel = self.kernel
        k = len(self.values) - len(changed)
        for value in changed:
            if type(value) is int and kernel.counts[k]:
                self.slots[kernel.places[k]] = value
            else:
                self.write(k, value)
                self.values[k] = value
            k += 1
        if self.function(self.address):
            raise RuntimeError(f"kernel {kernel.name} failed")
        count = len(kernel.results)
        return self.results[kernel.end] if count == 1 else tuple(self.results[kernel.end :]) if count else None

    def write(self, k: int, value: Any) -> None:
        """Note argument ``k`` where the kernel looks for it."""
        kernel = self.kernel
        at, leaves = kernel.places[k], kernel.leaves[k]
        if type(value) is not Packed:
            write(self.slots, at, leaves, value, f"kernel {kernel.name}, argument {k}")
        elif value.leaves == leaves:
            self.slots[at : at + len(value.slots)] = value.slots
        else:
            raise TypeError(f"kernel {kernel.name}, argument {k}: {leaves} is wanted, not {value.leaves}")


def write(slots: Any, at: int, leaves: list[Leaf], value: Any, name: str) -> None:
    """Write an argument's arrays and numbers from slot ``at`` on."""
    for (kind, axes, is_float), leaf in zip(leaves, flattened(value), strict=True):
        if kind is None:
            slots[at] = bits(leaf) if is_float else leaf
            at += 1
            continue
        if leaf.dtype != kind or leaf.ndim != axes or not leaf.flags.c_contiguous:
            raise TypeError(
                f"{name}: {kind} with {axes} axes, contiguous, is wanted, not {leaf.dtype} of shape {leaf.shape} with "
                f"strides {leaf.strides}"
            )
        end = at + HEAD + 2 * axes
        slots[at:end] = (0, 0, leaf.size, leaf.itemsize, leaf.ctypes.data, *leaf.shape, *leaf.strides)
        at = end


def bits(x: float) -> int:
    """A floating-point number's 64 bits."""
    return DOUBLE_AS_INT.unpack(DOUBLE.pack(x))[0]


def flattened(value: Any) -> Iterator[Any]:
    """The arrays and numbers of an argument, in order."""
    if isinstance(value, tuple):
        for part in value:
            yield from flattened(part)
    else:
        yield value


class Kernels:
    """All kernels, by name; ``lanes`` are the numbers in one of the processor's vectors."""

    choose: Kernel
    move: Kernel
    move_f8: Kernel
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

    def __init__(self, code: bytes, known: dict[str, Any]) -> None:
        self.lanes: int = known["lanes"]
        provide(known["needed"])
        machine = binding.Target.from_default_triple().create_target_machine(jit=True)
        self.linker = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
        self.linker.add_object_file(binding.object_file.ObjectFileRef.from_data(code))
        self.linker.finalize_object()
        for symbol, described in known["kernels"].items():
            name, address = symbol.partition("_")[2], self.linker.get_function_address(symbol)
            setattr(self, name, Kernel(name, address, described["arguments"], described["results"]))


def provide(names: Sequence[str]) -> None:
    """See that the linker finds these functions of the C library; it ends the process where it does not."""
    for name in names:
        if binding.address_of_symbol(name) is None:
            library = ctypes.CDLL("ucrtbase" if platform.system() == "Windows" else None)
            binding.add_symbol(name, ctypes.cast(getattr(library, name), ctypes.c_void_p).value)


@cache
def load() -> Kernels:
    """The kernels; compiled first, which takes half a minute, where no earlier process has."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    for folder in folders():
        found = read(folder / f"{digest()}.kernels")
        if found is not None:
            return Kernels(*found)
    from clipper.engines.kernels.build import build  # noqa: PLC0415 (loads Numba, which takes a second)

    code, known = build()
    for folder in folders():
        if leave(folder / f"{digest()}.kernels", code, known):
            break
    return Kernels(code, known)


def is_compiled() -> bool:
    """Has an earlier process left the kernels on the disk?"""
    return any((folder / f"{digest()}.kernels").is_file() for folder in folders())


def folders() -> list[Path]:
    """Where kernels may lie: ``CLIPPER_CACHE_DIR``, else beside the sources, else with the user's other caches."""
    if base := os.environ.get("CLIPPER_CACHE_DIR"):
        return [Path(base)]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [SOURCES / "__pycache__", home / "clipper"]


@cache
def digest() -> str:
    """The name of what these very sources give, with this Numba, on this processor."""
    parts: list[Any] = [LARGEST_LOG_RATIO, LARGEST_REWARD, version("numba"), version("llvmlite"), np.__version__,
                        binding.get_process_triple(), binding.get_host_cpu_name(),
                        binding.get_host_cpu_features().flatten(), os.environ.get("NUMBA_CPU_NAME"),
                        os.environ.get("NUMBA_CPU_FEATURES")]  # fmt: skip
    found = hashlib.sha256(repr(parts).encode())
    for path in [*sorted(SOURCES.glob("*.py")), SOURCES.parent / "network.py"]:
        found.update(path.read_bytes())
    return found.hexdigest()[:20]


def read(path: Path) -> tuple[bytes, dict[str, Any]] | None:
    """A file of kernels: the code's SHA-256, one line of JSON, the code. None where it is missing or damaged."""
    try:
        told, line, code = path.read_bytes().split(b"\n", 2)
        if told != hashlib.sha256(line + code).hexdigest().encode():
            return None
        return code, json.loads(line)
    except (OSError, ValueError):
        return None


def leave(path: Path, code: bytes, known: dict[str, Any]) -> bool:
    """Write that file whole, or not at all; returns whether it could be written."""
    line = json.dumps(known).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, b"\n".join([hashlib.sha256(line + code).hexdigest().encode(), line, code]))
    except OSError:
        return False
    return True
