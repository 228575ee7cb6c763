"""Threads that share a piece of work where it is large enough."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Piece = TypeVar("Piece")

PAYS = 5e6  # floating-point operations (about 100 µs) below which a piece is not worth handing over


class Team:
    """A thread and its helpers. The same pieces go to the same members, so results repeat bit for bit."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pool = ThreadPoolExecutor(size - 1, "clipper-engine") if size > 1 else None

    def pieces(self, rows: int, operations: float) -> list[slice]:
        """Rows in parts of one size, as many as there are members, or one where ``operations`` per row are few."""
        count = max(1, min(self.size, int(rows * operations / PAYS)))
        return [slice(rows * k // count, rows * (k + 1) // count) for k in range(count)]

    def run(self, work: Callable[[int, Piece], object], pieces: list[Piece]) -> None:
        """``work(k, pieces[k])`` for every k, each in a thread of its own, the first in this one."""
        futures = [self.pool.submit(work, k, pieces[k]) for k in range(1, len(pieces))] if self.pool else []
        work(0, pieces[0])
        for future in futures:
            future.result()
