"""Decisions of all processes, gathered once a segment: who learns from them cannot tell how many there were.

Where gradients are sent instead, each keeps its own decisions, and only hears how many there were and what ended.

Each process collects its own columns; then every one has the Steps of all and runs the whole, unchanged update on them.
So the parameters are the same everywhere without a message of their own, and, with kernels, bit for bit those of one
process: noise is drawn for all columns, and a column's numbers do not depend on how many are computed together.
(DPPO: Heess et al. 2017, arXiv:1707.02286, whose workers send gradients; here they send what they have seen.)
"""

from collections.abc import Sequence
from typing import cast

import torch
from gymnasium.vector import AutoresetMode
from torch import Generator, Tensor

from clipper.data.steps import Steps
from clipper.data.trees import Tree, each, leaves
from clipper.environments.vector.serial import Serial
from clipper.environments.vector.workers import Workers
from clipper.errors import RankError
from clipper.learning.learner import Learner
from clipper.networks.protocol import Actor
from clipper.ranks.columns import OwnColumns
from clipper.ranks.group import Group
from clipper.ranks.packing import packed, unpacked
from clipper.ranks.shared_batch import share_batches
from clipper.rollout.protocol import Episode
from clipper.rollout.recorder import TensorRecorder
from clipper.storage.saved import part, value_of

Note = tuple[list[tuple[int, float, int]], dict[str, float], int]
"""Of a process's segment: episodes that ended, counts of its environments, and decisions."""


