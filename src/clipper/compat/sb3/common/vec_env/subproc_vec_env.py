"""Environments in processes of their own, one each."""

import multiprocessing
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

import numpy as np

from clipper.compat.sb3.common.vec_env.base_vec_env import (
    CloudpickleWrapper,
    Factory,
    VecEnv,
    VecEnvIndices,
    VecEnvStepReturn,
    checked,
)
from clipper.compat.vector_worker import serve, stack
from clipper.data.tree_type import Tree


class SubprocVecEnv(VecEnv):
    """One process for each; ``start_method`` is multiprocessing's, forkserver where there is one, otherwise spawn.

    With both the program's main part has to stand under ``if __name__ == "__main__":``.
    """

    def __init__(self, env_fns: Sequence[Factory], start_method: str | None = None) -> None:
        env_fns = checked(env_fns, "SubprocVecEnv")
        n = len(env_fns)
        self.owing: set[Connection] = set()
        """The pipes of those whose answer is still to come."""
        if start_method is None:
            start_method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        context = multiprocessing.get_context(start_method)
        pipes = [context.Pipe() for _ in range(n)]
        self.remotes: list[Connection] = [ours for ours, _ in pipes]
        self.work_remotes = [theirs for _, theirs in pipes]
        self.processes = []
        try:
            for ours, theirs, make in zip(self.remotes, self.work_remotes, env_fns, strict=True):
                given = theirs, ours, CloudpickleWrapper(make)
                process = context.Process(target=serve, args=given, daemon=True)  # pyright: ignore[reportAttributeAccessIssue]
                process.start()
                self.processes.append(process)
                theirs.close()
            observation_space, action_space = self.ask(self.remotes[:1], "spaces")[0]
        except BaseException:
            self.end()
            raise
        super().__init__(n, observation_space, action_space)

    @property
    def waiting(self) -> bool:
        """Is an answer still to come?"""
        return bool(self.owing)

    def send(self, remote: Connection, command: str, *what: object) -> None:
        """Ask one of them; raises ``BrokenPipeError`` if its process has ended."""
        try:
            remote.send((command, what))
        except OSError as error:
            raise BrokenPipeError(self.ended(remote)) from error
        self.owing.add(remote)

    def receive(self, remote: Connection) -> tuple[bool, Tree]:
        """Whether it went well, and the answer or the error."""
        try:
            return remote.recv()
        except (EOFError, ConnectionError):
            return False, EOFError(self.ended(remote))
        finally:
            self.owing.discard(remote)

    def ended(self, remote: Connection) -> str:
        """What is said of a process that has ended."""
        i = self.remotes.index(remote)
        self.processes[i].join(1)
        return f"the process of environment {i} has ended, with exit code {self.processes[i].exitcode}"

    def ask(self, remotes: Sequence[Connection], command: str, *what: object) -> list[Tree]:
        """Send all the same, and wait for their answers; an error in one of them is raised here."""
        for remote in remotes:
            self.send(remote, command, *what)
        return self.answers(remotes)

    def answers(self, remotes: Sequence[Connection]) -> list[Tree]:
        """What they sent back."""
        found = [self.receive(remote) for remote in remotes]
        for fine, answer in found:
            if not fine:
                raise answer
        return [answer for _, answer in found]

    def chosen(self, indices: VecEnvIndices) -> list[Connection]:
        """The pipes to some of them."""
        return [self.remotes[i] for i in self._get_indices(indices)]

    _get_target_remotes = chosen

    def step_async(self, actions: Tree) -> None:
        for remote, action in zip(self.remotes, actions, strict=True):
            self.send(remote, "step", action)

    def step_wait(self) -> VecEnvStepReturn:
        found = self.answers(self.remotes)
        rows, rewards, dones, infos, self.reset_infos = map(list, zip(*found, strict=True))
        return stack(self.observation_space, rows), np.stack(rewards), np.stack(dones), infos

    def reset(self) -> Tree:
        for i, remote in enumerate(self.remotes):
            self.send(remote, "reset", self._seeds[i], self._options[i])
        rows, self.reset_infos = map(list, zip(*self.answers(self.remotes), strict=True))
        self._reset_seeds()
        self._reset_options()
        return stack(self.observation_space, rows)

    def close(self) -> None:
        if not self.closed:
            self.end()
            self.closed = True

    def end(self) -> None:
        """End the processes, whatever state they are in."""
        for remote in [one for one in self.remotes if one in self.owing]:
            self.receive(remote)  # a worker whose answer nobody takes could wait in it for ever
        for remote in self.remotes:
            with suppress(OSError):  # it has ended
                remote.send(("close", ()))
        for process in self.processes:
            process.join()
        for remote in self.remotes:
            remote.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Tree]:
        return self.ask(self.chosen(indices), "get_attr", attr_name)

    def set_attr(self, attr_name: str, value: object, indices: VecEnvIndices = None) -> None:
        self.ask(self.chosen(indices), "set_attr", attr_name, value)

    def env_method(
        self, method_name: str, *method_args: object, indices: VecEnvIndices = None, **method_kwargs: object
    ) -> list[Tree]:
        return self.ask(self.chosen(indices), "env_method", method_name, method_args, method_kwargs)

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        return self.ask(self.chosen(indices), "is_wrapped", CloudpickleWrapper(wrapper_class))
