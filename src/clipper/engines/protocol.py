"""What the training loop asks of an engine."""

from typing import Literal, Protocol, runtime_checkable

from gymnasium.vector import VectorEnv

from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.learning.metrics import Metrics
from clipper.rollout.state import CollectState


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

    def collect(self, env: VectorEnv, state: CollectState, **quota: int) -> tuple[Steps, CollectState]:
        """As ``clipper.rollout.collect.collect`` with the learner's policy."""
        ...

    def update(self, steps: Steps, last_obs: Tree) -> Metrics:
        """As ``algorithm.update`` with the learner."""
        ...
