"""Tensors by name from what ``torch.save`` wrote, without unpickling: nothing that the file names is called.

Such a file is a zip archive, whose ``data.pkl`` is a program for pickle's stack machine. Of that program a few
instructions are followed here, those of which a dict of tensors consists; the names that it mentions stay names, of
which the few known ones are given their meaning. Everything else is refused by name.
"""

import io
import pickletools
import warnings
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from clipper.errors import CorruptCheckpointError

LARGEST_PROGRAM = 300_000  # bytes of data.pkl, of which each takes a microsecond; SB3's have some thousands
STORAGES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "LongStorage": torch.int64, "IntStorage": torch.int32, "BoolStorage": torch.bool, "ByteStorage": torch.uint8,
}  # fmt: skip
KNOWN = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", *(f"torch {name}" for name in STORAGES)}


class Name(NamedTuple):
    """Something that the program mentions."""

    name: str


class Storage(NamedTuple):
    """Where numbers lie."""

    dtype: torch.dtype
    key: str
    size: int


class Lazy(NamedTuple):
    """A tensor, before its numbers are read."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Mark:
    """The beginning of several operands."""


def members(data: bytes | io.BufferedIOBase, what: str) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """An archive's entries by name; raises unless they lie in it uncompressed, each once, side by side."""
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        archive = zipfile.ZipFile(file)  # its directory alone is read
        size = file.seek(0, io.SEEK_END)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise CorruptCheckpointError(f"{what} is no zip archive: {error}") from error
    found = archive.infolist()
    entries = {info.filename: info for info in found}
    if len(entries) < len(found):
        raise CorruptCheckpointError(f"{what} has two entries of one name")
    for name, info in entries.items():
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
            raise CorruptCheckpointError(f"{what} has an entry named {name!r}, which climbs out")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
            raise CorruptCheckpointError(f"{what}: {name} is compressed or encrypted, as torch and SB3 leave nothing")
    if sum(info.file_size for info in found) > size:
        raise CorruptCheckpointError(f"{what} says that it holds more than its {size:,} bytes")
    return archive, entries


def entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, largest: int, what: str) -> bytes:
    """An entry's bytes, of which there may be ``largest``."""
    if info.file_size > largest:
        raise CorruptCheckpointError(f"{what}: {info.filename} has {info.file_size:,} bytes, more than {largest:,}")
    try:
        with archive.open(info) as file:
            data = file.read(largest + 1)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise CorruptCheckpointError(f"{what}: {info.filename} cannot be read: {error}") from error
    if len(data) != info.file_size:
        raise CorruptCheckpointError(f"{what}: {info.filename} is cut short")
    return data


