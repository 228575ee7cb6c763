"""What episodes say about their success reaches an evaluation, whoever steps and resets them."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from scripted import BACKENDS, Scripted, ScriptedPolicy, Telling, succeeds, vectorised

import clipper
from clipper.environments.vector.workers import Workers
from clipper.rollout.evaluation import evaluate_policy

torch.set_num_threads(1)


def expected(n: int, episodes: int) -> list[float]:
    return [succeeds(i, k) for i in range(n) for k in range(episodes // n + (i < episodes % n))]


@pytest.mark.parametrize("key", ["is_success", "success"])
@pytest.mark.parametrize("backend", [name for name in BACKENDS if "async" not in name])
def test_each_episode_is_told_by_its_last_info(backend: str, key: str) -> None:
    env = vectorised([partial(Telling, i, key) for i in range(3)], backend)
    evaluation = evaluate_policy(ScriptedPolicy(), env, episodes=11)
    assert evaluation.successes.tolist() == expected(3, 11)
    assert evaluation.success_rate == pytest.approx(np.mean(expected(3, 11)))
    assert f"success rate {evaluation.success_rate:.3f} over 11 episodes" in str(evaluation)


@pytest.mark.parametrize("backend", ["serial", "sync next_step", "sync same_step"])
@pytest.mark.parametrize("form", [np.array, lambda x: np.array([x]), lambda x: np.array([[float(x)]])], ids="012")
def test_an_array_of_one_tells_as_well(form: Callable, backend: str) -> None:
    class Arrays(Telling):
        def step(self, action):
            obs, reward, terminated, truncated, info = super().step(action)
            return obs, reward, terminated, truncated, info | {self.key: form(info[self.key])}

    evaluation = evaluate_policy(
        ScriptedPolicy(), vectorised([partial(Arrays, i) for i in range(3)], backend), episodes=11
    )
    assert evaluation.successes.tolist() == expected(3, 11)


def test_from_worker_processes() -> None:
    env = Workers([partial(Telling, i) for i in range(3)], 2)
    try:
        assert evaluate_policy(ScriptedPolicy(), env, episodes=11).successes.tolist() == expected(3, 11)
    finally:
        env.close()


@pytest.mark.parametrize("backend", ["serial", "sync same_step"])
def test_those_that_do_not_tell_are_not_counted(backend: str) -> None:
    env = vectorised([partial(Telling, i, mute=1) for i in range(3)], backend)
    told = np.array(expected(3, 12)).reshape(3, 4)[[0, 2]]
    evaluation = evaluate_policy(ScriptedPolicy(), env, episodes=12)
    assert np.isnan(evaluation.successes).tolist() == [False] * 4 + [True] * 4 + [False] * 4
    assert evaluation.success_rate == pytest.approx(told.mean())


@pytest.mark.parametrize("backend", ["serial", "sync next_step"])
def test_nothing_told_is_no_rate(backend: str) -> None:
    evaluation = evaluate_policy(ScriptedPolicy(), vectorised([partial(Scripted, 0)], backend), episodes=3)
    assert evaluation.success_rate is None
    assert "success" not in str(evaluation)


def test_words_are_no_success() -> None:
    class Words(Scripted):
        def step(self, action):
            obs, reward, terminated, truncated, _ = super().step(action)
            return obs, reward, terminated, truncated, {"success": "who knows", "is_success": None}

    for backend in ("serial", "sync next_step", "sync same_step"):
        evaluation = evaluate_policy(ScriptedPolicy(), vectorised([partial(Words, 0)], backend), episodes=3)
        assert evaluation.success_rate is None


def test_native_tasks_tell() -> None:
    """In training's evaluations, and in one environment as in many."""
    run = clipper.train(
        "clipper/HardMove-v0", clipper.PPO(horizon=8, epochs=1), num_envs=4, total_steps=32, eval_every=32,
        eval_episodes=8,
    )  # fmt: skip
    for evaluation in (run.evaluate(40, seed=3), clipper.evaluate(run, episodes=5, num_envs=1)):
        assert evaluation.successes.tolist() == (evaluation.returns > 0).tolist()  # 20 is more than 30 steps cost
    assert run.history[-1]["eval/success_rate"] in np.arange(9) / 8
