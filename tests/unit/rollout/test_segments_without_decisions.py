"""A segment in which each row only begins an episode: nothing is learned from it, and nothing breaks."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from batches import make_steps, small_policy
from gymnasium.spaces import Box, Discrete

import clipper
from clipper.algorithms import ON_POLICY
from clipper.learning.rewards import Scaled

SHORT: dict[str, dict[str, Any]] = {
    "PPO": {"minibatches": 1, "epochs": 2}, "PPOPenalty": {"minibatches": 1, "epochs": 2},
    "PPOEWMA": {"minibatches": 1, "epochs": 2}, "PPOSeparate": {"epochs": 2, "value_epochs": 2},
    "VPG": {"value_minibatches": 1}, "NPG": {"value_minibatches": 1}, "TRPO": {"value_minibatches": 1},
}  # fmt: skip
SEGMENTS = [kind for kind in ON_POLICY if hasattr(kind(), "horizon")]


class Pairs(gymnasium.Env):
    """Episodes of two decisions."""

    observation_space, action_space = Box(-1, 1, (2,)), Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.time += 1
        return np.full(2, self.time / 2, np.float32), float(action), self.time == 2, False, {}


@pytest.mark.parametrize(
    ("kind", "engine"),
    [(kind, "torch") for kind in SEGMENTS] + [(clipper.PPO, "cpu"), (clipper.A2C, "cpu")],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_every_third_segment_of_one_row_is_left_out(kind: Any, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPER_ENGINE")
    seen: list[torch.Tensor] = []
    run = clipper.train(
        Pairs, kind(horizon=1, **SHORT.get(kind.__name__, {})), num_envs=3, total_steps=24, engine=engine,
        vector="serial", callback=lambda run: seen.append(run.learner.parameters.detach().clone()),
    )  # fmt: skip
    assert run.engine.name == engine
    assert run.steps == 24
    assert run.iteration == 11  # two rows of three decisions each, one of none, and so on
    for i, row in enumerate(run.history):
        empty = i % 3 == 2
        assert ("loss/policy" in row) != empty
        assert (i > 0 and torch.equal(seen[i], seen[i - 1])) == empty
        assert row["episode/count"] == (3 if i % 3 == 1 else 0)
    assert [row["steps"] for row in run.history[:4]] == [3, 6, 6, 9]


@pytest.mark.parametrize("kind", ON_POLICY, ids=lambda x: x.__name__)
def test_an_update_by_hand_leaves_it_out_too(kind: Any) -> None:
    """Nothing of the learner changes, but that a sum of rewards which a restart has cut off begins anew."""
    algorithm = kind(rewards=Scaled()) if hasattr(kind(), "rewards") else kind()
    learner = algorithm.init(small_policy("categorical", clipper.PolicyOptions(hidden=(5,), normalise_obs=True)))
    steps, last = make_steps(learner.policy, 8, 2, seed=0)
    algorithm.update(learner, steps, last)
    before = {k: x.clone() for k, x in learner.state_dict().items() if k != "running_return"}
    nothing = steps._replace(mask=torch.zeros_like(steps.mask), done=torch.zeros_like(steps.done))
    assert algorithm.update(learner, nothing, last) == {}
    after = learner.state_dict()
    assert "running_return" not in after
    assert all(torch.equal(x, after[k]) for k, x in before.items())
