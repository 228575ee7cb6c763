"""What a policy remembers between encoder and heads: LSTM, GRU, or a transformer over a window."""

from typing import Literal, Protocol, TypeAlias, runtime_checkable

from torch import Generator

from clipper.data.history import Past
from clipper.errors import ConfigError
from clipper.networks.memory.memories import Memories
from clipper.networks.memory.recurrent import GRU, LSTM
from clipper.networks.memory.transformer import Transformer


@runtime_checkable
class OwnMemory(Protocol):
    """A memory of your own."""

    def memories(self, actor: int, critic: int | None, orthogonal: bool, generator: Generator) -> Memories:
        """``Memories`` over trunks of these widths; None for the ``critic`` where it shares the actor's."""
        ...

    def numbers(self, inputs: int) -> int:
        """How many weights it has over a trunk of this width."""
        ...


Memory: TypeAlias = LSTM | GRU | Transformer | OwnMemory | None
"""The kinds of memory, as values, or none."""
MemoryName = Literal["lstm", "gru", "transformer"]
"""The same with their default sizes."""

NAMED: dict[str, type[LSTM] | type[GRU] | type[Transformer]] = {"lstm": LSTM, "gru": GRU, "transformer": Transformer}


def memory_of(option: Memory | str) -> Memory:
    """The value that a ``PolicyOptions.memory`` stands for; None for none."""
    if not isinstance(option, str):
        return option
    if option not in NAMED:
        raise ConfigError(
            f"there is no memory {option!r}: choose from {', '.join(NAMED)}, or give a value, LSTM(size=64)"
        )
    return NAMED[option]()


__all__ = ["GRU", "LSTM", "Memories", "Memory", "MemoryName", "Past", "Transformer", "memory_of"]
