"""Algorithms that learn from whole episodes begin each segment anew: with an empty memory, and with fresh noise."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from batches import ACTIONS
from memory.kinds import KINDS
from torch import Generator
from wiring.rig import ALGORITHMS, names_of, short

from clipper.algorithms import quota_of
from clipper.engines.eager import Torch
from clipper.environments.vector.serial import Serial
from clipper.networks.heads import GSDE, HeadOptions
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.vector_rollouts import VectorRollouts

ENVS = 3
WHOLE = [kind for kind in ALGORITHMS if "episodes" in names_of(kind)]
POLICIES = {
    **{name: PolicyOptions(hidden=(4,), memory=kind) for name, kind in KINDS.items()},
    "gsde": PolicyOptions(hidden=(4,), head=HeadOptions(distribution=GSDE(1000))),
    "lstm and gsde": PolicyOptions(hidden=(4,), memory="lstm", head=HeadOptions(distribution=GSDE(1000))),
}


class Lasting(gymnasium.Env):
    """Noise; its first episode lasts as many steps as its number says, and the others one more each."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,))
    action_space = ACTIONS["gaussian"]

    def __init__(self, length: int) -> None:
        self.length = length

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.left, self.length = self.length, self.length + 1
        return self.np_random.normal(size=3).astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.left -= 1
        return self.np_random.normal(size=3).astype(np.float32), 1.0, self.left == 0, False, {}


def test_there_are_such_algorithms() -> None:
    assert len(WHOLE) >= 2


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("kind", WHOLE, ids=lambda kind: kind.__name__)
def test_each_segment_begins_with_an_empty_memory(kind: type, name: str) -> None:
    """Three in a row, with an update after each; what acts in row 0 is what acts where nothing was before."""
    algorithm = short(kind, episodes=4)
    env = Serial([lambda i=i: Lasting(3 + i) for i in range(ENVS)])
    policy: Any = make_policy(
        Lasting.observation_space, Lasting.action_space, POLICIES[name], Generator().manual_seed(0)
    )
    given: list[Any] = []
    act = policy.act
    policy.act = lambda obs, memory=(), *mask: (given.append(memory), act(obs, memory, *mask))[1]
    learner = algorithm.init(policy)
    engine, state, noises = Torch(learner, algorithm), VectorRollouts(env, 0), []
    for _ in range(3):
        given.clear()
        steps, _ = state.collect(engine.actor, **quota_of(algorithm))
        first, own = given[0], 0 if policy.memory is None else policy.memory.leaves
        assert all(not x.any() for x in first[:own])
        if policy.memory is not None:
            assert any(x.any() for x in given[1][:own])  # so that there is something to empty
            assert all(not x.any() for x in steps.memory.state)
        if policy.renew is not None:
            noise, age = first[own:]
            assert age.tolist() == [1] * ENVS
            noises += list(noise)
        else:
            with torch.no_grad():
                dist, _ = act(steps.obs[0])
            torch.testing.assert_close(steps.log_prob[0], dist.log_prob(steps.action[0]))
        engine.update(steps, state.obs)
    assert len({tuple(noise.flatten().tolist()) for noise in noises}) == len(noises)
