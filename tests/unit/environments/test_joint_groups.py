"""A choice of joints and their torques: what is passed on, what others get, what is observed and saved."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

import clipper
from clipper.environments import JointGroups, make
from clipper.environments.state import get_states, set_states
from clipper.errors import ConfigError, UnsupportedSpaceError


class Torques(gymnasium.Env):
    """Keeps the torques that it was given; bounds differ by joint, and the third must push."""

    observation_space = Box(-1, 1, (2,), np.float64)
    action_space = Box(np.array([-1, -2, 0.5, -4, -5], np.float32), np.array([1, 2, 3, 4, 5], np.float32))
    given: Any = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(2), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.given = action
        return np.zeros(2), 0.0, False, False, {}


def given(env: Any, k: int, *torques: float) -> list[float]:
    """What the environment gets of a choice."""
    action = (k, np.array(torques, np.float32))
    assert env.action_space.contains(action)
    env.step(action)
    return env.unwrapped.given.tolist()


def test_joints_of_other_groups_get_nothing() -> None:
    """Or what is nearest to nothing within their bounds, 0.5 for the third."""
    env: Any = JointGroups(Torques(), 2)
    env.reset()
    assert [len(box.low) for box in env.action_space] == [3, 2]
    assert given(env, 0, 0.25, -2, 3) == [0.25, -2, 3, 0, 0]
    assert given(env, 1, 4, -5) == [0, 0, 0.5, 4, -5]
    assert env.observation_space == Torques.observation_space


def test_or_what_they_got_last_which_is_then_observed() -> None:
    env = JointGroups(Torques(), [[4, 0], [2]], "last")
    obs, _ = env.reset()
    assert obs.tolist() == [0, 0, 0, 0, 0.5, 0, 0]
    assert given(env, 0, 5, 1) == [1, 0, 0.5, 0, 5]
    assert given(env, 1, 3) == [1, 0, 3, 0, 5]
    obs, *_ = env.step((0, np.array([-5, -1], np.float32)))
    assert obs.tolist() == [0, 0, -1, 0, 3, 0, -5]
    assert env.observation_space.contains(obs)
    assert env.reset()[0].tolist() == [0, 0, 0, 0, 0.5, 0, 0]


@pytest.mark.parametrize("groups", [0, 6, [], [[]], [[0, 0]], [[5]], [[-1]]])
def test_groups_that_are_none_are_refused(groups: Any) -> None:
    with pytest.raises(ConfigError, match=r"groups is .*joints"):
        JointGroups(Torques(), groups)


def test_other_words_and_spaces_are_refused() -> None:
    with pytest.raises(ConfigError, match="zero or last"):
        JointGroups(Torques(), 2, "half")
    with pytest.raises(UnsupportedSpaceError, match="no vector of torques"):
        JointGroups(gymnasium.make("CartPole-v1"))
    pictures = Torques()
    pictures.observation_space = Discrete(3)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(UnsupportedSpaceError, match="adds the last torques"):
        JointGroups(pictures, 2, "last")


def test_a_mujoco_task_by_id_gets_the_torques(tmp_path: Path) -> None:
    """Against the task itself, given the same torques by hand; states of all layers go through a file's form."""
    pytest.importorskip("mujoco")
    name = "clipper/Joints-v0,env=Hopper-v5,groups=3,others=last,reset_noise_scale=0"
    envs: Any = make(name, 1)
    plain = gymnasium.make("Hopper-v5", reset_noise_scale=0)
    envs.reset(seed=[0])
    plain.reset(seed=0)
    generator, torques, states = np.random.default_rng(0), np.zeros(3, np.float32), None
    rows: list[Any] = []
    obs = found = np.zeros(0)
    for t in range(12):
        k, torque = t % 3, generator.uniform(-1, 1, (1, 1)).astype(np.float32)
        if t == 6:
            states = get_states(envs)
        torques[k] = torque[0, 0]
        rows.append((k, torque))
        obs, reward, *_ = envs.step((np.array([k]), (torque,) * 3))
        expected, paid, *_ = plain.step(torques)
        np.testing.assert_allclose(obs[0], [*expected, *torques])
        assert reward[0] == pytest.approx(paid)
    assert states is not None
    again: Any = make(name, 1)
    again.reset(seed=[5])
    set_states(again, states)
    for k, torque in rows[6:]:
        found, *_ = again.step((np.array([k]), (torque,) * 3))
    np.testing.assert_array_equal(found, obs)


def test_the_recipe_trains_and_a_resumed_run_is_exact(tmp_path: Path) -> None:
    pytest.importorskip("mujoco")
    config = clipper.recipes.joints("Hopper-v5", groups=3)
    plan: Any = {"num_envs": 2, "total_steps": 96, "policy": clipper.PolicyOptions(hidden=(4,)), "vector": "serial"}
    algorithm = clipper.PPO(horizon=16, epochs=1, minibatches=1)
    whole = clipper.train(config.env, algorithm, run_dir=tmp_path / "whole", **plan)
    clipper.train(config.env, algorithm, run_dir=tmp_path / "cut", callback=lambda run: run.iteration == 1, **plan)
    with pytest.raises(ConfigError, match="whose env is a text"):  # which may name a module
        clipper.train(resume=tmp_path / "cut")
    resumed = clipper.train(config.env, resume=tmp_path / "cut")
    assert resumed.exact
    assert torch.equal(resumed.learner.parameters, whole.learner.parameters)
