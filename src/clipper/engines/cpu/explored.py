"""The compiled engine of an algorithm that explores: kernels act and take the held one's steps, torch the bonus's."""

from clipper.algorithms.exploring import Exploring
from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.engines.cpu.engine import CPU
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.two_steps import Again


class OnKernels:
    """The two steps of an algorithm, by an engine."""

    def __init__(self, engine: CPU) -> None:
        self.engine = engine

    def targets(self, learner: Learner, steps: Steps, last_obs: Tree, again: bool = False) -> Targets:
        """As the algorithm's, advantages in their own units."""
        return self.engine.targets(steps, last_obs, checked=True, again=again)

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        """As the algorithm's."""
        return self.engine.take_steps(targets, again)


class ExploringCPU(CPU):
    """Collects and updates with compiled kernels, but for the bonus."""

    def __init__(self, learner: Learner, algorithm: Exploring, threads: int = 1) -> None:
        super().__init__(learner, algorithm.algorithm, threads)
        self.exploring, self.held = algorithm, OnKernels(self)
        self.description = "cpu (compiled kernels; the bonus by torch)"

    def update(self, steps: Steps, last_obs: Tree) -> Metrics:
        """As ``Exploring.update``."""
        self.decisions(steps, last_obs)  # which the kernels can read
        return self.exploring.update(self.learner, steps, last_obs, self.held)
