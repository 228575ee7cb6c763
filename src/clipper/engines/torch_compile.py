"""The definition with its loss compiled by ``torch.compile``: for policies that the kernels do not know.

It needs a C++ compiler on the machine, and some seconds when the first updates meet new sizes.
"""

import getpass
import os
import re
import shutil
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import torch

from clipper.algorithms import Algorithm
from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.engines.eager import Torch
from clipper.engines.protocol import UnsuitableError
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics

COMPILERS = ("g++", "clang++", "c++", "cl")


class Compiled(Torch):
    """The policy acts; ``update``'s loss is one compiled graph where torch can make one of it."""

    name: Literal["torch", "compile"] = "compile"

    def __init__(self, learner: Learner, algorithm: Algorithm) -> None:
        if not any(map(shutil.which, (os.environ.get("CXX", COMPILERS[0]), *COMPILERS))):
            raise UnsuitableError("torch.compile needs a C++ compiler (g++, clang++ or cl), and there is none")
        if getattr(learner.policy, "memory", None) is not None:
            raise UnsuitableError("the policy has a memory, whose episodes' pieces have ever new sizes")
        if (path := cut_path()) is not None:
            raise UnsuitableError(
                f"torch.compile takes no path with a space or a quotation mark in it, as {path} has: move it"
            )
        super().__init__(learner, algorithm)
        self.description = "compile (torch.compile)"
        self.numbers: list[Now] = []
        """Of the schedules that the loss reads."""
        self.faster = with_compiled_loss(algorithm, self.numbers)
        self.update = self.compiled_update

    def compiled_update(self, steps: Steps, last_obs: Tree) -> Metrics:
        """``algorithm.update`` with the compiled loss."""
        if not self.learner.world.agree(steps.mask.any()):
            return self.learner.pass_over(steps)
        for number in self.numbers:
            number.follow(self.learner.progress)
        return self.faster.update(self.learner, steps, last_obs)


def cut_path() -> str | None:
    """The first path that torch would cut into pieces, or None.

    It writes the compiler's command as one line, in which neither its cache nor the folders of libraries stand in
    quotation marks, and splits that line as a shell would (torch 2.13; pytorch/pytorch#191010).
    """
    try:
        user = getpass.getuser()
    except (KeyError, ImportError, OSError):  # a process whose user has no name
        user = ""
    cache = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    # What it compiles of its own headers lies in the folder for temporary files even where the cache is elsewhere.
    paths = [os.path.abspath(cache) if cache else "", os.path.join(tempfile.gettempdir(), user)]
    if os.name != "nt":  # there these have their quotation marks
        paths += [str(Path(torch.__file__).parent), sysconfig.get_config_var("LIBDIR") or ""]
    return next((path for path in paths if re.search(r"[\s'\"]", path)), None)


def with_compiled_loss(algorithm: Algorithm, numbers: list["Now"]) -> Algorithm:
    """The same algorithm, whose ``loss`` is compiled; what has to follow the run's progress is put into ``numbers``."""
    kind: Any = type(algorithm)
    if not hasattr(kind, "loss"):
        raise UnsuitableError(f"{kind.__name__} has no loss to compile")
    made = type(kind.__name__, (kind,), {"loss": torch.compile(kind.loss), "__slots__": ()})
    faster = object.__new__(made)
    for field in fields(algorithm):  # pyright: ignore[reportArgumentType] (every algorithm is a dataclass)
        value = getattr(algorithm, field.name)
        if field.name in ("objective", "value_loss"):
            value = Plain(value)
        elif field.name in ("clip", "entropy_coef"):
            value = now(value, numbers)
        elif field.name == "parts":
            value = type(value)(tuple((name, now(schedule, numbers)) for name, schedule in value.entropy))
        object.__setattr__(faster, field.name, value)
    return faster


def now(schedule: Any, numbers: list["Now"]) -> Any:
    """The schedule as a graph can read it, where it is one."""
    if not callable(schedule):
        return schedule
    numbers.append(Now(schedule))
    return numbers[-1]


class Now:
    """A schedule's number of this update, as a tensor: for a number of Python's torch would compile a graph of its own.

    (torch 2.13 even fails at a second one where it is computed from the progress within the graph.)
    """

    def __init__(self, schedule: Callable[..., Any]) -> None:
        self.schedule, self.number = schedule, torch.zeros((), dtype=torch.float64)

    def follow(self, progress: float) -> None:
        """Take the number at ``progress``."""
        self.number.fill_(self.schedule(progress))

    def __call__(self, progress: float) -> torch.Tensor:
        """As the schedule."""
        return self.number


class Plain:
    """An objective or a value loss whose call is an ordinary one: torch's tracer enters no frozen dataclass's."""

    def __init__(self, value: Any) -> None:
        self.call: Callable[..., Any] = value.__call__
        self.needs_kl: bool = getattr(value, "needs_kl", False)

    def __call__(self, *arguments: Any) -> Any:
        """As the value."""
        return self.call(*arguments)
