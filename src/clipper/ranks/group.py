"""The processes that train together, as torchrun starts them, and how they hear of each other (torch.distributed).

A message is gathered from all of them, or none gets it. Where one has ended or hangs, the others raise an error that
names it.
"""

import atexit
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import numpy as np
import torch
import torch.distributed
from torch import Tensor
from torch.distributed import PrefixStore, Store, TCPStore  # pyright: ignore[reportPrivateImportUsage]

from clipper.errors import ConfigError, RankError

PATIENCE = 300.0  # seconds to wait for the others until the settings say how long
COMPILING = 3600.0  # and where one may compile kernels
LOOK = 2.0  # seconds in which those who wait, too, say so
HEAD = 16  # bytes before what is sent: its number of bytes, and the number of the message
SPARE = 4096  # bytes by which what is sent may grow from one segment to the next, and still be one message


class Group:
    """W processes, of which this one is number ``rank``; number 0 evaluates, logs and saves for all."""

    def __init__(self, rank: int, size: int, store: Store) -> None:
        self.rank, self.size, self.store, self.patience = rank, size, store, PATIENCE
        self.messages, self.left = 0, False
        self.rooms = dict[str, tuple[Tensor, Tensor]]()
        """By purpose, a message that takes what all send, and those of all."""
        atexit.register(self.end)  # its threads must not outlive the interpreter
        limit = timedelta(seconds=PATIENCE)
        torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=limit)
        self.ring = torch.distributed.group.WORLD

    def wait_for(self, seconds: float) -> None:
        """Wait so long for the others from now on; all must say the same."""
        if seconds != self.patience:
            self.patience = seconds
            self.ring = torch.distributed.new_group(backend="gloo", timeout=timedelta(seconds=seconds))

    def gather(self, own: bytes | bytearray | memoryview, purpose: str = "") -> list[memoryview]:
        """The bytes of all, by rank; they may be of any number.

        Where the same ``purpose`` sends about as many each time, they go in one message, otherwise in two; they lie in
        the same place each time.
        """
        given, found = self.rooms.get(purpose) or self.room(HEAD)
        room, numbers = len(given), given.numpy()
        numbers[:HEAD].view(np.int64)[:] = len(own), self.messages
        whole = np.frombuffer(own, np.uint8)
        if len(whole) <= room - HEAD:  # otherwise all hear only how many there are
            numbers[HEAD : HEAD + len(whole)] = whole
        self.rows(given, found)
        sizes, counts = found.numpy()[:, :HEAD].copy().view(np.int64).T.tolist()
        if len(set(counts)) > 1:
            raise RankError("the ranks are at different points: all must run the same program with the same settings")
        if max(sizes) > room - HEAD:
            given, found = self.room(HEAD + max(sizes) + (SPARE if purpose else 0))
            given.numpy()[HEAD : HEAD + len(whole)] = whole
            self.rows(given, found)
            if purpose:
                self.rooms[purpose] = given, found
        return [memoryview(row)[HEAD : HEAD + size] for row, size in zip(found.numpy(), sizes, strict=True)]

    def room(self, size: int) -> tuple[Tensor, Tensor]:
        """Bytes that are sent, at least so many, and those that all send."""
        size += -size % HEAD  # what lies in a row is aligned as in the first
        return torch.zeros(size, dtype=torch.uint8), torch.empty((self.size, size), dtype=torch.uint8)

    def largest(self, *numbers: int) -> list[int]:
        """The largest of each number over all."""
        return self.rows(torch.tensor(numbers, dtype=torch.int64)).amax(0).tolist()

    def from_first(self, own: bytes = b"") -> memoryview:
        """The bytes that rank 0 gives, for all."""
        return self.gather(own if self.rank == 0 else b"")[0]

    def agree(self, *verdicts: bool, same: int, what: str) -> list[bool]:
        """Of each verdict, whether any says so. Raises ``RankError`` on all where the number ``same`` is not."""
        found = self.rows(torch.tensor([*verdicts, same], dtype=torch.int64))
        numbers = found[:, -1].tolist()
        others = [rank for rank, number in enumerate(numbers) if number != numbers[0]]
        if others:
            raise RankError(
                f"{what} of rank {', '.join(map(str, others))} differ{'s' * (len(others) == 1)} from rank 0's: all "
                "ranks must run the same program with the same settings, on processors of one kind, and nothing but "
                "training may change the learner"
            )
        return found[:, :-1].any(0).tolist()

    def rows(self, own: Tensor, found: Tensor | None = None) -> Tensor:
        """A tensor of all, of one shape and dtype, as ``[W, ...]``; in ``found``, if given."""
        found = torch.empty((self.size, *own.shape), dtype=own.dtype) if found is None else found
        with self.sending():
            torch.distributed.all_gather(list(found.unbind(0)), own.contiguous(), group=self.ring)
        return found

    def total(self, own: Tensor) -> Tensor:
        """The sum of a tensor that all have, of one shape and dtype, the same bits for all; in the tensor itself."""
        with self.sending():
            torch.distributed.all_reduce(own, group=self.ring)
        return own

    @contextmanager
    def sending(self) -> Iterator[None]:
        """One more message; ``RankError`` names those who do not take part in it."""
        if self.left:
            raise RankError("this process has left those that trained with it: start all of them anew")
        self.messages += 1
        try:
            yield
        except RuntimeError as error:
            raise RankError(self.lost(error)) from None  # the transport's own words name no rank

    def lost(self, error: RuntimeError) -> str:
        """Which ranks did not take part in a message that failed, and what they said of it."""
        self.say("waits", str(self.messages))
        began, silent = time.monotonic(), list[int]()
        while time.monotonic() - began < LOOK:
            silent = [rank for rank in range(self.size) if self.said("waits", rank) != str(self.messages)]
            if any(self.said("ended", rank) for rank in silent):
                break
            time.sleep(0.05)
        told = [f"rank {rank} has ended: {why}" for rank in silent if (why := self.said("ended", rank))]
        late = "timed out" in str(error).lower()
        unknown = [str(rank) for rank in silent if not self.said("ended", rank)]
        if unknown and not told:
            what = f"did not answer within {self.patience:g} s" if late else "has ended, or cannot be reached"
            told.append(f"rank {', '.join(unknown)} {what}")
        lost = "; ".join(told) or f"the ranks lost each other ({error})"
        return (
            f"{lost}. Start all of them anew: with resume='auto' they go on from the last checkpoint, if there is one"
        )

    def say(self, word: str, text: str) -> None:
        """Leave a word for the others, who may look for it."""
        with suppress(RuntimeError):
            self.store.set(f"{word}/{self.rank}", text)

    def said(self, word: str, rank: int) -> str:
        """What a rank has left by this word; "" for nothing."""
        with suppress(RuntimeError):
            if self.store.check([f"{word}/{rank}"]):
                return self.store.get(f"{word}/{rank}").decode(errors="replace")
        return ""

    def leave(self, error: BaseException) -> None:
        """Take part in nothing more, since of an error; the others hear of it and end, too."""
        if not self.left:
            self.left = True
            if not isinstance(error, RankError):
                self.say("ended", f"{type(error).__name__}: {first_line(error)}"[:500])
            self.end()

    def end(self) -> None:
        """Close the connections."""
        if torch.distributed.is_initialized():
            self.ring = None
            with suppress(RuntimeError):
                torch.distributed.destroy_process_group()


def first_line(error: BaseException) -> str:
    """What an error says, without a traceback that it quotes."""
    return str(error).partition("\n")[0]


GROUP = list[Group]()
"""The one that this process is in: it can join but once."""


def joined() -> Group | None:
    """The processes that torchrun has started with this one; None where it was started alone.

    After torchrun has started them anew, they meet under a name of their own: what its store holds of those before is
    no address any more.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if "TORCHELASTIC_RUN_ID" not in os.environ or size == 1:
        return None
    if not GROUP:
        if torch.distributed.is_initialized():
            raise ConfigError(
                "this program has called init_process_group, and training under torchrun does so itself: leave it out"
            )
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        rank, attempt = int(os.environ["RANK"]), os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        hosted = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        store = TCPStore(address, port, is_master=not hosted and rank == 0)
        GROUP.append(Group(rank, size, PrefixStore(f"clipper/{attempt}", store)))
    if GROUP[0].left:
        raise RankError("this process has left those that trained with it: start all of them anew")
    return GROUP[0]
