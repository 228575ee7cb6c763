"""Where an iteration's time goes. Nothing is timed unless it was asked for; then methods are replaced by timed ones."""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PARTS = {
    "environment": "stepping the environments",
    "acting": "the policy's actions, keeping rows",
    "targets": "values and advantages",
    "update": "losses, gradients, optimizer steps",
    "evaluation": "episodes apart from training",
    "logging": "metrics.jsonl and TensorBoard",
    "checkpoints": "saving",
    "callbacks": "progress, and your own",
}
"""In the order in which they are shown; an engine may add its own."""


class Profile:
    """Seconds per part. Where parts lie inside each other, each is counted without those inside it."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.seconds: dict[str, float] = {}
        self.told: dict[str, float] = {}
        """``seconds`` as of the last ``row``."""
        self.inside = 0.0
        """Seconds of parts that lie in the one under way."""
        self.replaced: list[tuple[object, str, object]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what lies below ``with`` as this part."""
        began, around, self.inside = time.perf_counter(), self.inside, 0.0
        try:
            yield
        finally:
            taken = time.perf_counter() - began
            self.seconds[name] = self.seconds.get(name, 0.0) + taken - self.inside
            self.inside = around + taken

    def watch(self, owner: object, method: str, name: str) -> None:
        """Count every call of a method of an object, or of a class, as this part, until ``close``."""
        function: Callable[..., object] = getattr(owner, method)

        @functools.wraps(function)
        def timed(*args: object, **kwargs: object) -> object:
            with self.part(name):
                return function(*args, **kwargs)

        if not hasattr(owner, "__dict__"):  # a class of slots: its own method is replaced, for all that it made
            owner = type(owner)
            function = getattr(owner, method)
        self.replaced.append((owner, method, vars(owner).get(method)))
        setattr(owner, method, timed)

    def row(self) -> dict[str, float]:
        """Seconds of each part since the last call, as metrics."""
        since = {f"time/{name}": s - self.told.get(name, 0.0) for name, s in self.seconds.items()}
        self.told = dict(self.seconds)
        return since

    def close(self) -> None:
        """Give everything its own methods back."""
        while self.replaced:
            owner, method, own = self.replaced.pop()
            delattr(owner, method) if own is None else setattr(owner, method, own)
