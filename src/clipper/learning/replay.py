"""Decisions that are kept to be learned from again (Lin 1992, doi:10.1007/BF00992699)."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from clipper.data.steps import Steps
from clipper.data.trees import Tree, each, leaves, names
from clipper.errors import ConfigError


class Transitions(NamedTuple):
    """A batch of decisions, each with what came of it after m steps; every field leads with ``[B]``."""

    obs: Tree
    """sₜ."""
    action: Tree
    """aₜ."""
    reward: Float[Tensor, " B"]
    """Σ_{i<m} γⁱ rₜ₊ᵢ."""
    discount: Float[Tensor, " B"]
    """γᵐ, and 0 where sₜ₊ₘ is terminal."""
    next_obs: Tree
    """sₜ₊ₘ; where that is terminal, sₜ stands in its place, so that nothing there is ever read."""
    action_mask: Tree = ()
    """What was legal in sₜ; empty where everything always is."""
    next_mask: Tree = ()
    """What is legal in sₜ₊ₘ."""


class Kept(NamedTuple):
    """Rows ``[C, N]`` of Steps, as far as an action value needs them."""

    obs: Tree
    action: Tree
    reward: Tensor
    terminated: Tensor
    done: Tensor
    mask: Tensor
    action_mask: Tree


class Replay:
    """The last ``capacity`` rows' decisions, in a ring.

    Its rows are those of ``Steps``, and the row after an episode's end holds what was seen last: s′ is always the next
    row, and is kept once, also after a truncation. Observations and rewards are kept as the environment gave them.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        """Decisions, those of all environments together."""
        self.kept: Kept | None = None
        self.last_obs: Tree = ()
        """What is seen after the newest row."""
        self.written, self.size = 0, 0
        """Rows that ever came, of which the r-th lies in place r % C; and how many of them are kept, the latest."""
        self.loaded: dict[str, Tensor] | None = None
        """A state that was loaded, until the first rows come and say of what form they are."""
        self.apart = False
        """Whether a state leaves out the rows, which are then kept elsewhere (``rows``)."""

    def add(self, steps: Steps, last_obs: Tree) -> None:
        """Keep a segment; the oldest rows make room."""
        given = Kept(*(getattr(steps, name) for name in Kept._fields))
        if self.kept is None:
            self.allocate(given, last_obs)
        assert self.kept is not None
        if self.size:
            self.forget_broken(given)
        self.write(given)
        self.last_obs = each(lambda x: x.detach().clone(), last_obs)

    def write(self, given: Kept) -> None:
        """Put rows where they belong; the oldest make room."""
        assert self.kept is not None
        count, rows = len(self.kept.mask), len(given.mask)
        index = (self.written + torch.arange(max(0, rows - count), rows)) % count
        each(lambda mine, x: mine.index_copy_(0, index, x[-count:].detach()), self.kept, given)
        self.written, self.size = self.written + rows, min(self.size + rows, count)

    def forget_broken(self, given: Kept) -> None:
        """The newest row is no decision any more where it does not lead to the first one that comes: nobody saw its s′.

        So it is where an episode was broken off between segments, as when a run goes on with fresh environments.
        """
        assert self.kept is not None
        place = (self.written - 1) % len(self.kept.mask)
        for seen, first in zip(leaves(self.last_obs), leaves(given.obs), strict=True):
            same = (seen == first[0]) | (seen.isnan() & first[0].isnan())
            broken = ~same.reshape(len(same), -1).all(1)
            self.kept.mask[place] &= ~broken
            self.kept.done[place] |= broken  # so that no return goes on beyond it

    def allocate(self, given: Kept, last_obs: Tree) -> None:
        """Make room for the rows of this form, and take in what was loaded.

        Raises ``ConfigError`` where there is no such room, and where what was loaded has another form.
        """
        columns = given.mask.shape[1]
        count = self.capacity // columns
        if count < 2:
            raise ConfigError(
                f"a replay of {self.capacity} decisions has no two rows of {columns} environments: raise it"
            )
        try:
            self.kept = each(lambda x: untouched(x, count), given)
        except (RuntimeError, MemoryError) as error:
            size = count * sum(x.element_size() * x[0].numel() for x in leaves(given)) / 1e9
            raise ConfigError(
                f"a replay of {self.capacity:,} decisions takes {size:,.1f} GB, which cannot be had: lower it"
            ) from error
        self.last_obs = each(torch.clone, last_obs)
        if self.loaded is not None:
            state, self.loaded = self.loaded, None
            self.take(state)

    def take(self, state: dict[str, Tensor]) -> None:
        """The rows of a state, of which the newest count where it has more than there is room for."""
        assert self.kept is not None
        written, size, mine = int(state["written"]), int(state["size"]), self.entries()
        for name, x in mine.items():
            saved = state.get(name)
            if saved is None or saved.shape[1:] != x.shape[1:] or saved.dtype != x.dtype:
                raise ConfigError(f"the replay that was saved does not fit: its {name} is no {list(x.shape)}")
            count = min(size, len(x))
            x[torch.arange(written - count, written) % len(x)] = saved[-count:]
        self.written, self.size = written, min(size, len(self.kept.mask))

    def entries(self) -> dict[str, Tensor]:
        """All that is kept, by name: places first, of ``last_obs`` one."""
        assert self.kept is not None
        tree = self.kept._asdict() | {"last_obs": each(lambda x: x[None], self.last_obs)}
        return dict(zip(names(tree), leaves(tree), strict=True))

    @property
    def columns(self) -> int | None:
        """N, environments; None where nothing has come yet."""
        rows = self.kept.mask if self.kept is not None else (self.loaded or {}).get("mask")
        return None if rows is None else rows.shape[1]

    @property
    def rows_ever(self) -> int:
        """How many rows ever came, those of what was loaded included."""
        return self.written if self.kept is not None or self.loaded is None else int(self.loaded["written"])

    @property
    def decisions(self) -> int:
        """How many are kept."""
        return 0 if self.kept is None else int(self.kept.mask.sum())

    def sample(self, batch: int, generator: Generator, gamma: float, n: int = 1) -> Transitions:
        """``batch`` decisions, each drawn uniformly, with their n-step returns.

        m is ``n``, or less where the episode or what is kept ends before; rows that are no decision within an episode,
        while another environment was reset, are passed over. Where actions are masked, what is legal in ``last_obs`` is
        not known yet, so that nothing leads there.
        """
        assert self.kept is not None
        masked = bool(leaves(self.kept.action_mask))
        end = self.size - masked
        row, column = self.draw(batch, end, generator)
        powers = torch.tensor([gamma**m for m in range(n + 1)], dtype=self.kept.reward.dtype)
        reward, terminal = torch.zeros(batch, dtype=powers.dtype), torch.zeros(batch, dtype=torch.bool)
        now, after, m, going = row, row, torch.zeros_like(row), torch.ones_like(terminal)
        while going.any():
            place = self.place(now), column
            decides, ends = going & self.kept.mask[place], self.kept.done[place]
            reward += (powers[m] * self.kept.reward[place]).masked_fill(~decides, 0)
            terminal |= decides & self.kept.terminated[place]
            m = m + decides
            after = torch.where(decides | (going & ~ends), now + 1, after)
            going = going & ~ends & (m < n) & (now + 1 < end)
            now = now + going
        after = torch.where(terminal, row, after)
        mine, there = (self.place(row), column), (self.place(after.clamp(max=self.size - 1)), column)
        newest = after == self.size
        return Transitions(
            obs=each(lambda x: x[mine], self.kept.obs),
            action=each(lambda x: x[mine], self.kept.action),
            reward=reward,
            discount=powers[m].masked_fill(terminal, 0),
            next_obs=each(lambda x, last: where(newest, last[column], x[there]), self.kept.obs, self.last_obs),
            action_mask=each(lambda x: x[mine], self.kept.action_mask),
            next_mask=each(lambda x: x[there], self.kept.action_mask),
        )

    def draw(self, batch: int, end: int, generator: Generator) -> tuple[Int[Tensor, " B"], Int[Tensor, " B"]]:
        """Rows, counted from the oldest one and before ``end``, and columns: what is no decision is drawn anew."""
        assert self.kept is not None
        columns = self.kept.mask.shape[1]
        index = torch.empty(batch, dtype=torch.int64)
        missing = torch.arange(batch)
        while len(missing):
            index[missing] = torch.randint(end * columns, (len(missing),), generator=generator)
            drawn = index[missing]
            missing = missing[~self.kept.mask[self.place(drawn // columns), drawn % columns]]
            if len(missing) == batch:
                self.check_decisions(end)
        return index // columns, index % columns

    def check_decisions(self, end: int) -> None:
        """Raise ``ConfigError`` unless some of the first ``end`` rows are decisions."""
        assert self.kept is not None
        if not self.kept.mask[self.place(torch.arange(end))].any():
            raise ConfigError(f"of {end} rows in the replay none is a decision to learn from: raise capacity")

    def place(self, row: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """Where a row lies that is so many after the oldest one."""
        assert self.kept is not None
        return (self.written - self.size + row) % len(self.kept.mask)

    def state_dict(self) -> dict[str, Tensor]:
        """All rows that there are, the oldest first, and how many ever came."""
        if self.kept is None:
            return self.loaded or {}
        rows = {} if self.apart else self.rows(self.written - self.size, self.written)
        seen = {name: x for name, x in self.entries().items() if name.partition(".")[0] == "last_obs"}
        return rows | seen | {"written": torch.tensor(self.written), "size": torch.tensor(self.size)}

    def rows(self, first: int, end: int) -> dict[str, Tensor]:
        """Those of these numbers, counted from the first that ever came, by name."""
        assert self.kept is not None
        place = torch.arange(first, end) % len(self.kept.mask)
        return {name: x[place] for name, x in self.entries().items() if name.partition(".")[0] != "last_obs"}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over such a state, at the first rows' coming: they come before anything is drawn."""
        self.kept, self.loaded = None, state or None


def where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """``torch.where`` with a condition ``[B]`` for tensors ``[B, ...]``."""
    return torch.where(condition.view(-1, *[1] * (x.ndim - 1)), x, y)


def untouched(row: Tensor, count: int) -> Tensor:
    """So many rows of zeros, which take no memory before they are written: a replay may never be full."""
    if row.device.type != "cpu":
        return row.new_zeros((count, *row.shape[1:]))
    return torch.from_numpy(np.zeros((count, *row.shape[1:]), row[:0].numpy().dtype))
