"""The definition as an engine: eager torch."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from clipper.algorithms import KNOWN, Algorithm
from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.engines.freed_memory import keep_freed_memory
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics


class Torch:
    """The policy acts, and ``algorithm.update`` learns."""

    name: Literal["torch", "compile"] = "torch"

    def __init__(self, learner: Learner, algorithm: Algorithm, reason: str = "") -> None:
        self.learner, self.algorithm, self.actor = learner, algorithm, learner.behaviour
        if learner.parameters.device.type == "cpu":
            keep_freed_memory()
        self.description = f"torch ({reason})" if reason else "torch"
        self.update = update_of(algorithm, learner)


def update_of(algorithm: Algorithm, learner: Learner) -> Callable[[Steps, Tree], Metrics]:
    """The algorithm's ``update`` of this learner; segments without a decision reach none of the user's own."""
    update = partial(algorithm.update, learner)
    if type(algorithm) in KNOWN:
        return update

    def of_some(steps: Steps, last_obs: Tree) -> Metrics:
        return update(steps, last_obs) if learner.world.agree(steps.mask.any()) else learner.pass_over(steps)

    return of_some
