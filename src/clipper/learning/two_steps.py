"""An update in two steps: what was collected is made into targets, and the learner is improved towards them."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeAlias, runtime_checkable

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.of_agents import LearnerOfAgents, learn_apart

Again: TypeAlias = Callable[[], Targets] | None
"""What makes the targets anew with the learner as it is then; None where they stay as they are."""


@runtime_checkable
class TwoSteps(Protocol):
    """What ``targets_then_improve`` asks of an algorithm."""

    targets: Any
    """A call with (learner, steps, last_obs) that gives ``Targets``; with ``again=True`` too, where ``improve`` asks
    for them a second time: what they change in the learner has been changed already."""

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        """Take the update's steps, with nothing before its eyes but the learner and the targets; what to watch."""
        ...


def targets_then_improve(algorithm: TwoSteps, learner: Learner, steps: Steps, last_obs: Tree) -> Metrics:
    """Both steps; nothing is learned from a segment without a decision. Agents that share no parameters learn apart."""
    if isinstance(learner, LearnerOfAgents):
        return learn_apart(learner, steps, last_obs, partial(targets_then_improve, algorithm))
    if not learner.world.agree(steps.mask.any()):
        return learner.pass_over(steps)
    targets = algorithm.targets(learner, steps, last_obs)
    return algorithm.improve(learner, targets, lambda: algorithm.targets(learner, steps, last_obs, again=True))
