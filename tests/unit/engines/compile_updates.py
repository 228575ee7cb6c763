"""Five updates of an algorithm by the definition and by ``Compiled``; prints by how much they differ, as JSON.

A program of its own: torch's tracer cannot look through the checks of arguments that the tests put around everything.
"""

import json
import sys
from typing import Any

import torch

import clipper
from clipper.algorithms import quota_of
from clipper.engines.eager import Torch
from clipper.engines.torch_compile import Compiled
from clipper.learning.kl import KLStop
from clipper.learning.metrics import Metrics

ALGORITHMS: dict[str, tuple[str, Any]] = {
    "ppo": (
        "Pendulum-v1",
        clipper.PPO(
            horizon=32,
            epochs=2,
            minibatches=2,
            clip=clipper.schedules.Linear(0.2, 0.1),
            stop=KLStop(0.05),
            entropy_coef=clipper.schedules.Linear(0.01),
        ),
    ),
    "asymmetric": (
        "CartPole-v1",
        clipper.PPO(horizon=32, epochs=1, clip=(0.1, 0.3), value_loss=clipper.value_losses.Huber(0.5)),
    ),
    "a2c": ("CartPole-v1", clipper.A2C(horizon=32)),
}


def updated(env: str, algorithm: Any, compiled: bool) -> tuple[torch.Tensor, Metrics]:
    """Parameters after five updates at moments of a run, and the last one's metrics."""
    vector = clipper.make_env(env, 4)
    spaces = vector.single_observation_space, vector.single_action_space
    policy = clipper.make_policy(*spaces, clipper.PolicyOptions(hidden=(16,)), torch.Generator().manual_seed(1))
    learner = algorithm.init(policy, seed=2)
    engine = (Compiled if compiled else Torch)(learner, algorithm)
    state = clipper.VectorRollouts(vector, 3)
    metrics: Metrics = {}
    for update in range(5):
        learner.advance(update / 5)
        steps, _ = state.collect(engine.actor, **quota_of(algorithm))
        metrics = engine.update(steps, state.obs)
    return learner.parameters.detach(), metrics


def main() -> None:
    """Compare."""
    env, algorithm = ALGORITHMS[sys.argv[1]]
    (definition, watched), (parameters, found) = (updated(env, algorithm, compiled) for compiled in (False, True))
    difference = float((parameters - definition).norm() / definition.norm())
    metrics = {name: (float(x), float(found[name])) for name, x in watched.items()}
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    print(json.dumps({"parameters": difference, "metrics": metrics, "graphs": graphs}))


if __name__ == "__main__":
    main()
