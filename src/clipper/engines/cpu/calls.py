"""Calls of compiled kernels: arguments are written down as Numba lays them out, in slots of 8 bytes.

A repeated call only changes the last few of them.
"""

import ctypes
import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Generic, TypedDict, TypeVar

import numpy as np

HEAD = 5
"""An array as Numba passes it: two slots for its owner, its size, an item's size, its address, shape, strides."""
Entrance = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)
DOUBLE, DOUBLE_AS_INT = struct.Struct("d"), struct.Struct("q")
Leaf = tuple[np.dtype | None, int, bool]
Table = TypeVar("Table", bound=tuple[Any, ...])


class Described(TypedDict):
    """A kernel's arguments and results, leaf by leaf."""

    arguments: list[list[str]]
    results: list[str]


class Known(TypedDict):
    """What has to be known of machine code to call it."""

    kernels: dict[str, Described]
    needed: Sequence[str]
    lanes: int


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

    def bind(self, *values: object) -> "Call":
        """A call that can be repeated."""
        return Call(self, values)

    def __call__(self, *values: object) -> Any:
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

    def __init__(self, kernel: Kernel, values: tuple[object, ...]) -> None:
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

    def __call__(self, *changed: object) -> Any:
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

    def write(self, k: int, value: object) -> None:
        """Note argument ``k`` where the kernel looks for it."""
        kernel = self.kernel
        at, leaves = kernel.places[k], kernel.leaves[k]
        if type(value) is not Packed:
            write(self.slots, at, leaves, value, f"kernel {kernel.name}, argument {k}")
        elif value.leaves == leaves:
            self.slots[at : at + len(value.slots)] = value.slots
        else:
            raise TypeError(f"kernel {kernel.name}, argument {k}: {leaves} is wanted, not {value.leaves}")


def write(slots: "ctypes.Array[ctypes.c_int64]", at: int, leaves: list[Leaf], value: object, name: str) -> None:
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


def flattened(value: object) -> Iterator[Any]:
    """The arrays and numbers of an argument, in order."""
    if isinstance(value, tuple):
        for part in value:
            yield from flattened(part)
    else:
        yield value
