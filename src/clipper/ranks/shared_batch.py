"""One batch whose rows lie in several processes, which learn from it together and send gradients, not rows.

Each has its own columns of the Steps. What an update asks about all of a batch (``clipper.learning.world.World``) is
answered by small messages, and by one a minibatch for the gradient: its sum over processes is the gradient of one
process that has all the rows (Heess et al. 2017, arXiv:1707.02286). Minibatches are those of one process, too.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clipper.data.steps import Targets
from clipper.errors import ConfigError
from clipper.functional.returns import total_return
from clipper.functional.statistics import Moments, explained_variance, merge, moments
from clipper.learning.learner import Learner
from clipper.learning.world import Shares, World
from clipper.networks.normalise import RunningMoments
from clipper.ranks.packing import packed, unpacked

REMEMBERED = 8  # tensors of which something is known; a loss asks for no more at a time


@runtime_checkable
class Processes(Protocol):
    """What a shared batch asks of a ``Group``."""

    rank: int
    size: int

    def rows(self, own: Tensor) -> Tensor:
        """A tensor of all, of one shape, as ``[W, ...]``."""
        ...

    def gather(self, own: bytearray) -> Sequence[memoryview]:
        """The bytes of all, by rank."""
        ...

    def total(self, own: Tensor) -> Tensor:
        """The sum of a tensor that all have."""
        ...


class Known(NamedTuple):
    """Moments of numbers of all processes."""

    n: Float[Tensor, ""]
    mean: Float[Tensor, ""]
    squares: Float[Tensor, ""]
    """Σ (x − mean)²."""


def moments_of(x: Float[Tensor, " n"]) -> Known:
    """In two passes, in float64; mean 0 of none."""
    x = x.double()
    n = torch.tensor(float(len(x)), dtype=torch.float64)
    mean = x.sum() / n.clamp(min=1)
    return Known(n, mean, (x - mean).square().sum())


class Numbered:
    """The decisions of all processes, or with a memory their columns, numbered as one process would."""

    def __init__(
        self, targets: Targets, own: Int[Tensor, " K"], parts: list[list[Tensor]], world: "SharedBatch"
    ) -> None:
        """``parts`` is by rank what ``told_of`` gives."""
        rank = world.group.rank
        memory = bool(targets.steps.memory)
        rows = max(len(part[0]) for part in parts)
        joined = [torch.cat([padded(x, rows) for x in leaf], dim=1) for leaf in zip(*parts, strict=True)]
        mask, learned_from, *values = joined
        first, n = sum(part[0].shape[1] for part in parts[:rank]), targets.steps.mask.shape[1]
        number = (mask.any(0) if memory else mask.flatten()).cumsum(0) - 1
        self.total = int(number[-1]) + 1
        number = number.expand(mask.shape) if memory else number.view(mask.shape)
        mine = number[0, first : first + n] if memory else number[: len(targets.steps.mask), first : first + n]
        self.place = torch.full((self.total,), -1)
        self.place[mine.flatten()[own.cpu()]] = torch.arange(len(own))
        self.unit = number[learned_from] if memory else None
        self.values = [x[learned_from] for x in values]
        self.device, self.world = own.device, world

    def __len__(self) -> int:
        return self.total

    def own(self, index: Int[Tensor, " B"]) -> Int[Tensor, " b"]:
        """The places of those that are one's own."""
        place = self.place[index.cpu()]
        return place[place >= 0].to(self.device)

    def moments(self, index: Int[Tensor, " B"]) -> list[Known]:
        """Moments of advantages over the decisions in these units, as they are and as the batch's units have them."""
        index = index.cpu()
        if self.unit is None:
            return [moments_of(x[index]) for x in self.values]
        chosen = torch.zeros(self.total, dtype=torch.bool)
        chosen[index] = True
        return [moments_of(x[chosen[self.unit]]) for x in self.values]

    def known(self, batch: Targets, index: Int[Tensor, " B"]) -> Targets:
        found, world = self.moments(index), self.world
        world.counts.append((batch.steps.mask, found[0].n.clamp(min=1).to(self.device, torch.int64)))
        world.spreads += zip((batch.advantage, *batch.raw), found, strict=True)
        return batch


def told_of(targets: Targets) -> list[Tensor]:
    """Rows by which decisions are numbered, of which one learns, and advantages, each ``[T, n]``."""
    mask, memory = targets.steps.mask, targets.steps.memory
    return [mask, memory.learned_from(mask) if memory else mask, targets.advantage, *targets.raw]


def padded(x: Tensor, rows: int) -> Tensor:
    """``[T, n]`` with further rows that are no decisions, up to so many."""
    return torch.cat([x, x.new_zeros((rows - len(x), x.shape[1]))])