def tensors(data: bytes, what: str) -> dict[str, Tensor]:
    """The dict of tensors that ``data`` holds."""
    archive, entries = members(data, what)
    roots = {name.partition("/")[0] for name in entries}
    root = next(iter(roots), "")
    if len(roots) != 1 or f"{root}/data.pkl" not in entries:
        raise CorruptCheckpointError(f"{what} is not what torch.save writes")
    order = entries.get(f"{root}/byteorder")
    if order is not None and entry(archive, order, 100, what) != b"little":
        raise CorruptCheckpointError(f"{what} was written on a machine of another byte order")
    program = entry(archive, entries[f"{root}/data.pkl"], LARGEST_PROGRAM, what)
    try:
        found = follow(program)
    except CorruptCheckpointError as error:
        raise CorruptCheckpointError(f"{what}: {error}") from error
    except (ValueError, TypeError, LookupError, AttributeError, UnicodeError, RecursionError) as error:
        raise CorruptCheckpointError(f"{what} is no program that makes tensors: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(k, str) and isinstance(v, Lazy) for k, v in found.items()):
        raise CorruptCheckpointError(f"{what} holds something else than tensors by name")
    whole: dict[str, bytearray] = {}

    def numbers(storage: Storage) -> bytearray:
        """A storage's bytes, which are read once however many tensors share them."""
        info, size = entries.get(f"{root}/data/{storage.key}"), storage.size * storage.dtype.itemsize
        if info is None or info.file_size != size:
            raise CorruptCheckpointError(f"{what} has no entry data/{storage.key} of {size:,} bytes")
        if storage.key not in whole:
            whole[storage.key] = bytearray(entry(archive, info, size, what))
        return whole[storage.key]

    return {name: materialise(lazy, numbers, f"{what}: {name}") for name, lazy in found.items()}


def materialise(lazy: Lazy, numbers: Callable[[Storage], bytearray], what: str) -> Tensor:
    """A tensor with its numbers, which must be a contiguous piece of its storage."""
    storage, offset, shape, stride = lazy
    expected, count = [], 1
    for n in reversed(shape):
        expected.insert(0, count)
        count *= n
    dense = all(a == b for a, b, n in zip(stride, expected, shape, strict=True) if n > 1)
    if not dense or offset < 0 or min(shape, default=1) < 0 or offset + count > storage.size:
        raise CorruptCheckpointError(f"{what} is no contiguous piece of its storage of {storage.size:,} numbers")
    data = numbers(storage)
    if count == 0:
        return torch.zeros(shape, dtype=storage.dtype)
    return torch.frombuffer(data, dtype=storage.dtype)[offset : offset + count].reshape(shape)


def follow(program: bytes) -> object:
    """What the program leaves on its stack."""
    machine = Machine()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of escapes in strings, which are not followed anyway
        for code, argument, _ in pickletools.genops(program):
            if code.name == "STOP":
                (result,) = machine.stack
                return result
            machine.step(code.name, argument)
    raise CorruptCheckpointError("its program has no end")


class Machine:
    """Pickle's stack and memo, as far as a dict of tensors needs them."""

    def __init__(self) -> None:
        self.stack: list[object] = []
        self.marks: list[int] = []
        """Where on it there are marks: to look for them would take a time that grows with its square."""
        self.memo: dict[object, object] = {}

    def step(self, code: str, argument: object) -> None:  # noqa: PLR0912 (one branch for each instruction)
        """Follow one instruction."""
        stack = self.stack
        if code in VALUES:
            self.marks += [len(stack)] if code == "MARK" else []
            stack.append(VALUES[code])
        elif code in ("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"):
            stack.append(argument)
        elif code == "EMPTY_DICT":
            stack.append({})
        elif code == "GLOBAL":
            name = str(argument)
            if name not in KNOWN:
                raise CorruptCheckpointError(f"it names {name.replace(' ', '.')}, which is not followed")
            stack.append(Name(name))
        elif code in ("TUPLE1", "TUPLE2", "TUPLE3"):
            size = int(code[-1])
            stack.append(tuple(self.top(len(stack) - size)))
        elif code == "TUPLE":
            stack.append(tuple(self.since_mark()))
        elif code in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif code in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif code == "BINPERSID":
            stack.append(storage_of(stack.pop()))
        elif code == "REDUCE":
            stack.append(called(*self.top(len(stack) - 2)))
        elif code in ("SETITEM", "SETITEMS"):
            self.insert(self.top(len(stack) - 2) if code == "SETITEM" else self.since_mark())
        elif code == "BUILD":  # attributes of a dict, the versions of modules, are left out
            stack.pop()
            if not isinstance(stack[-1], dict):
                raise CorruptCheckpointError("it sets attributes of something else than a dict")
        elif code != "PROTO":
            raise CorruptCheckpointError(f"pickle's {code} is not followed: a dict of tensors has none")

    def top(self, at: int) -> list[object]:
        """What lies from ``at`` upwards, taken off."""
        if at < 0:
            raise CorruptCheckpointError("its program takes more than there is")
        found = self.stack[at:]
        del self.stack[at:]
        return found

    def since_mark(self) -> list[object]:
        """What lies above the last mark, taken off with it."""
        at = self.marks.pop()
        if at >= len(self.stack) or self.stack[at] is not MARK:
            raise CorruptCheckpointError("its program takes a mark for something else")
        return self.top(at)[1:]

    def insert(self, pairs: list[object]) -> None:
        """Entries into the dict below them."""
        names = pairs[::2]
        if not isinstance(self.stack[-1], dict) or len(pairs) % 2 or not all(isinstance(x, str) for x in names):
            raise CorruptCheckpointError("it has entries without a name, or without a dict")
        self.stack[-1].update(zip(names, pairs[1::2], strict=True))


def called(what: object, arguments: object) -> dict[str, object] | Lazy:
    """The two calls that there may be: of an OrderedDict without arguments, and of a tensor from its storage."""
    name = what.name if isinstance(what, Name) else ""
    if name == "collections OrderedDict" and isinstance(arguments, tuple) and not arguments:
        return {}
    if name != "torch._utils _rebuild_tensor_v2":
        raise CorruptCheckpointError("it calls something that makes no tensor")
    if not isinstance(arguments, tuple):
        raise TypeError("its arguments are no tuple")
    storage, offset, shape, stride = arguments[:4]
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        raise CorruptCheckpointError("a tensor is not made of a storage, an offset, a shape and a stride")
    if not all(type(x) is int for x in (offset, *shape, *stride)) or len(shape) != len(stride):
        raise CorruptCheckpointError("a tensor's shape is not of numbers")
    return Lazy(storage, offset, shape, stride)


def storage_of(description: object) -> Storage:
    """A storage by its key, as torch describes one."""
    if not isinstance(description, tuple):
        raise TypeError("a storage's description is no tuple")
    kind, what, key, _, size = description
    known = isinstance(what, Name) and what.name.partition(" ")[2] in STORAGES
    if kind != "storage" or not known or type(key) is not str or type(size) is not int or size < 0:
        raise CorruptCheckpointError("a storage is not described as torch does")
    return Storage(STORAGES[what.name.partition(" ")[2]], key, size)


MARK = Mark()
VALUES = {"MARK": MARK, "EMPTY_TUPLE": (), "NEWFALSE": False, "NEWTRUE": True, "NONE": None}
