"""Steps of anybody's making that enter an update: what is not such as the policy collects is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from batches import ACTIONS, Kind, Still, make_steps, small_policy

import clipper
from clipper.data.steps import Steps
from clipper.engines.cpu.engine import CPU
from clipper.errors import ConfigError


def engine(kind: Kind = "categorical") -> CPU:
    algorithm = clipper.PPO(epochs=1, minibatches=1)
    return CPU(algorithm.init(small_policy(kind)), algorithm)


def wider(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, x[..., :1]], -1)


WRONG: dict[str, Any] = {
    "obs wider": {"obs": wider},
    "obs narrower": {"obs": lambda x: x[..., :2]},
    "obs shorter": {"obs": lambda x: x[:-1]},
    "obs in float64": {"obs": torch.Tensor.double},
    "actions of fewer environments": {"action": lambda x: x[:, :-1]},
    "actions in int32": {"action": torch.Tensor.int},
    "log_prob shorter": {"log_prob": lambda x: x[:-1]},
    "reward shorter": {"reward": lambda x: x[:-1]},
    "reward in float64": {"reward": torch.Tensor.double},
    "terminated as numbers": {"terminated": torch.Tensor.float},
    "done of fewer environments": {"done": lambda x: x[:, :-1]},
    "a choice too large": {"action": lambda x: x + 3},
    "a choice below 0": {"action": lambda x: x - 1},
    "masks of two choices": {"action_mask": lambda _: torch.ones(8, 4, 2, dtype=torch.bool)},
    "masks as numbers": {"action_mask": lambda _: torch.ones(8, 4, 3)},
}


@pytest.mark.parametrize("entrance", ["update", "targets", "improve"])
@pytest.mark.parametrize("name", WRONG)
def test_steps_that_do_not_fit_are_refused_by_name(name: str, entrance: str) -> None:
    made = engine()
    steps, last = make_steps(made.learner.policy, 8, 4, seed=0)
    before = made.learner.parameters.detach().clone()
    ((field, change),) = WRONG[name].items()
    spoiled = steps._replace(**{field: change(getattr(steps, field))})
    targets = made.targets(steps, last)
    arguments = [targets._replace(steps=spoiled)] if entrance == "improve" else [spoiled, last]
    with pytest.raises(ConfigError, match=field):
        getattr(made, entrance)(*arguments)
    assert torch.equal(made.learner.parameters, before)


@pytest.mark.parametrize("change", [lambda x: x[:-1], lambda x: x[..., None].repeat(1, 1, 3), torch.Tensor.double],
                         ids=["shorter", "deeper", "float64"])  # fmt: skip
@pytest.mark.parametrize("field", ["advantage", "value_target", "value", "raw"])
def test_targets_that_do_not_fit_are_refused_by_name(field: str, change: Any) -> None:
    made = engine()
    targets = made.targets(*make_steps(made.learner.policy, 8, 4, seed=0))
    spoiled = (change(targets.advantage),) if field == "raw" else change(getattr(targets, field))
    with pytest.raises(ConfigError, match=f"targets.{field}"):
        made.improve(targets._replace(**{field: spoiled}))


@pytest.mark.parametrize("entrance", ["update", "improve"])
def test_nothing_is_learned_where_nobody_decided(entrance: str) -> None:
    made = engine()
    steps, last = make_steps(made.learner.policy, 8, 4, seed=0)
    before = made.learner.parameters.detach().clone()
    nowhere = torch.zeros_like(steps.mask)
    idle = steps._replace(mask=nowhere, done=nowhere, terminated=nowhere)
    found = made.update(idle, last) if entrance == "update" else made.improve(made.targets(idle, last))
    assert found == {}
    assert torch.equal(made.learner.parameters, before)


@pytest.mark.parametrize("last", [torch.zeros(4, 2), torch.zeros(3, 3), torch.zeros(4, 3, dtype=torch.float64)])
def test_last_observations_that_do_not_fit_are_refused(last: torch.Tensor) -> None:
    made = engine()
    steps, _ = make_steps(made.learner.policy, 8, 4, seed=0)
    with pytest.raises(ConfigError, match="last_obs"):
        made.update(steps, last)


@pytest.mark.parametrize("kind", ["categorical", "gaussian", "several"])
def test_steps_that_fit_are_learned_from(kind: Kind) -> None:
    made = engine(kind)
    steps, last = make_steps(made.learner.policy, 8, 4, seed=0)
    before = made.learner.parameters.detach().clone()
    made.update(Steps(*steps), last)
    assert not torch.equal(made.learner.parameters, before)


def test_environments_of_another_space_than_the_policy_s_are_refused() -> None:
    env = clipper.make_env("Acrobot-v1", 2)  # observes six numbers, and the policy reads three
    with pytest.raises(ConfigError, match=r"\(2, 6\), but the policy reads 3 numbers of each of 2"):
        clipper.VectorRollouts(env, 0).collect(engine().actor, horizon=4)


def test_masks_of_other_environments_than_act_are_refused() -> None:
    env = Still(np.zeros((4, 3), np.float32), ACTIONS["categorical"])
    rollouts = clipper.VectorRollouts(env, 0)
    rollouts.action_mask = torch.ones(3, 3, dtype=torch.bool)
    with pytest.raises(ConfigError, match=r"masks of shape \(3, 3\)"):
        rollouts.collect(engine().actor, horizon=2)
