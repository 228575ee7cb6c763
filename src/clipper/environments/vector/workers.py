"""Environments spread over processes: what dies or hangs is named, or made anew, and nothing is left behind.

Each process is a fresh interpreter that runs a ``Serial`` over its share, in memory that all of them see, so what comes
out is what one ``Serial`` over all environments gives. It is neither forked, since a fork copies torch's and BLAS's
locks but not the threads that would release them, nor spawned by ``multiprocessing``, which runs the user's script once
more in each process and wants it written for that.
"""

import mmap
import os
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import cast

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import CloudpickleWrapper, batch_space

from clipper.data.tree_type import Tree
from clipper.environments.checks import RESTARTED, describe
from clipper.environments.ids import called
from clipper.environments.processes import OWNED
from clipper.environments.state_trees import EnvironmentState
from clipper.environments.told_episodes import Info
from clipper.environments.vector.channel import (
    DONE,
    STEP,
    Factories,
    Layout,
    Task,
    memory_file,
    packed,
    view,
)  # fmt: skip
from clipper.environments.vector.made import anew
from clipper.environments.vector.reach import one_each
from clipper.environments.vector.serial import NOTHING
from clipper.environments.vector.worker import GRACE, PATIENCE, DeadError, Worker
from clipper.errors import ConfigError, EnvironmentContractError, EnvWorkerError
from clipper.spaces.actions import batch
from clipper.spaces.observations import observation_leaves, observation_tree

QUESTIONS = ("call", "get_attr", "set_attr")
"""What changes nothing in how environments are stepped, where it fails: a name that is mistyped ends no run."""
NONE = np.zeros(0, dtype=bool)