class GatheredRollouts:
    """Rollouts of all processes of a ``group``, of which ``own`` are this one's; with ``data`` all have all of them."""

    def __init__(self, own: OwnColumns, group: Group, data: bool = True) -> None:
        self.own, self.group, self.data, self.env = own, group, data, own.env
        self.metrics = dict(own.metrics)
        """Sums over the processes, since they are counts."""
        self.first, self.num_envs = own.mine
        self.single_observation_space, self.single_action_space = own.single_observation_space, own.single_action_space
        self.steps, self.episodes = 0, list[Episode]()
        self.learner: Learner | None = None
        """Who learns from this process's columns alone, where they are not gathered."""
        self.generator = Generator().manual_seed(own.seed)
        """Where a process draws for its own columns alone, it draws anew in each segment, from what this gives all."""
        self.alone = False
        """So it does: the recorder is the definition's."""

    @property
    def masked(self) -> bool:
        """Does the environment say which actions are legal?"""
        return self.own.masked

    @property
    def as_one(self) -> bool:
        """Are the numbers those of one process, bit for bit?

        So it is where kernels draw, in next-step mode, and each environment has a generator of its own.
        """
        apart = isinstance(self.env, Serial | Workers)
        return self.data and not self.alone and apart and self.own.mode is AutoresetMode.NEXT_STEP

    def collect(self, actor: Actor, *, horizon: int | None = None, episodes: int | None = None) -> tuple[Steps, Tree]:
        """Collect this process's columns, and gather all: Steps ``[T, N]`` and ``last_obs`` ``[N, ...]``.

        Without ``data`` the columns stay this process's own.
        """
        own = self.own
        if actor is not own.actor:
            own.join(actor)
        self.alone = isinstance(own.recorder, TensorRecorder)
        if self.alone:
            seeds = torch.randint(2**62, (self.num_envs,), generator=self.generator)
            own.generator.manual_seed(int(seeds[self.first]))
        steps, last_obs = own.collect(actor, horizon=horizon, episodes=episodes)
        told = [list(episode._replace(env=episode.env + self.first)) for episode in own.episodes]
        tensors = [*leaves(steps), *leaves(last_obs)] if self.data else []
        answers = self.exchange(tensors, [told, own.metrics, int(steps.mask.sum())], "segment")
        parts = [part for part, _ in answers]
        if len({len(part) for part in parts}) > 1:
            raise RankError("the ranks collect from different environments: all must run the same program")
        notes = [cast(Note, values) for _, values in answers]
        self.episodes = [Episode(env, float(total), n) for ended, _, _ in notes for env, total, n in ended]
        for name in notes[0][1]:
            self.metrics[name] = sum(counts[name] for _, counts, _ in notes)
        self.steps += sum(decisions for _, _, decisions in notes)
        if not self.data:
            return steps, last_obs
        whole = iter(self.joined(steps, parts))
        return each(lambda _: next(whole), steps), each(lambda _: next(whole), last_obs)

    def join(self, learner: Learner) -> None:
        """Let a learner learn from these: where each has its own decisions, together with those of the others."""
        if not self.data:
            self.learner = learner
            share_batches(learner, self.group)

    def whole_columns(self, learned: dict[str, Tensor]) -> dict[str, Tensor]:
        """A learner's state with what it keeps for each environment ``[n]`` of all, ``[N]``. All must call it."""
        if self.data or self.group.left or "running_return" not in learned:
            return learned
        parts = [own for (own,), _ in self.exchange([learned["running_return"]], None)]
        return learned | {"running_return": torch.cat(parts)}

    def exchange(
        self, tensors: Sequence[Tensor], values: object, purpose: str = ""
    ) -> list[tuple[list[Tensor], object]]:
        """What all give, by rank."""
        return [unpacked(buffer) for buffer in self.group.gather(packed(tensors, values), purpose)]

    def joined(self, steps: Steps, parts: list[list[Tensor]]) -> list[Tensor]:
        """Each leaf of all, joined by column; where processes have different numbers of rows, up to the most."""
        numbers = {name: len(leaves(getattr(steps, name))) for name in steps._fields}
        names = [name for name, count in numbers.items() for _ in range(count)]
        rows = max(len(part[names.index("mask")]) for part in parts)
        device, found = self.own.generator.device, list[Tensor]()
        for i, leaf in enumerate(zip(*parts, strict=True)):
            if i >= len(names):
                found.append(torch.cat(leaf).to(device))  # a last observation, [N, ...]
                continue
            held = names[i] == "memory" and len(leaf[0]) == 1
            found.append(torch.cat([x if held else padded(x, rows) for x in leaf], dim=1).to(device))
        return found

    def state_dict(self, episodes: bool = True) -> tuple[dict[str, Tensor], dict[str, object]]:
        """As of one process that had collected all: a file does not know how many there were. All must call it."""
        tensors, values = self.own.state_dict(episodes and not self.group.left)
        if self.alone:
            tensors["generator"] = self.generator.get_state()
        if self.group.left:
            return tensors, values | {"steps": self.steps}
        answers = self.exchange(list(tensors.values()), [list(tensors), values["environments"]])
        told = [cast(tuple[list[str], list[object] | None], values) for _, values in answers]
        named = [dict(zip(names, found, strict=True)) for (found, _), (names, _) in zip(answers, told, strict=True)]
        states = [own for _, own in told]
        return self.in_one_file(named), {
            **values,
            "steps": self.steps,
            "environments": None if None in states else [x for own in states for x in own or []],
        }

    def in_one_file(self, named: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Arrays of all columns under the names that they have in one process."""
        whole, first = dict[str, Tensor](), 0
        for name in named[0]:
            if name == "generator":
                whole[name] = named[0][name]
            elif not name.startswith("env."):
                whole[name] = torch.cat([own[name] for own in named])
        for own in named:
            for name, x in own.items():
                if name.startswith("env."):
                    _, number, rest = name.split(".", 2)
                    whole[f"env.{first + int(number)}.{rest}"] = x
            first += len(own["done"])
        return whole

    def load_state_dict(self, tensors: dict[str, Tensor], values: dict[str, object], actor: Actor) -> bool:
        """Take this process's part of such a state."""
        own, first = self.own, self.first
        mine = slice(first, first + own.num_envs)
        shared = {name: x for name, x in tensors.items() if not name.startswith("env.")}
        cut = {name: x if name == "generator" else x[mine] for name, x in shared.items()}
        for i in range(own.num_envs):
            cut |= {f"env.{i}.{name}": x for name, x in part(tensors, f"env.{first + i}.").items()}
        states = values.get("environments")
        kept = states[mine] if isinstance(states, list) else None
        self.steps = value_of("steps", int, values)
        if self.learner is not None and self.learner.running_return is not None:
            self.learner.running_return = self.learner.running_return[mine].clone()
        self.generator.set_state(tensors["generator"])
        restored = own.load_state_dict(cut, {**values, "environments": kept}, actor)
        return not self.group.largest(not restored)[0]

    def call(self, name: str, *args: object, **kwargs: object) -> tuple[object, ...]:
        """What a method of each of this process's environments gives, or an attribute of each."""
        return self.own.call(name, *args, **kwargs)

    def get_attr(self, name: str) -> tuple[object, ...]:
        """An attribute of each of this process's environments."""
        return self.own.get_attr(name)

    def set_attr(self, name: str, values: object) -> None:
        """Set an attribute of each of this process's environments."""
        self.own.set_attr(name, values)

    def close(self) -> None:
        """Close this process's environments."""
        self.own.close()


def padded(x: Tensor, rows: int) -> Tensor:
    """``[T, ...]`` with further rows that are no decisions, up to so many."""
    return x if len(x) == rows else torch.cat([x, x.new_zeros((rows - len(x), *x.shape[1:]))])
