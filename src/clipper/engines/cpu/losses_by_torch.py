"""The compiled engine where kernels do not know a loss: they act and compute layers, the definition does the rest."""

from contextlib import nullcontext
from typing import Any, Literal

from clipper.algorithms import NPG, ON_POLICY, TRPO, Algorithm
from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.engines.cpu.machine import Machine
from clipper.engines.cpu.told_layers import ToldPolicy
from clipper.engines.eager import update_of
from clipper.engines.protocol import UnsuitableError
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics

COST = "about 5 times as long as by kernels"
"""Of whole iterations of CartPole with two 64-64 networks and PPO's settings; larger networks cost less."""
TWICE = (TRPO, NPG)
"""Those that differentiate twice, which layers' outputs are not made for."""


class LossesByTorch(Machine):
    """Collects with compiled kernels, and updates as the algorithm says, on layers that kernels compute.

    An algorithm of the user's own, which may do anything with its policy, updates that as the definition would, and so
    does any where the policy has a memory.
    """

    name: Literal["cpu"] = "cpu"

    def __init__(self, learner: Learner, algorithm: Algorithm, reason: str, threads: int = 1) -> None:
        if learner.behaviour is not learner.policy:
            raise UnsuitableError(f"{reason}, and who acts is not the policy")
        own = type(algorithm) not in ON_POLICY or type(algorithm) in TWICE or learner.policy.memory is not None
        if own and threads > 1:
            raise UnsuitableError(f"{reason}, and torch computes its updates with {threads} threads")
        super().__init__(learner, threads)
        self.algorithm: Any = algorithm
        self.told = None
        if not own:
            self.told = ToldPolicy(
                learner.policy, self.kernels, self.net.value, self.works[0], self.network, learner.policy_parameters
            )
        does = "updates" if own else "losses"
        self.description = f"cpu (compiled kernels; {does} by torch, {COST}: {reason})"
        self.update_of_definition = update_of(algorithm, learner)

    def update(self, steps: Steps, last_obs: Tree) -> Metrics:
        """As ``algorithm.update``."""
        if self.told is None:
            return self.update_of_definition(steps, last_obs)
        self.decisions(steps, last_obs)  # which the kernels can read
        with self.on_kernels():
            return self.update_of_definition(steps, last_obs)

    def targets(self, steps: Steps, last_obs: Tree) -> Targets:
        """As ``algorithm.targets``."""
        with self.on_kernels():
            return self.algorithm.targets(self.learner, steps, last_obs)

    def improve(self, targets: Targets) -> Metrics:
        """As ``algorithm.improve``."""
        with self.on_kernels():
            return self.algorithm.improve(self.learner, targets)

    def on_kernels(self) -> Any:
        """The learner's policy computes with kernels as long as this lasts."""
        if self.told is None:
            return nullcontext()
        self.look()
        return self.told.in_place()
