"""Every algorithm at once, found by introspection, and short updates of each on one recorded batch."""

import dataclasses
from importlib.util import find_spec
from typing import Any, Literal

import torch
from batches import OBSERVATIONS, make_steps, small_policy
from gymnasium.spaces import Box, Dict, Discrete
from torch import Generator, Tensor

from clipper import algorithms
from clipper.data.steps import Steps
from clipper.engines import Engine
from clipper.engines.choose import unknown
from clipper.engines.eager import Torch
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions

EngineName = Literal["torch", "cpu"]
ALGORITHMS: tuple[type, ...] = algorithms.ON_POLICY
SHORT: dict[str, Any] = {
    "epochs": 2, "minibatches": 2, "value_epochs": 2, "value_minibatches": 2, "max_steps": 3, "stop": None,
    "sigma": float("inf"), "learning_rate": 0.02, "value_learning_rate": 0.02,
}  # fmt: skip
"""Settings of a short update in which nothing ends early, for the algorithms that have these fields."""
ROWS, ENVS = 17, 3
HYBRID = Dict(go=Dict(how=Discrete(2), where=Discrete(3)), force=Box(-1, 1, (2,)))


def names_of(kind: type) -> list[str]:
    """The fields of an algorithm."""
    return [field.name for field in dataclasses.fields(kind)]


def short(kind: type, **fields: Any) -> Any:
    """An algorithm whose updates are short, with these ``fields``."""
    return kind(**{name: value for name, value in SHORT.items() if name in names_of(kind)} | fields)


def engines_of(kind: type) -> list[EngineName]:
    """The engines that compute all of an algorithm, whatever its fields."""
    known = not unknown(kind()) and find_spec("numba") is not None
    return ["torch", "cpu"] if known else ["torch"]


def engine_for(name: EngineName, learner: Learner, algorithm: Any) -> Engine:
    """That engine and no other: where it cannot, it raises."""
    if name == "torch":
        return Torch(learner, algorithm)
    from clipper.engines.cpu.engine import CPU
    from clipper.engines.cpu.losses_by_torch import LossesByTorch

    reason = unknown(algorithm)
    return LossesByTorch(learner, algorithm, reason) if reason else CPU(learner, algorithm)


def hybrid_policy() -> ActorCritic:
    """A policy whose action has parts, some of them below others."""
    return make_policy(OBSERVATIONS, HYBRID, PolicyOptions(hidden=(5,)), Generator().manual_seed(0))


def recorded(policy: ActorCritic, seed: int) -> tuple[Steps, Tensor]:
    """Steps of the policy itself, with the log-probabilities of an action's parts where it has some; ``last_obs``."""
    steps, last = make_steps(policy, ROWS, ENVS, seed)
    if isinstance(steps.action, dict):
        with torch.no_grad():
            dist: Any = policy.act(steps.obs)[0]
            steps = steps._replace(log_probs=dist.log_probs(steps.action))
    return steps, last


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a few updates leave behind."""

    learner: Learner
    parameters: Tensor
    metrics: list[Metrics]
    decisions: list[int]
    """How many each batch held."""


def trained(
    algorithm: Any, engine: EngineName = "torch", *, policy: ActorCritic | None = None, options: Any = None,
    progress: float = 0.0, updates: int = 2, reward: float = 1.0,
) -> Trained:  # fmt: skip
    """``updates`` on batches of noise whose rewards have that deviation, at one moment of the run."""
    policy = small_policy("gaussian", options) if policy is None else policy
    learner = algorithm.init(policy, seed=3)
    worker = engine_for(engine, learner, algorithm)
    learner.advance(progress)
    metrics, decisions = [], []
    for update in range(updates):
        steps, last = recorded(policy, seed=update)
        metrics.append(worker.update(steps._replace(reward=reward * steps.reward), last))
        decisions.append(int(steps.mask.sum()))
    assert int(learner.skipped) == 0
    return Trained(learner, learner.parameters.detach().clone(), metrics, decisions)


def same(a: Trained, b: Trained) -> bool:
    """Are parameters and metrics equal, bit for bit?"""
    return torch.equal(a.parameters, b.parameters) and all(
        ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
        for ours, theirs in zip(a.metrics, b.metrics, strict=True)
    )


def apart(a: Trained, b: Trained) -> float:
    """The largest difference of a parameter."""
    return float((a.parameters - b.parameters).abs().max())
