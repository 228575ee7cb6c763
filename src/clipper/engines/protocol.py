"""What the training loop asks of an engine."""

from typing import Literal, Protocol, runtime_checkable

from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.learning.metrics import Metrics
from clipper.networks.protocol import Actor


class UnsuitableError(Exception):
    """An engine cannot run this; says why."""


class LargeError(UnsuitableError):
    """It would gain little there: the networks are large."""


@runtime_checkable
class Engine(Protocol):
    """Computes for one learner and algorithm: the same mathematics as the definition, to float32's rounding."""

    @property
    def name(self) -> Literal["torch", "cpu", "compile"]:
        """As ``Config.engine`` has it."""
        ...

    @property
    def description(self) -> str:
        """For people: the name, and why it is not a faster one."""
        ...

    @property
    def actor(self) -> Actor:
        """Who acts in the rollouts: the learner's policy, or what acts faster in its place."""
        ...

    def update(self, steps: Steps, last_obs: Tree, /) -> Metrics:
        """As ``algorithm.update`` with the learner."""
        ...