class Workers(VectorEnv):
    """N environments in ``processes`` processes. The arrays that ``step`` returns are reused by the next one.

    ``env_timeout`` is how many seconds a row may take; 0 is no limit. A process that dies or hangs raises
    ``EnvWorkerError``; up to ``max_restarts`` times it and its environments are made anew instead, as in ``Serial``.
    ``specs`` are what the environments' ids stand for, where they were registered by this program.
    """

    def __init__(
        self,
        factories: Sequence[Callable[[], gymnasium.Env]],
        processes: int,
        *,
        env_timeout: float = 0.0,
        max_restarts: int = 0,
        specs: Sequence[EnvSpec] = (),
    ) -> None:
        self.closed, self.workers, self.num_envs = False, [], len(factories)
        self.env_timeout, self.max_restarts, self.restarts, self.rows_stepped = env_timeout, max_restarts, 0, 0
        self.memory = memory_file()
        OWNED.add(self)
        edges = np.linspace(0, self.num_envs, min(processes, self.num_envs) + 1).astype(int).tolist()
        self.parts = [slice(a, b) for a, b in pairwise(edges)]
        told = list[tuple]()
        try:
            for part in self.parts:
                make = cast(Factories, called(CloudpickleWrapper, lambda own=factories[part]: own))
                self.workers.append(Worker(Task(make, part.start, max_restarts, specs), self.memory))
            for worker in self.workers:
                told.append(cast(tuple, worker.answer(env_timeout and max(env_timeout, PATIENCE))))
            self.prepare(told)
        except DeadError as error:
            self.close()
            raise EnvWorkerError(f"{self.whose(len(told))} {error} while they were made") from error
        except BaseException:
            self.close()
            raise

    def whose(self, i: int) -> str:
        """A process, as errors call it before it has reported anything."""
        part = self.parts[i]
        several = f"s {part.start} to {part.stop - 1}" if part.stop - part.start > 1 else f" {part.start}"
        return f"the process of environment{several}"

    def prepare(self, told: list[tuple]) -> None:
        """From what the workers tell of their environments: spaces and memory."""
        space, action_space, self.spec, metadata = told[0]
        for part, (other, other_action, _, _) in zip(self.parts, told, strict=True):
            if (other, other_action) != (space, action_space):
                raise EnvironmentContractError(
                    f"environment {part.start} has other spaces than environment 0: {other}, {other_action} and "
                    f"{space}, {action_space}"
                )
        self.metadata = {**metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space, self.single_action_space = space, action_space
        self.observation_space = batch_space(space, self.num_envs)
        self.action_space = batch(action_space, self.num_envs)
        shape = action_space.shape
        room = 8 * max(1, int(np.prod(shape))) if shape is not None else 8
        self.layout = Layout(self.num_envs, observation_leaves(space), room)
        os.ftruncate(self.memory, self.layout.size)
        arrays = self.layout.arrays(mmap.mmap(self.memory, self.layout.size))
        *obs, self.reward, self.terminated, self.truncated, self.room = arrays
        self.obs = observation_tree(space, iter(obs))
        self.actions: np.ndarray | None = None
        self.infos_wanted = False
        self.seeds: list[int | None] = [None] * self.num_envs
        for worker in self.workers:
            worker.say(self.layout)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, object] | None = None
    ) -> tuple[Tree, Info]:
        """Reset all; an integer seeds environment i with ``seed + i``."""
        self.check_open()
        if seed is None or isinstance(seed, int):
            seed = [None if seed is None else seed + i for i in range(self.num_envs)]
        self.seeds = list(seed)
        self.reward.fill(np.nan)
        info = NOTHING
        answers = self.ask("reset", [(self.seeds[part], options) for part in self.parts])
        for part, answer in zip(self.parts, answers, strict=True):
            if isinstance(answer, dict):
                info = merged(info, answer, part, self.num_envs)
        return self.obs, info

    def step(self, actions: Tree) -> tuple[Tree, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Step those whose episode goes on, reset the others."""
        if self.closed:
            self.check_open()
        self.rows_stepped += 1
        self.reward.fill(np.nan)  # an environment that has returned has written its own
        info = NOTHING
        try:
            self.hand_out(actions)
            for i, worker in enumerate(self.workers):
                answer = self.answer(i, worker)
                if isinstance(answer, dict):
                    info = merged(info, answer, self.parts[i], self.num_envs)
        except BaseException:
            self.close()  # some answers were not heard: nothing more can be asked
            raise
        return self.obs, self.reward, self.terminated, self.truncated, info

    def answer(self, i: int, worker: Worker) -> object:
        """What a worker says of its step; where it died, of the one that takes its place."""
        try:
            answer = worker.answer(self.env_timeout)
            if isinstance(answer, dict):
                self.count(int(answer.get(RESTARTED, NONE).sum()), "its environments failed too often")
        except DeadError as error:
            first = self.replace(i, self.blame(i, str(error)))
            part = self.parts[i]
            return {
                **(first if isinstance(first, dict) else {}),
                RESTARTED: np.ones(part.stop - part.start, dtype=bool),
            }
        return answer

    def blame(self, i: int, cause: str) -> str:
        """Which environment a process had been stepping."""
        part = self.parts[i]
        open_rewards = np.flatnonzero(np.isnan(self.reward[part]))
        name = part.start + int(open_rewards[0]) if len(open_rewards) else part.start
        return f"environment {name} of {describe(self)}: its process {cause} in step {self.rows_stepped}"

    def count(self, restarts: int, failure: str) -> None:
        """Count restarts; raise where there were too many."""
        self.restarts += restarts
        if self.restarts > self.max_restarts:
            used = f"; {self.max_restarts} restarts were tried" if self.max_restarts else ""
            raise EnvWorkerError(failure + used)

    def replace(self, i: int, failure: str) -> object:
        """A new process for the environments of one that died; what it answers to their reset."""
        dead, part = self.workers[i], self.parts[i]
        dead.end(0.0)
        self.count(1, failure)
        warnings.warn(f"{failure}; it is made anew, restart {self.restarts} of {self.max_restarts}", stacklevel=2)
        worker = self.workers[i] = Worker(dead.task, self.memory)
        try:
            worker.answer(self.env_timeout and max(self.env_timeout, PATIENCE))
            worker.say(self.layout)
            if self.actions is not None:
                worker.say(("expect", self.actions.dtype, self.actions.shape[1:]))
                worker.answer(PATIENCE)
            if self.infos_wanted:
                worker.say(("pass_infos", True))
                worker.answer(PATIENCE)
            worker.say(("reset", [anew(seed, self.rows_stepped) for seed in self.seeds[part]], None))
            answer = worker.answer(self.env_timeout)
        except DeadError as error:
            raise EnvWorkerError(f"{failure}; the process made anew {error}") from error
        self.reward[part], self.terminated[part], self.truncated[part] = 0.0, False, False
        return answer

    def hand_out(self, actions: Tree) -> None:
        """Let every worker begin its step, with arrays through the memory and all else as objects."""
        if not isinstance(actions, np.ndarray) or actions[:1].nbytes > self.room.shape[1]:
            for part, worker in zip(self.parts, self.workers, strict=True):
                worker.say(("step", rows_of(actions, part)))
            return
        if self.actions is None or (self.actions.dtype, self.actions.shape) != (actions.dtype, actions.shape):
            self.actions = view(self.room, actions.dtype, actions.shape[1:])
            self.ask("expect", [(actions.dtype, actions.shape[1:])] * len(self.workers))
        self.actions[...] = actions
        for worker in self.workers:
            worker.say(STEP)

    def ask(self, what: str, arguments: Sequence[tuple]) -> list[object]:
        """Have every worker do something apart from stepping; their answers."""
        self.check_open()
        try:
            messages = [packed((what, *own)) for own in arguments]
        except Exception as error:
            raise ConfigError(f"what {what} is given cannot be sent to other processes: {error!r}") from error
        for worker, message in zip(self.workers, messages, strict=True):
            worker.say(message)
        hear, answers = Worker.heard if what in QUESTIONS else Worker.answer, []
        try:
            for worker in self.workers:
                answers.append(hear(worker, self.env_timeout))  # noqa: PERF401 (how many there are tells who failed)
        except BaseException as error:
            blamed = self.blame(len(answers), str(error))
            self.close()
            if isinstance(error, DeadError):
                raise EnvWorkerError(f"{blamed}, asked to {what}") from error
            raise
        for mistake in answers:
            if isinstance(mistake, Exception):
                raise mistake
        return answers

    def check_open(self) -> None:
        """Raise ``EnvWorkerError`` where there are no processes any more: nothing would be stepped."""
        if self.closed:
            raise EnvWorkerError(
                f"these environments of {describe(self)} are closed, and their processes ended, as by train at its end "
                "or by a failure before, or belong to the process that this one was forked from: make others"
            )

    def pass_infos(self, wanted: bool = True) -> None:
        """As ``Serial``'s; infos come from other processes as copies."""
        self.infos_wanted = wanted
        self.ask("pass_infos", [(wanted,)] * len(self.workers))

    def get_states(self) -> list[EnvironmentState] | None:
        """The states of all environments, as ``Serial``'s; None if one is opaque."""
        answers = self.ask("get_states", [()] * len(self.workers))
        return None if DONE in answers else [state for part in answers if isinstance(part, list) for state in part]

    def set_states(self, states: list[EnvironmentState]) -> None:
        """The inverse of ``get_states``."""
        self.ask("set_states", [(states[part],) for part in self.parts])

    def call(self, name: str, *args: object, **kwargs: object) -> tuple[object, ...]:
        """As ``Serial``'s; what it gives comes from another process, as a copy."""
        answers = self.ask("call", [(name, args, kwargs)] * len(self.workers))
        return tuple(x for part in answers if isinstance(part, tuple) for x in part)

    def get_attr(self, name: str) -> tuple[object, ...]:
        """As ``Serial``'s, copies."""
        answers = self.ask("get_attr", [(name,)] * len(self.workers))
        return tuple(x for part in answers if isinstance(part, tuple) for x in part)

    def set_attr(self, name: str, values: object) -> None:
        """As ``Serial``'s."""
        given = one_each(values, self.num_envs)
        self.ask("set_attr", [(name, list(given[part])) for part in self.parts])

    def close_extras(self, **kwargs: object) -> None:
        deadline = time.monotonic() + GRACE
        for worker in self.workers:
            with suppress(OSError):
                worker.channel.close()  # which ends what it does, unless that hangs
        for worker in self.workers:
            worker.end(deadline - time.monotonic())
        self.workers = []
        os.close(self.memory)

    def leave(self) -> None:
        """In a forked process: its copies of what tells the workers that the trainer lives are closed."""
        self.closed = True
        for worker in self.workers:
            worker.channel.close()
            os.close(worker.held)
        self.workers = []


def rows_of(actions: Tree, part: slice) -> Tree:
    """Some environments' part of a tree of ``[N, …]`` arrays."""
    if isinstance(actions, dict):
        return {key: rows_of(branch, part) for key, branch in actions.items()}
    return tuple(rows_of(branch, part) for branch in actions) if isinstance(actions, tuple) else actions[part]


def merged(info: Info, own: Info, part: slice, n: int) -> Info:
    """``info`` with one worker's arrays and lists, of which others may have none."""
    info = {**info}
    for key, values in own.items():
        if key not in info:
            array = isinstance(values, np.ndarray)
            info[key] = np.zeros((n, *values.shape[1:]), values.dtype) if array else [None] * n
        info[key][part] = values
    return info
