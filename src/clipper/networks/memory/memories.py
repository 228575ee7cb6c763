"""The memories of an actor and a critic: what they carry from step to step, and how a loss runs them again."""

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from clipper.data.history import Past
from clipper.data.trees import Tree
from clipper.errors import ConfigError

State = tuple[Tensor, ...]
LARGEST = 16_384  # numbers that a memory may have per unit of its kind


@runtime_checkable
class Cell(Protocol):
    """One memory (an ``nn.Module``). A state of zeros is empty."""

    size: int
    """Numbers that come out."""
    leaves: int
    """Tensors that a state consists of."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """What is trained."""
        ...

    def empty(self, n: int) -> State:
        """The state in which an episode begins, each ``[N, ...]``."""
        ...

    def step(self, x: Float[Tensor, "N F"], state: State) -> tuple[Float[Tensor, "N size"], State]:
        """One step in each environment: what is recalled, and the next state."""
        ...

    def sequence(
        self, x: Float[Tensor, "T N F"], state: State, begins: Bool[Tensor, "T N"]
    ) -> Float[Tensor, "T N size"]:
        """What T steps recall, the state being emptied before the rows where an episode ``begins``."""
        ...


class Memories(nn.Module):
    """The actor's memory and the critic's, or one for both.

    Each follows its own trunk: separate trunks have separate memories, so that the critic's error, which is of another
    size, does not bend what the actor remembers, and algorithms can move the two apart. ``shared`` trunks have one.
    While acting the critic's memory goes on, too, since V of a later row depends on it.
    """

    actor: Cell
    critic: Cell

    def __init__(self, actor: Cell, critic: Cell, burn_in: int = 0) -> None:
        super().__init__()
        self.actor, self.critic, self.burn_in = actor, critic, burn_in
        self.shared = critic is actor
        self.size = actor.size
        own = actor.leaves
        self.parts = slice(0, own), slice(0 if self.shared else own, own if self.shared else 2 * own)
        self.leaves = self.parts[1].stop

    def forget(self, memory: State, begins: Bool[np.ndarray, " N"]) -> State:
        """``memory``, emptied in the environments where an episode ``begins``; of () an empty one.

        What a head carries besides (gSDE's noise) is left to its ``renew``.
        """
        if not memory:
            return tuple(x for cell in self._cells() for x in cell.empty(len(begins)))
        if not begins.any():
            return memory
        where = torch.tensor(begins, device=memory[0].device)
        own = (x.masked_fill(where.view(-1, *[1] * (x.ndim - 1)), 0) for x in memory[: self.leaves])
        return (*own, *memory[self.leaves :])

    def past(self, before: State, mask: Bool[Tensor, "T N"]) -> Past:
        """What a loss needs beside the rows: the state before row 0, and where episodes begin.

        One does in the row after one that is no decision (``mask`` False): that holds the last observation. Nothing is
        burnt in where the state before row 0 is empty, as at the start of whole episodes: no weights of old wrote it.
        """
        state = tuple(x[None] for x in before[: self.leaves])
        begins = torch.cat([torch.zeros_like(mask[:1]), ~mask[:-1]])
        burn_in = torch.full_like(mask[:1], self.burn_in, dtype=torch.int64)
        if self.burn_in:
            burn_in *= torch.stack([x.flatten(2).any(-1) if x.ndim > 2 else x.bool() for x in state]).any(0)
        return Past(state, begins, burn_in)

    def advance(
        self, features: Float[Tensor, "*batch F"], critic: Callable[[], Tensor] | None, memory: Tree
    ) -> tuple[Float[Tensor, "*batch size"], Tree, State]:
        """One step: what the actor recalls, the next memory, and the part of it that is the head's own.

        ``critic`` gives the critic's features, if they are needed; without it the critic's memory stays as it is. Where
        ``memory`` is a ``Past``, the rows are sequences, and no state comes out.
        """
        if isinstance(memory, Past):
            return self.recall(features, memory), (), ()
        if not memory:
            memory = self.forget((), np.zeros(len(features), dtype=bool))
        recalled, state = self.actor.step(check_step(features), memory[self.parts[0]])
        if not self.shared:
            old = memory[self.parts[1]]
            state = (*state, *(old if critic is None else self.critic.step(critic(), old)[1]))
        noise = memory[self.leaves :]
        return recalled, (*state, *noise), noise

    def recall(self, features: Tensor, memory: Tree, critic: bool = False) -> Tensor:
        """What the actor's memory, or the ``critic``'s, tells in rows ``[T, N, F]``, a flat batch, or one step."""
        cell = self.critic if critic else self.actor
        part = self.parts[critic]
        if not isinstance(memory, Past):
            return cell.step(check_step(features), memory[part] if memory else cell.empty(len(features)))[0]
        state = tuple(x[0] for x in memory.state[part])
        if not isinstance(memory.rows, Tensor):
            return cell.sequence(features, state, memory.begins)
        spread = features.new_zeros(*memory.rows.shape, features.shape[-1]).index_put((memory.rows,), features)
        return cell.sequence(spread, state, memory.begins)[memory.rows]

    def recall_both(self, actor: Tensor, critic: Tensor, memory: Tree) -> tuple[Tensor, Tensor]:
        """The same of both."""
        recalled = self.recall(actor, memory)
        return recalled, recalled if self.shared else self.recall(critic, memory, critic=True)

    def renew(
        self, head: Callable[..., State], memory: State, begins: Bool[np.ndarray, " N"], generator: Generator
    ) -> State:
        """The memory for the next step, where the head carries noise, too, which is drawn by its own ``renew``."""
        return (*memory[: self.leaves], *head(memory[self.leaves :], begins, generator))

    def _cells(self) -> list[Cell]:
        return [self.actor] if self.shared else [self.actor, self.critic]


def check_step(features: Tensor) -> Tensor:
    """Features of one step; sequences without their ``Past`` would be read as so many first steps of episodes."""
    if features.ndim != 2:
        raise ValueError(
            f"features of shape {list(features.shape)} without a past: a policy with a memory reads one step [N, ...], "
            "or rows with memory=steps.memory"
        )
    return features


def pair(make: Callable[[int], Cell], actor: int, critic: int | None, burn_in: int) -> Memories:
    """Memories over trunks of these widths; None for the ``critic`` where it shares the actor's."""
    first = make(actor)
    return Memories(first, first if critic is None else make(critic), burn_in)


def check_sizes(name: str, **sizes: int) -> None:
    """Raise ``ConfigError`` for what no memory can have."""
    for what, size in sizes.items():
        least = 0 if what == "burn_in" else 1
        if not least <= size <= LARGEST:
            raise ConfigError(f"{name}: {what} must be from {least} to {LARGEST}, not {size}")
