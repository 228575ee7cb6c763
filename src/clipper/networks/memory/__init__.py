"""What a policy remembers between encoder and heads: LSTM, GRU, or a transformer over a window."""

from functools import singledispatch
from typing import Any, Literal, TypeAlias

from clipper.data.history import Past
from clipper.errors import ConfigError
from clipper.networks.memory.memories import Memories
from clipper.networks.memory.recurrent import GRU, LSTM
from clipper.networks.memory.transformer import Transformer

Memory: TypeAlias = LSTM | GRU | Transformer | None
"""The kinds of memory, as values, or none."""
MemoryName = Literal["lstm", "gru", "transformer"]
"""The same with their default sizes."""

NAMED: dict[str, type[LSTM] | type[GRU] | type[Transformer]] = {"lstm": LSTM, "gru": GRU, "transformer": Transformer}


@singledispatch
def memory_of(option: Any) -> Any:
    """The value that a ``PolicyOptions.memory`` stands for; None for none."""
    return option


@memory_of.register
def _(option: str) -> Any:
    if option not in NAMED:
        raise ConfigError(
            f"there is no memory {option!r}: choose from {', '.join(NAMED)}, or give a value, LSTM(size=64)"
        )
    return NAMED[option]()


__all__ = ["GRU", "LSTM", "Memories", "Memory", "MemoryName", "Past", "Transformer", "memory_of"]
