"""Batches from a replay as the kernels read them, drawn by the numbers that ``Replay.sample`` would draw."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from clipper.data.steps import Steps
from clipper.data.trees import Tree, leaves
from clipper.engines.cpu.action_table import none
from clipper.engines.cpu.calls import Packed
from clipper.engines.cpu.kernel_files import Kernels
from clipper.engines.cpu.kernels.replayed_tables import Batch, Ring
from clipper.engines.cpu.replayed_networks import Networks
from clipper.engines.cpu.sizes import check_array
from clipper.learning.learner import Learner
from clipper.learning.off_policy import absorb
from clipper.learning.replay import Replay

AT_ONCE = 4096
"""Decisions that are drawn before their gradient steps are taken."""


class Shape(NamedTuple):
    """Of the batches that an algorithm learns from."""

    size: int
    gamma: float
    n_step: int
    draws: int


class SampledRows:
    """Memory for the batches of some gradient steps, and how it is filled."""

    def __init__(self, kernels: Kernels, networks: Networks, replay: Replay, shape: Shape) -> None:
        self.kernels, self.networks, self.replay, self.shape = kernels, networks, replay, shape
        self.steps = max(1, AT_ONCE // shape.size)
        """Gradient steps whose batches there is room for."""
        self.actions = networks.actions
        rows, width, size = self.steps * shape.size, networks.rows.width, networks.size
        self.noise = torch.empty(self.steps, shape.draws, shape.size, size)
        self.draws = [[self.noise[s, k] for k in range(shape.draws)] for s in range(self.steps)]
        self.batch = Batch(
            size=shape.size,
            obs=np.empty((rows, width), np.float32),
            next_obs=np.empty((rows, width), np.float32),
            action=np.empty((rows, self.actions.components), np.float32),
            choice=np.empty(rows if self.actions.chosen else 0, np.int64),
            reward=np.empty(rows, np.float32),
            discount=np.empty(rows, np.float32),
            legal=np.empty((0, 1), bool),
            noise=self.noise.view(-1, size).numpy(),
            legal_now=np.empty((0, 1), bool),
        )
        self.drawn = torch.empty(shape.size, dtype=torch.int64)
        self.index, self.missing, self.all = np.empty(shape.size, np.int64), *np.tile(np.arange(shape.size), (2, 1))
        self.of, self.ring, self.places = None, None, list[np.ndarray]()
        """The rows in the replay that the kernels know of, and how; None where torch has to take them out."""

    def add(self, learner: Learner, steps: Steps, last_obs: Tree) -> bool:
        """``clipper.learning.off_policy.keep`` of a row that follows those that are there; was it such a one?

        What does not follow, or is a segment, is for the definition, which looks at more.
        """
        replay, kept = self.replay, self.replay.kept
        if kept is None or len(steps.mask) != 1:
            return False
        if kept is not self.of:
            self.look()
        if self.ring is None:
            return False
        given = steps.obs.numpy()[0]
        if not np.array_equal(replay.last_obs.numpy(), given):
            return False
        count = len(self.places[-1])
        place, flags = replay.written % count, steps.mask.numpy()[0]
        action = learner.policy.head.bounded(steps.action) if self.actions.components else steps.action
        self.actions.check_choice(action)
        parts = (action,) if isinstance(action, Tensor) else leaves(action)
        others = *parts, steps.reward, steps.terminated, steps.done
        for mine, x in zip(self.places, (given, *(x.numpy()[0] for x in others), flags), strict=True):
            mine[place] = x
        if not (none(kept.action_mask) and none(steps.action_mask)):
            for mine, mask in zip(leaves(kept.action_mask), leaves(steps.action_mask), strict=True):
                mine[place] = mask[0]
        replay.written, replay.size = replay.written + 1, min(replay.size + 1, count)
        replay.last_obs = last_obs.clone()
        learner.extra["decisions"] += int(np.count_nonzero(flags))
        if self.networks.statistics:
            absorb(learner, steps)
        return True

    def check(self, rows: Steps) -> None:
        """Raise ``ConfigError`` unless steps, of anyone's making, are as the kernels read them."""
        lead = tuple(rows.mask.shape)
        self.networks.rows.check("obs", rows.obs, lead)
        self.actions.check(rows, lead)
        for name in ("reward", "terminated", "done", "mask"):
            x, numbers = getattr(rows, name), torch.float32 if name == "reward" else torch.bool
            check_array(f"steps.{name}", x, (), numbers, lead)

    def look(self) -> None:
        """Note where the replay's rows lie, and what was seen after them."""
        kept = self.replay.kept
        assert kept is not None
        if kept is self.of:
            if self.ring is not None:
                np.copyto(self.ring.last_obs, self.flat(self.replay.last_obs, len(self.ring.last_obs)))
            return
        used = torch.arange(self.replay.written - self.replay.size, self.replay.written) % len(kept.mask)
        kept, numbers = self.actions.side_by_side(kept, used)
        self.replay.kept = self.of = kept
        self.ring, self.places = None, [x.numpy() for x in leaves(kept[:6])]
        legal, choice = self.actions.legal(kept.action_mask), self.actions.choice(kept.action)
        if legal is not None and not len(self.batch.legal):
            form = len(self.batch.obs), self.actions.choices
            now = np.empty(form if self.actions.sizes else (0, 1), bool)
            self.batch = self.batch._replace(legal=np.empty(form, bool), legal_now=now)
        self.actions.check_choice(kept.action)  # of a file they may be any
        if self.networks.rows.lone and (legal is None) == (not leaves(kept.action_mask)):
            count, columns = kept.mask.shape
            size = count * columns
            powers = [self.shape.gamma**m for m in range(self.shape.n_step + 1)]
            reward, terminated, done, mask = (
                x.numpy().reshape(size) for x in (kept.reward, kept.terminated, kept.done, kept.mask)
            )
            self.ring = Ring(
                columns=columns,
                obs=self.flat(kept.obs, size),
                last_obs=self.flat(self.replay.last_obs, columns).copy(),
                action=np.empty((size, 0), np.float32) if numbers is None else numbers.numpy().reshape(size, -1),
                choice=np.empty(0, np.int64) if choice is None else choice.numpy().reshape(size),
                reward=reward,
                terminated=terminated,
                done=done,
                mask=mask,
                legal=np.empty((0, 1), bool) if legal is None else legal.numpy().reshape(size, -1),
                powers=torch.tensor(powers, dtype=torch.float32).numpy(),
            )
            packed = Packed(self.ring)
            self.settle = self.kernels.settle.bind(packed, self.drawn.numpy(), self.missing, self.index, 0, 0)
            self.gather = self.kernels.gather.bind(packed, Packed(self.batch), self.index, 0, 0, 0)

    def flat(self, obs: Tensor, rows: int) -> np.ndarray:
        """Observations of one array as rows of numbers."""
        return obs.numpy().reshape(rows, self.networks.rows.width)

    def fill(self, step: int, generator: Generator) -> None:
        """Draw the batch of a gradient step, and the noise of it."""
        if self.ring is None:
            self.take_out(step, generator)
        else:
            self.draw(step, self.ring, generator)
        for noise in self.draws[step]:
            noise.normal_(generator=generator)

    def draw(self, step: int, ring: Ring, generator: Generator) -> None:
        """From a ring that the kernels read: what is no decision is drawn anew."""
        replay, count = self.replay, self.shape.size
        rows, oldest = replay.size, (replay.written - replay.size) % (len(ring.mask) // ring.columns)
        end = rows - (len(self.batch.legal) > 0)
        self.missing[:] = self.all
        while count:
            drawn = self.drawn if count == self.shape.size else self.drawn[:count]
            drawn.random_(end * ring.columns, generator=generator)
            count = self.settle(oldest, count)
            if count == self.shape.size:
                replay.check_decisions(end)
        self.gather(oldest, rows, step * self.shape.size)

    def take_out(self, step: int, generator: Generator) -> None:
        """By the replay itself."""
        size, batch, of = self.shape.size, self.batch, self.networks.rows.of
        first, last = step * size, (step + 1) * size
        drawn = self.replay.sample(size, generator, self.shape.gamma, self.shape.n_step)
        batch.obs[first:last], batch.next_obs[first:last] = of(drawn.obs, (size,)), of(drawn.next_obs, (size,))
        for mine, x in (
            (batch.choice, self.actions.choice(drawn.action)),
            (batch.action, self.actions.numbers(drawn.action)),
            (batch.legal, self.actions.legal(drawn.next_mask)),
            (batch.legal_now, self.actions.legal(drawn.action_mask)),
        ):
            if x is not None and len(mine):
                mine[first:last] = x.numpy()
        batch.reward[first:last], batch.discount[first:last] = drawn.reward.numpy(), drawn.discount.numpy()
