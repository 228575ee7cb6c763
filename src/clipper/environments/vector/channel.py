"""What a ``Workers`` and its processes share: a channel for words and objects, and memory for arrays."""

import mmap
import os
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import NamedTuple

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from clipper.environments.processes import apart
from clipper.spaces.observations import Leaf

STEP, DONE, OBJECT, GONE = b"s", b".", b"o", b""
"""Words: step your environments, all is done, an object follows, the other process is no more."""

Factories = Callable[[], Sequence[Callable[[], gymnasium.Env]]]
"""Gives what makes environments."""


class Task(NamedTuple):
    """What a process has to do."""

    factories: Factories
    """In a ``CloudpickleWrapper``: so functions without a name can be sent."""
    first_index: int
    """The number of its first environment among all."""
    max_restarts: int
    """As ``Serial`` has it."""
    specs: Sequence[EnvSpec]
    """What the environment's id means where it was registered by the user's own program."""


class Layout(NamedTuple):
    """Of the memory that all processes share."""

    num_envs: int
    leaves: list[Leaf]
    """The arrays that an observation consists of."""
    action_bytes: int
    """Room for one environment's action."""

    def arrays(self, memory: mmap.mmap) -> list[np.ndarray]:
        """Observations leaf by leaf, rewards, terminated, truncated, and the actions' bytes ``[N, action_bytes]``."""
        n, start, found = self.num_envs, 0, []
        for shape, dtype in self.parts():
            array = np.ndarray((n, *shape), dtype, buffer=memory, offset=start)
            found.append(array)
            start += aligned(array.nbytes)
        return found

    def parts(self) -> list[tuple[tuple[int, ...], np.dtype]]:
        """Shape and dtype for one environment."""
        number, flag, action = ((), np.dtype(np.float64)), ((), np.dtype(bool)), ((self.action_bytes,), np.dtype("u1"))
        return [*((leaf.shape, leaf.dtype) for leaf in self.leaves), number, flag, flag, action]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(aligned(self.num_envs * int(np.prod(shape)) * dtype.itemsize) for shape, dtype in self.parts())


def view(room: np.ndarray, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """``[N, bytes]`` as ``[N, *shape]``."""
    used = int(np.prod(shape)) * dtype.itemsize
    return room[:, :used].view(dtype).reshape(len(room), *shape)


def aligned(size: int) -> int:
    """Rounded up to what a cache line holds, so that no two processes write to the same one between arrays."""
    return -(-size // 64) * 64


def memory_file() -> int:
    """A file of no name and no size: it is gone with the last process that holds it, however that ends."""
    if hasattr(os, "memfd_create"):
        return apart(os.memfd_create("clipper"))
    with tempfile.TemporaryFile() as file:
        return apart(os.dup(file.fileno()))


def packed(value: object) -> memoryview:
    """An object as it is sent. What cannot be sent raises here, before the other process has been promised anything."""
    return ForkingPickler.dumps(value)


class Channel:
    """One end of a socket pair. A word is one byte and costs a microsecond; an object is pickled by multiprocessing."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.objects = descriptor, Connection(descriptor)

    def say(self, word: bytes) -> None:
        """Send one word."""
        os.write(self.descriptor, word)

    def send(self, value: object) -> None:
        """Send an object."""
        self.pass_on(packed(value))

    def pass_on(self, data: memoryview) -> None:
        """Send a ``packed`` object."""
        self.say(OBJECT)
        self.objects.send_bytes(data)

    def receive(self) -> object:
        """A word, or an object; ``GONE`` where the other process ended."""
        try:
            word = os.read(self.descriptor, 1)
            return self.objects.recv() if word == OBJECT else word
        except (EOFError, OSError):
            return GONE

    def close(self) -> None:
        """Close this end."""
        self.objects.close()
