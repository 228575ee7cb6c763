"""Batches from a replay as the kernels read them, drawn by the numbers that ``Replay.sample`` would draw."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from clipper.data.steps import Steps
from clipper.data.trees import Tree, leaves
from clipper.engines.cpu.calls import Packed
from clipper.engines.cpu.kernel_files import Kernels
from clipper.engines.cpu.kernels.replayed_tables import Batch, Ring
from clipper.engines.cpu.replayed_networks import Networks
from clipper.engines.cpu.sizes import check_array
from clipper.errors import ConfigError
from clipper.learning.learner import Learner
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
        rows, moves = self.steps * shape.size, len(networks.critics) > 0
        width, size = networks.rows.width, networks.size
        self.noise = torch.empty(self.steps, shape.draws, shape.size, size)
        self.draws = [[self.noise[s, k] for k in range(shape.draws)] for s in range(self.steps)]
        self.batch = Batch(
            size=shape.size,
            obs=np.empty((rows, width), np.float32),
            next_obs=np.empty((rows, width), np.float32),
            action=np.empty((rows, size if moves else 0), np.float32),
            choice=np.empty(0 if moves else rows, np.int64),
            reward=np.empty(rows, np.float32),
            discount=np.empty(rows, np.float32),
            legal=np.empty((0, size), bool),
            noise=self.noise.view(-1, size).numpy(),
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
        place, flags = replay.written % len(kept.mask), steps.mask.numpy()[0]
        if len(self.networks.critics):
            action = learner.policy.head.bounded(steps.action)
        else:
            action = steps.action
            self.check_choices(action)
        rows = given, action.numpy()[0], *(x.numpy()[0] for x in (steps.reward, steps.terminated, steps.done)), flags
        for mine, x in zip(self.places, rows, strict=False):
            mine[place] = x
        if len(self.batch.legal):
            kept.action_mask[place] = steps.action_mask[0]
        replay.written, replay.size = replay.written + 1, min(replay.size + 1, len(kept.mask))
        replay.last_obs = last_obs.clone()
        learner.extra["decisions"] += int(flags.sum())
        return True

    def check(self, rows: Steps) -> None:
        """Raise ``ConfigError`` unless steps, of anyone's making, are as the kernels read them."""
        lead, moves = tuple(rows.mask.shape), len(self.networks.critics) > 0
        self.networks.rows.check("obs", rows.obs, lead)
        shape = (*lead, self.networks.size) if moves else lead
        check_array("action", rows.action, (), torch.float32 if moves else torch.int64, shape)
        for name in ("reward", "terminated", "done", "mask"):
            x, numbers = getattr(rows, name), torch.float32 if name == "reward" else torch.bool
            check_array(f"steps.{name}", x, (), numbers, lead)
        if leaves(rows.action_mask):
            check_array("steps.action_mask", rows.action_mask, (), torch.bool, (*lead, self.networks.size))
        if not moves:
            self.check_choices(rows.action)

    def check_choices(self, choice: Tensor) -> None:
        """Raise ``ConfigError`` for a choice that there is none of."""
        if choice.numel() and not 0 <= int(choice.min()) <= int(choice.max()) < self.networks.size:
            raise ConfigError(
                f"action holds choices from {int(choice.min())} to {int(choice.max())}, but the policy has "
                f"{self.networks.size}"
            )

    def look(self) -> None:
        """Note where the replay's rows lie, and what was seen after them."""
        kept = self.replay.kept
        assert kept is not None
        if kept is self.of:
            if self.ring is not None:
                np.copyto(self.ring.last_obs, self.flat(self.replay.last_obs, len(self.ring.last_obs)))
            return
        self.of, self.ring = kept, None
        self.places = [x.numpy() for x in kept[:6] if isinstance(x, Tensor)]
        masked = bool(leaves(kept.action_mask))
        if masked and not len(self.batch.legal):
            self.batch = self.batch._replace(legal=np.empty((len(self.batch.obs), self.networks.size), bool))
        if not len(self.networks.critics):
            self.check_choices(kept.action)  # of a file they may be any
        if self.networks.rows.lone and isinstance(kept.obs, Tensor):
            count, columns = kept.mask.shape
            nothing, size = np.empty(0, np.int64), count * columns
            moves = len(self.networks.critics) > 0
            powers = [self.shape.gamma**m for m in range(self.shape.n_step + 1)]
            reward, terminated, done, mask = (
                x.numpy().reshape(size) for x in (kept.reward, kept.terminated, kept.done, kept.mask)
            )
            self.ring = Ring(
                columns=columns,
                obs=self.flat(kept.obs, size),
                last_obs=self.flat(self.replay.last_obs, columns).copy(),
                action=kept.action.numpy().reshape(size, -1) if moves else np.empty((size, 0), np.float32),
                choice=nothing if moves else kept.action.numpy().reshape(size),
                reward=reward,
                terminated=terminated,
                done=done,
                mask=mask,
                legal=kept.action_mask.numpy().reshape(size, -1) if masked else np.empty((0, self.networks.size), bool),
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
        np.copyto(self.missing, self.all)
        while count:
            self.drawn[:count].random_(end * ring.columns, generator=generator)
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
        if len(batch.choice):
            batch.choice[first:last] = drawn.action.numpy()
        else:
            batch.action[first:last] = drawn.action.numpy()
        batch.reward[first:last], batch.discount[first:last] = drawn.reward.numpy(), drawn.discount.numpy()
        if len(batch.legal):
            batch.legal[first:last] = drawn.next_mask.numpy()
