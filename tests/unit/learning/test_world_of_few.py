"""Two who share a batch take the same steps, however few decisions one of them has."""

import copy
import threading
from typing import Any

import pytest
import torch
from batches import make_steps, small_policy
from test_world import Half, Two, columns, in_threads

import clipper
from clipper.learning.value_losses import Huber
from clipper.ranks.shared_batch import share_batches

ALGORITHMS: dict[str, Any] = {
    "PPO": lambda count: clipper.PPO(minibatches=count, epochs=2, learning_rate=0.01),
    "Huber": lambda count: clipper.PPO(minibatches=count, epochs=2, value_loss=Huber(1.0)),
    "PPOPenalty": lambda count: clipper.PPOPenalty(minibatches=count, epochs=2),
    "PPOSeparate": lambda count: clipper.PPOSeparate(minibatches=count, epochs=2, value_epochs=2),
}


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("decisions", [0, 1, 2])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_one_with_few_decisions_waits_for_nobody(name: str, decisions: int, count: int) -> None:
    algorithm, options = ALGORITHMS[name](count), clipper.PolicyOptions(hidden=(5,))
    first = small_policy("categorical", options).double()
    steps, last = make_steps(first, rows=40, envs=4, seed=0)
    mask = steps.mask.clone()
    mask[:, :2] = False
    mask[0, 0], mask[1, 0] = decisions > 0, decisions > 1
    steps = steps._replace(mask=mask, done=steps.done & mask, terminated=steps.terminated & mask)
    two, ends = Two(), [torch.zeros(0), torch.zeros(0)]
    two.barrier = threading.Barrier(2, timeout=20)

    def learn(who: int) -> None:
        learner = algorithm.init(copy.deepcopy(first), seed=1)
        share_batches(learner, Half(two, who))
        try:
            algorithm.update(learner, columns(steps, who), columns(last[None], who)[0])
        except BaseException:
            two.barrier.abort()
            raise
        ends[who] = learner.parameters.detach()

    in_threads(learn)
    assert torch.equal(ends[0], ends[1])
    assert ends[0].isfinite().all()
    assert not torch.equal(ends[0], algorithm.init(copy.deepcopy(first), seed=1).parameters)
