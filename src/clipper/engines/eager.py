"""The definition as an engine: eager torch."""

from typing import Literal

import torch
from gymnasium.vector import VectorEnv

from clipper.algorithms import Algorithm
from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.engines.freed_memory import keep_freed_memory
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.rollout.collect import collect
from clipper.rollout.state import CollectState


class Torch:
    """Calls ``collect`` and ``algorithm.update``."""

    name: Literal["torch", "compile"] = "torch"

    def __init__(self, learner: Learner, algorithm: Algorithm, reason: str = "") -> None:
        self.learner, self.algorithm = learner, algorithm
        if learner.parameters.device.type == "cpu":
            keep_freed_memory()
        self.description = f"torch ({reason})" if reason else "torch"

    def collect(self, env: VectorEnv, state: CollectState, **quota: int) -> tuple[Steps, CollectState]:
        # Weights that an encoder's own autocast converts stay converted within an outer one: here, for the segment.
        with torch.autocast(self.learner.parameters.device.type, enabled=False):
            return collect(env, self.learner.policy, state, **quota)

    def update(self, steps: Steps, last_obs: Tree) -> Metrics:
        if not self.learner.world.agree(steps.mask.any()):
            return self.learner.pass_over(steps)  # here, too, for algorithms that do not look
        return self.algorithm.update(self.learner, steps, last_obs)
