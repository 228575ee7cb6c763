"""What the user hears of a run while it trains: callbacks after each iteration, and after each step where they ask."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from clipper.data.values import shown
from clipper.environments.checks import Answer
from clipper.environments.told_episodes import Info
from clipper.environments.vector.infos import ask_for_infos, info_of_each
from clipper.errors import ConfigError
from clipper.ranks.gathered_rollouts import GatheredRollouts
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.runs.hearing import check_hears
from clipper.runs.run import Run


@runtime_checkable
class IterationCallback(Protocol):
    """Called after each iteration; a run stops where one returns False, and is saved also where one raises.

    ``run.history`` then holds the rows that there are: the last one is this iteration's, but with ``log_every`` the
    iterations since the last row are in none yet, and before the first row there is none.
    """

    def __call__(self, run: Run, /) -> object:
        """Hear of an iteration."""
        ...


@runtime_checkable
class StepCallback(Protocol):
    """Called after each step of the environments; a run stops, at its iteration's end, where one returns False.

    An iteration's callback may have this method, too.
    """

    def on_step(self, run: Run, infos: list[Info], /) -> object:
        """Hear of a step: each environment's ``info``, ``{}`` where it took no decision but was only reset."""
        ...


Callback: TypeAlias = IterationCallback | StepCallback


def says_stop(answer: object) -> bool:
    """Is a callback's answer False, Python's own or one that a comparison of numpy's or torch's numbers gives?"""
    try:
        array = np.asarray(answer.detach().cpu() if isinstance(answer, torch.Tensor) else answer)
    except Exception:  # what cannot be an array is no truth value
        return False
    return array.dtype == bool and array.size == 1 and not array.item()


def hearing(one: Callback) -> Iterator[tuple[Callable[..., object], tuple[str, ...]]]:
    """What of a callback is called, and with what."""
    if isinstance(one, IterationCallback):
        yield one, ("run",)
    if isinstance(one, StepCallback):
        yield one.on_step, ("run", "infos")


class Callbacks:
    """All that a run was given."""

    def __init__(self, given: Callback | Sequence[Callback]) -> None:
        self.all = list(given) if isinstance(given, Sequence) else [given]
        for one in self.all:
            if isinstance(one, type) or not (callable(one) or hasattr(one, "on_step")):
                raise ConfigError(
                    f"{shown(one)} is no callback: give a function of the run, or an object that has "
                    "on_step(run, infos)"
                )
            for heard, given_to in hearing(one):
                check_hears(heard, given_to)
        self.of_iterations = [one for one in self.all if isinstance(one, IterationCallback)]
        self.of_steps = [one for one in self.all if isinstance(one, StepCallback)]
        self.going = True
        """Has none of a step said stop?"""

    @contextmanager
    def hearing_steps(self, run: Run) -> Iterator[None]:
        """Meanwhile those that ask for it hear of each step of the run's environments."""
        if not self.of_steps:
            yield
            return
        rollouts = run.rollouts.own if isinstance(run.rollouts, GatheredRollouts) else run.rollouts
        if not isinstance(rollouts, VectorRollouts):
            raise ConfigError(
                f"on_step of a callback hears of steps of a vector environment, and {type(rollouts).__name__} steps "
                "none: leave it out"
            )

        def hear(t: int, answer: Answer) -> Answer:
            infos = info_of_each(answer[-1], rollouts.num_envs)
            idle = rollouts.left < 1
            if rollouts.mode is AutoresetMode.NEXT_STEP:
                idle = idle | rollouts.done
            for i in np.flatnonzero(idle).tolist():
                infos[i] = {}
            for one in self.of_steps:
                said = one.on_step(run, infos)
                self.going = self.going and not says_stop(said)
            return answer

        before, rollouts.first, rollouts.actor = rollouts.first, [*rollouts.first, hear], None
        ask_for_infos(rollouts.env)
        try:
            yield
        finally:
            rollouts.first, rollouts.actor = before, None
            if not rollouts.env.closed:
                ask_for_infos(rollouts.env, wanted=False)
