"""Where several names of ``parts.entropy`` fit a part of an action, the longest counts, in whatever order they are."""

import itertools
from typing import Any

import pytest
from wiring.rig import hybrid_policy, recorded

from clipper import PPO
from clipper.data.trees import leaves, names
from clipper.learning.action_parts import Joint
from clipper.learning.minibatches import minibatches

COEFS = {"go": 0.3, "go.how": 0.7, "force": 0.1}


@pytest.mark.parametrize("order", list(itertools.permutations(COEFS)), ids=", ".join)
def test_the_longest_name_counts(order: tuple[str, ...]) -> None:
    """The bonus, part by part: what the loss has less than without any."""
    policy = hybrid_policy()
    algorithm = PPO(parts=Joint(tuple((name, COEFS[name]) for name in order)))
    learner = algorithm.init(policy)
    steps, last = recorded(policy, seed=0)
    batch = next(minibatches(algorithm.targets(learner, steps, last), 1, 1, learner.generator))
    bonus = PPO().loss(learner, batch)[0] - algorithm.loss(learner, batch)[0]
    dist: Any = policy.act(batch.steps.obs)[0]
    entropies = dist.entropies()
    parts = {name: float(x.detach().mean()) for name, x in zip(names(entropies), leaves(entropies), strict=True)}
    assert set(parts) == {"go.how", "go.where", "force"}
    expected = 0.7 * parts["go.how"] + 0.3 * parts["go.where"] + 0.1 * parts["force"]
    assert float(bonus.detach()) == pytest.approx(expected, rel=1e-4, abs=1e-5)
