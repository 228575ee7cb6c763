"""Passes over the decisions of an update: minibatches, each with a step of one part of the learner."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from clipper.engines.cpu.calls import Call, Packed
from clipper.engines.cpu.kernels import tables
from clipper.engines.cpu.kernels.tables import Loss, Net, Optimizer, Rows
from clipper.engines.cpu.machine import Machine
from clipper.engines.cpu.plan import Passes
from clipper.learning.learner import Learner
from clipper.learning.parts import Part
from clipper.learning.schedules import at


class Fitted(NamedTuple):
    """What a pass goes over, and its loss."""

    rows: Rows
    loss: Loss


class Stepper:
    """Takes the steps of some passes; ``history`` has a row of what is watched for each."""

    def __init__(
        self, engine: Machine, passes: Passes, max_norm: float, keep: np.ndarray, units: int | None = None
    ) -> None:  # fmt: skip
        self.engine, self.passes, self.keep, learner = engine, passes, keep, engine.learner
        self.net = {(True, True): engine.net, (True, False): engine.actor_net, (False, True): engine.critic_net}[
            passes.acts, passes.judges
        ]
        self.optimizer, self.taken_before = optimizer_of(
            learner, passes.part, at(passes.rate, learner.progress), max_norm
        )
        self.counters = self.taken_before, learner.skipped, learner.parts[passes.part].skipped_in_a_row
        self.counts = np.array([int(counter) for counter in self.counters])
        self.parts, self.order = min(passes.minibatches, len(keep) if units is None else units), np.empty_like(keep)
        width = tables.NORM + 1 + tables.LEAF_SUMS * len(engine.network.actions.names)
        self.watched, self.history = np.empty((self.parts, width)), list[np.ndarray]()

    def bind(self, fitted: Fitted) -> None:
        """Go over these from now on."""
        engine, (rows, loss), after = self.engine, fitted, self.after()
        if len(engine.pieces(len(self.keep) // self.parts)) == 1:
            self.go_through: Any = engine.kernels.epoch.bind(
                self.net, engine.head, loss, rows, engine.works[0], engine.gradient, *after, self.parts
            )
        else:
            shares = Shares(engine, self.net, rows, loss, self.order)
            finish = engine.kernels.finish.bind(self.net, rows, engine.gradient, shares.sums, *after, 0, 0, 0)
            self.go_through = partial(go_through_in_threads, shares, finish, len(self.keep), self.parts)

    def after(self) -> tuple[object, ...]:
        """What a kernel that takes a step is given of it."""
        stop = self.passes.stop
        largest = 1.5 * stop.target if stop is not None and stop.at == "minibatch" else np.inf
        return self.optimizer, self.counts, largest, self.watched, self.order

    def shuffle(self) -> None:
        """Draw the order of a pass."""
        generator = self.engine.learner.generator
        self.order[:] = self.keep[torch.randperm(len(self.keep), generator=generator).numpy()]

    def epoch(self) -> bool:
        """One pass; is it to be the last one?"""
        stop = self.passes.stop
        self.shuffle()
        taken: int = self.go_through()
        self.history.append(self.watched[:taken].copy())
        if taken < self.parts:
            return True
        return stop is not None and stop.at == "epoch" and bool(self.watched[taken - 1, 3] > 1.5 * stop.target)

    def finish(self) -> np.ndarray:
        """Tell the learner how many steps there were; all of the history."""
        for counter, value in zip(self.counters, self.counts, strict=True):
            counter.fill_(int(value))
        if not any(map(len, self.history)):  # the first minibatch was too far: what was watched there, and no step
            self.watched[0, tables.NORM] = 0.0
            return self.watched[:1]
        return np.concatenate(self.history)


def go_through_in_threads(shares: "Shares", finish: Call, rows: int, parts: int) -> int:
    """One pass, each minibatch shared among the threads; returns how many steps were taken."""
    size, extra, first = rows // parts, rows % parts, 0
    for i in range(parts):
        last = first + size + (i < extra)
        shares.add_up(first, last)
        if not finish(first, last, i):
            return i
        first = last
    return parts


def optimizer_of(learner: Learner, part: str, rate: float, max_norm: float) -> tuple[Optimizer, Tensor]:
    """A part's optimizer as the kernels have it, and its own count of steps."""
    own = learner.parts[part]
    start = (own.parameters[0].data_ptr() - learner.policy_parameters.data_ptr()) // own.parameters[0].element_size()
    return optimizer_from(own, start, rate, max_norm)


def optimizer_from(own: Part, start: int, rate: float, max_norm: float) -> tuple[Optimizer, Tensor]:
    """The same for a part whose parameters begin at ``start`` of those that kernels have."""
    (parameters,), group = own.parameters, own.optimizer.param_groups[0]
    moments = own.optimizer.state[parameters]
    adam = "betas" in group
    names = ("exp_avg", "exp_avg_sq") if adam else ("square_avg",)
    if not moments:  # as torch makes them in the first step
        moments["step"] = torch.zeros((), dtype=torch.float32)
        moments.update({name: torch.zeros_like(parameters) for name in names})
    group["lr"] = rate
    beta1, beta2 = group["betas"] if adam else (0.0, group["alpha"])
    return Optimizer(
        kind=tables.ADAM if adam else tables.RMSPROP,
        start=start,
        first=moments[names[0]].detach().numpy(),
        second=moments[names[-1]].detach().numpy(),
        learning_rate=float(rate),
        beta1=beta1,
        beta2=beta2,
        eps=group["eps"],
        max_norm=float(max_norm),
    ), moments["step"]


class Shares:
    """The threads' shares of minibatches of ``order``: each adds up a gradient of its own, which are added then."""

    def __init__(self, engine: Machine, net: Packed[Net], rows: Rows, loss: Loss, order: np.ndarray) -> None:
        kernels = engine.kernels
        self.engine, self.units = engine, kernels.units.bind(loss, rows, order, 0, 0)
        own = list(zip(engine.works, engine.gradients, strict=True))
        self.clear = [kernels.clear.bind(gradient, work) for work, gradient in own]
        self.accumulate = [
            kernels.accumulate.bind(net, engine.head, loss, rows, work, gradient, order, 0, 0, 0.0, 0.0, 0.0)
            for work, gradient in own
        ]
        self.sums = engine.works[0].value.sums

    def add_up(self, first: int, last: int) -> None:
        """Leave the gradient of ``order[first:last]`` in the learner's, and the sums of what is watched in ``sums``."""
        engine, weight = self.engine, 1 / (last - first)
        mean, factor = self.units(first, last)
        pieces = engine.pieces(last - first)

        def work(k: int, piece: slice) -> None:
            self.clear[k]()
            self.accumulate[k](first + piece.start, first + piece.stop, weight, mean, factor)

        engine.team.run(work, pieces)
        self.merge(len(pieces))

    def merge(self, count: int) -> None:
        """Add the other threads' gradients and sums to the first one's."""
        engine = self.engine
        for k in range(1, count):
            sums, largest = engine.works[k].value.sums, self.sums[tables.RATIO]
            engine.gradient += engine.gradients[k]
            self.sums += sums
            self.sums[tables.RATIO] = max(largest, sums[tables.RATIO])
