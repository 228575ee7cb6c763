"""Evaluations of environments that never end, and of those that exist once."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit

import clipper
from clipper.cli.commands import run_command
from clipper.errors import ConfigError, EnvWorkerError
from clipper.rollout.evaluation import MAX_STEPS

QUICK: Any = {"algorithm": clipper.PPO(horizon=8, epochs=1, minibatches=2), "total_steps": 32, "num_envs": 2}


class Endless(gymnasium.Env):
    """Pays 1 a step, and ends in its last step where it has one."""

    observation_space, action_space = Box(0.0, 1.0, (1,), np.float32), Discrete(2)
    alive = most = 0

    def __init__(self, last: int = 0) -> None:
        self.last = last
        Endless.alive += 1
        Endless.most = max(Endless.most, Endless.alive)

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.time += 1
        return np.zeros(1, np.float32), 1.0, self.time == self.last, False, {}

    def close(self) -> None:
        Endless.alive -= 1


def test_an_evaluation_ends_episodes_that_do_not_and_says_so() -> None:
    run = clipper.train(Endless, **QUICK)
    with pytest.warns(UserWarning, match=r"5 of 5 episodes had not ended after 30 steps.*Endless has no time limit"):
        found = run.evaluate(5, num_envs=2, max_steps=30)
    assert found.returns.tolist() == [30.0] * 5
    with pytest.warns(UserWarning, match="1 of 1"):
        clipper.evaluate(run.policy, Endless, episodes=1, max_steps=7)


def test_what_ends_by_itself_is_left_alone() -> None:
    run = clipper.train(Endless, **QUICK)
    assert clipper.evaluate(run.policy, lambda: Endless(29), episodes=3, max_steps=30).lengths.tolist() == [29] * 3
    gymnasium.register("Limited-v0", f"{__name__}:Endless", max_episode_steps=40)
    assert clipper.evaluate(run.policy, "Limited-v0", episodes=2, max_steps=30).lengths.tolist() == [40, 40]
    del gymnasium.registry["Limited-v0"]


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_ready_environments_that_do_not_end_are_refused(mode: AutoresetMode) -> None:
    policy = clipper.train(Endless, **QUICK).policy
    ready = SyncVectorEnv([lambda: Endless(7), Endless, Endless], autoreset_mode=mode)
    with pytest.raises(ConfigError, match=r"an episode of environment 1 of .* has not ended after 30 steps"):
        clipper.evaluate(policy, ready, episodes=3, max_steps=30)
    mixed = SyncVectorEnv([lambda: Endless(7), lambda: TimeLimit(Endless(), 30)], autoreset_mode=mode)
    assert clipper.evaluate(policy, mixed, episodes=4, max_steps=30).lengths.tolist() == [7, 7, 30, 30]
    once = SyncVectorEnv([lambda: Endless(7), lambda: Endless(30)], autoreset_mode=mode)
    found = clipper.evaluate(policy, once, episodes=2, max_steps=30)  # the first need not end once more
    assert found.lengths.tolist() == [7, 30]


def test_the_header_says_when_evaluations_end_episodes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--total-steps", "32", "--num-envs", "2", "--horizon", "8", "--minibatches", "2"]
    assert run_command(["train", "CliffWalking-v1", *words]) == 0
    assert f"evaluation episodes end after {MAX_STEPS:,} steps" in capsys.readouterr().out
    assert run_command(["train", "CartPole-v1", *words]) == 0
    assert "episodes end" not in capsys.readouterr().out


def test_no_more_environments_live_than_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where steps are measured nor where they are played, as a simulator that exists once needs it."""
    monkeypatch.setattr("clipper.environments.vector.stepping.cores", lambda: 2)
    Endless.alive = Endless.most = 0
    run = clipper.train(lambda: Endless(5), **QUICK, vector="auto")
    assert (Endless.alive, Endless.most) == (0, 2)
    Endless.most = 0
    run.evaluate(4, num_envs=1)
    clipper.evaluate(run, episodes=4, num_envs=1)
    assert (Endless.alive, Endless.most) == (0, 1)


def test_what_was_made_before_another_failed_is_closed() -> None:
    def make() -> gymnasium.Env:
        if Endless.alive == 2:
            raise OSError("there are two licences")
        return Endless()

    Endless.alive = 0
    with pytest.raises(EnvWorkerError, match="licence"):
        clipper.train(make, vector="serial", **QUICK | {"num_envs": 3})
    assert Endless.alive == 0