class SharedBatch(World):
    """The world of one of several processes, which asks the others; all must ask the same, in the same order."""

    def __init__(self, group: Processes, pools: bool = True) -> None:
        self.group, self.others = group, self
        self.pools = pools
        """Running statistics merge the moments of all, so they are given one's own rows."""
        self.counts = deque[tuple[Tensor, Tensor]](maxlen=REMEMBERED)
        self.spreads = deque[tuple[Tensor, Known]](maxlen=REMEMBERED)
        """What is known of masks and of advantages: these tensors and no equal ones, so that all know it, or none."""
        self.last: tuple[Tensor, Numbered] | None = None

    def __reduce__(self) -> tuple[type[World], tuple[()]]:
        """A copy shares nothing with anybody."""
        return World, ()

    def numbers(self, x: Tensor) -> Tensor:
        """A small tensor of all, ``[W, ...]``."""
        return self.group.rows(x.detach().cpu()).to(x.device)

    def count(self, mask: Bool[Tensor, "*batch"]) -> Int[Tensor, ""]:
        """Decisions of all."""
        for x, number in self.counts:
            if x is mask:
                return number
        self.counts.append((mask, self.numbers(mask.sum()).sum().clamp(min=1)))
        return self.counts[-1][1]

    def sum(self, x: Tensor) -> Tensor:
        """With the gradient of one's own share."""
        return Summed.apply(x, self.numbers(x).sum(0))

    def share(self, x: Float[Tensor, "..."], mask: Bool[Tensor, "*batch"]) -> Float[Tensor, "..."]:
        return x.masked_fill(~mask, 0).sum(tuple(range(-mask.ndim, 0))) / self.count(mask)

    def mean(self, x: Float[Tensor, "..."], mask: Bool[Tensor, "*batch"]) -> Float[Tensor, "..."]:
        return self.sum(self.share(x, mask))

    def of_all(self, x: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"]) -> Known:
        """Moments over the decisions of all, of each number as it is: no difference of large sums."""
        for seen, found in self.spreads:
            if seen is x:
                return found
        self.spreads.append((x, moments_of(self.gather(x[mask].detach().cpu()))))
        return self.spreads[-1][1]

    def spread(
        self, x: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        n, whole, squares = self.of_all(x, mask)
        return whole.to(x), (squares / n.clamp(min=1)).sqrt().to(x)

    def standardise(
        self, x: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"], correction: int = 1, eps: float = 1e-8
    ) -> Float[Tensor, "*batch"]:
        n, mean, squares = self.of_all(x, mask)
        std = (squares / (n - correction).clamp(min=1)).sqrt().to(x)
        return in_units(x, mask, mean.to(x), std, eps)

    def standardise_trajectories(
        self, x: Float[Tensor, "T N"], done: Bool[Tensor, "T N"], mask: Bool[Tensor, "T N"], eps: float = 1e-8
    ) -> Float[Tensor, "T N"]:
        weight = (mask / total_return(mask.to(x.dtype), done, mask, gamma=1.0).clamp(min=1)).double()
        weight = weight / self.sum(weight.sum()).clamp(min=1)
        mean = self.sum((weight * x.masked_fill(~mask, 0)).sum())
        std = self.sum((weight * (x - mean).masked_fill(~mask, 0).square()).sum()).sqrt()
        return in_units(x, mask, mean.to(x), std.to(x), eps)

    def explained_variance(
        self, prediction: Float[Tensor, "*batch"], target: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"]
    ) -> Float[Tensor, ""]:
        both = self.gather(torch.stack([prediction[mask], target[mask]], dim=1))
        ours, theirs = both.unbind(1)
        return explained_variance(ours, theirs, torch.ones(len(both), dtype=torch.bool, device=both.device))

    def largest(self, x: Tensor) -> Tensor:
        return self.numbers(x).amax(0)

    def agree(self, verdict: Tensor) -> Tensor:
        return self.numbers(verdict).amax(0)

    def gather(self, x: Tensor) -> Tensor:
        return torch.cat([tensors_of(told)[0] for told in self.group.gather(packed([x]))]).to(x.device)

    def samples(self, x: Tensor) -> Tensor:
        return x if self.pools else self.gather(x)

    def pooled(self, own: Moments) -> Moments:
        """Moments of all processes' samples of those of each, merged in the order of ranks (Chan et al. 1979)."""
        flat = torch.stack([own.n.expand(own.mean.shape), own.mean, own.variance])
        whole = Moments(torch.zeros_like(own.n), torch.zeros_like(own.mean), torch.zeros_like(own.variance))
        for n, mean, variance in self.numbers(flat).unbind():
            one = n.flatten()[0]
            if one > 0:
                whole = merge(whole, Moments(one, mean, variance)) if whole.n > 0 else Moments(one, mean, variance)
        return whole

    def deal(self, targets: Targets, own: Int[Tensor, " K"]) -> Numbered:
        """One message for as many shuffles of the same targets as there are."""
        if self.last is None or self.last[0] is not targets.advantage:
            parts = [tensors_of(told) for told in self.group.gather(packed(told_of(targets)))]
            self.last = targets.advantage, Numbered(targets, own, parts, self)
        return self.last[1]

    def add_up(self, shares: Shares) -> Shares:
        """One message, [gradient | loss | what was watched]: where one has NaN or infinity in it, all have."""
        gradients, loss, metrics = shares
        first, *others = gradients
        row, names = self.laid_out({"": loss, **metrics})
        told = self.group.total(torch.cat([first.detach().cpu().flatten(), row.to(first.dtype)]))
        first.copy_(told[: first.numel()].view_as(first))
        for gradient in others:
            gradient.copy_(self.group.total(gradient.detach().cpu()))
        whole = self.read(told[first.numel() :], names, {"": loss, **metrics})
        return gradients, whole.pop(""), whole

    def whole(self, metrics: dict[str, Tensor]) -> dict[str, Tensor]:
        shares, names = self.laid_out(metrics)
        return self.read(self.group.total(shares), names, metrics)

    def laid_out(self, metrics: dict[str, Tensor]) -> tuple[Tensor, list[str]]:
        """Shares of sums, then for each number whose largest counts a place for every process; the names in order."""
        sums = [name for name in metrics if not name.endswith("_max") and "/minibatch_" not in name]
        largest = [name for name in metrics if name.endswith("_max")]
        dtype = torch.promote_types(torch.float32, next(iter(metrics.values())).dtype)
        places = torch.zeros(len(largest), self.group.size, dtype=dtype)
        for place, name in zip(places, largest, strict=True):
            place[self.group.rank] = metrics[name].detach()
        shares = [metrics[name].detach().to("cpu", dtype) for name in sums]
        return torch.cat([torch.stack(shares), places.flatten()]), [*sums, *largest]

    def read(self, numbers: Tensor, names: list[str], metrics: dict[str, Tensor]) -> dict[str, Tensor]:
        """The inverse, of the sum over processes."""
        largest = sum(name.endswith("_max") for name in names)
        split = len(names) - largest
        values = [*numbers[:split], *numbers[split:].view(largest, self.group.size).amax(1)]
        return metrics | {name: x.to(metrics[name]) for name, x in zip(names, values, strict=True)}


class Summed(torch.autograd.Function):
    """A sum over processes, in which one's own share has gradient 1."""

    @staticmethod
    def forward(ctx: object, own: Tensor, whole: Tensor) -> Tensor:  # noqa: ARG004 (torch's interface)
        return whole.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004 # pyright: ignore
        return gradient, None


def in_units(x: Tensor, mask: Tensor, mean: Tensor, std: Tensor, eps: float) -> Tensor:
    """(x − mean) / (std + ε) over the decisions; 0 where the spread is rounding noise (``functional.standardise``)."""
    centred = (x - mean).masked_fill(~mask, 0)
    return torch.where(std <= 1e-6 * mean.abs() + eps, torch.zeros_like(centred), centred / (std + eps))


def tensors_of(buffer: memoryview) -> list[Tensor]:
    """What another has packed."""
    return unpacked(buffer)[0]


class PooledMoments(RunningMoments):
    """Running moments of which each process takes in its own samples, and all take in those of all."""

    def __init__(self, own: RunningMoments, world: World) -> None:
        nn.Module.__init__(self)
        self.beta, self.world = own.beta, world
        for name, buffer in own.named_buffers():
            self.register_buffer(name, buffer)

    def _get_name(self) -> str:
        """A policy of theirs reads as one of one process."""
        return RunningMoments.__name__

    @torch.no_grad()
    def absorb(self, samples: Float[Tensor, "batch *shape"]) -> None:
        """Merge the samples of all, of which one may have none."""
        new = moments(samples) if len(samples) else Moments(self.count * 0, self.mean * 0, self.variance * 0)
        new = self.world.pooled(new)
        if new.n > 0:
            self.take(new)


def share_batches(learner: Learner, group: Processes) -> None:
    """Let the learner learn from batches whose other rows lie in the other processes of a group.

    Modules of Clipper merge moments; where one of the user's own takes in samples, all are sent.
    """
    if "replay" in learner.modules:
        raise ConfigError(
            "who learns from a replay sends data, of which each rank keeps all: leave out rank_mode='gradients' "
            "(--rank-mode)"
        )
    if "kept" in learner.modules:
        raise ConfigError(
            "who learns from kept segments sends data, of which each rank keeps all: leave out rank_mode='gradients' "
            "(--rank-mode)"
        )
    if "bonus" in learner.modules:
        raise ConfigError(
            "who explores by a bonus sends data, so that each rank knows what all have seen: leave out "
            "rank_mode='gradients' (--rank-mode)"
        )
    modules = [learner.policy, *(x for x in learner.modules.values() if isinstance(x, nn.Module))]
    parts = [part for module in modules for part in module.modules()]
    takers = [type(x).__module__ for x in parts if hasattr(type(x), "absorb")]
    pools = all(name.partition(".")[0] == "clipper" for name in takers)
    world = learner.world = SharedBatch(group, pools)
    for part in parts if pools else ():
        for name, own in part.named_children():
            if type(own) is RunningMoments:
                setattr(part, name, PooledMoments(own, world))
