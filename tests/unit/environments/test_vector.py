"""In this process, in others, or natively: who chooses, what is told, and that the results are the same."""

import json
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from batches import stepped
from environments.failing import Failing
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import SyncVectorEnv, VectorEnv

import clipper
from clipper.environments.vector import stepping
from clipper.environments.vector.serial import Serial
from clipper.environments.vector.stepping import pays, step_time, vectorise
from clipper.environments.vector.workers import Workers
from clipper.errors import ConfigError, EnvWorkerError, UnknownEnvironmentError

SMALL = clipper.PolicyOptions(hidden=(8,))
SHORT = clipper.PPO(horizon=16, epochs=1, minibatches=2)


@pytest.fixture
def made() -> Iterator[list[VectorEnv]]:
    """Closes what a test puts in."""
    envs: list[VectorEnv] = []
    yield envs
    for env in envs:
        env.close()


def cartpole() -> gymnasium.Env:
    return gymnasium.make("CartPole-v1")


@pytest.mark.parametrize(
    ("microseconds", "num_envs", "processes", "total_steps", "several"),
    [
        (10, 8, 2, 10**8, False),  # CartPole: waking takes longer than stepping
        (60, 8, 2, 10**6, True),  # HalfCheetah: 480 µs a row alone, 300 together
        (60, 8, 2, 10**4, False),  # but not in a run that is over before processes have started
        (60, 1, 1, 10**8, False),
        (60, 2, 2, 10**8, False),  # 120 µs alone, 120 together
        (20_000, 8, 2, 1000, True),  # slow ones pay at once
        (1000, 9, 8, 10**6, True),
    ],
)
def test_several_processes_where_they_pay(
    microseconds: float, num_envs: int, processes: int, total_steps: int, several: bool
) -> None:
    assert pays(1e-6 * microseconds, num_envs, processes, total_steps) is several


@pytest.mark.parametrize(("seconds", "kind"), [(1e-6, Serial), (0.1, Workers)])
def test_auto_goes_by_the_measurement_and_tells_it(monkeypatch, made, seconds: float, kind: type) -> None:
    monkeypatch.setattr(stepping, "step_time", lambda factory: seconds)
    monkeypatch.setattr(stepping, "cores", lambda: 2)
    env, chosen, told = vectorise("CartPole-v1", 4, total_steps=10_000)
    made.append(env)
    assert type(env) is kind
    assert chosen == ("workers" if kind is Workers else "serial")
    assert told.endswith(f"since a step takes {1e6 * seconds:.0f} µs")


def test_the_measurement_is_of_the_step_and_moves_no_generator() -> None:
    class Slow(gymnasium.Env):
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None):
            np.random.seed(seed)
            return 0, {}

        def step(self, action):
            random.random()
            np.random.rand()
            end = __import__("time").perf_counter() + 0.002
            while __import__("time").perf_counter() < end:
                pass
            return 0, 0.0, False, False, {}

    random.seed(1)
    np.random.seed(2)
    before = random.getstate(), np.random.get_state()
    assert step_time(Slow) >= 0.002
    assert random.getstate() == before[0]
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), before[1], strict=True))


def test_the_measurement_draws_what_is_legal() -> None:
    """An illegal action may raise, and then nothing was measured."""

    class Masked(gymnasium.Env):
        action_space = gymnasium.spaces.Discrete(50, start=3)

        def reset(self, *, seed: int | None = None, options: Any = None):
            return 0, {"action_mask": np.arange(50) == 7}

        def step(self, action):
            assert action == 10
            return 0, 0.0, False, False, {"action_mask": np.arange(50) == 7}

    assert step_time(Masked) > 0


def test_a_time_out_needs_processes(made) -> None:
    env, chosen, told = vectorise("CartPole-v1", 2, env_timeout=9.0)
    made.append(env)
    assert isinstance(env, Workers)
    assert (env.env_timeout, chosen) == (9.0, "workers")
    assert "9 s at most" in told
    with pytest.raises(ConfigError, match="env_timeout needs worker processes"):
        vectorise("CartPole-v1", 2, "serial", env_timeout=9.0)


@pytest.mark.filterwarnings("ignore:.*out of date:DeprecationWarning")
def test_native_is_the_package_s_own(made) -> None:
    env, chosen, told = vectorise("CartPole-v0", 3, "native")
    made.append(env)
    assert type(env) is CartPoleVectorEnv
    assert env.max_episode_steps == 200  # the id's, not the class's
    assert (env.num_envs, chosen, told) == (3, "native", "stepped natively by CartPoleVectorEnv")


@pytest.mark.parametrize(
    ("source", "options", "error", "why"),
    [
        ("Pendulum-v1", {}, ConfigError, "Pendulum-v1 has no vector environment of its own"),
        ("Cartpole-v1", {}, UnknownEnvironmentError, "Did you mean CartPole-v1"),
        (cartpole, {}, ConfigError, "needs an environment's id"),
        ("CartPole-v1", {"env_timeout": 1.0}, ConfigError, "do not apply"),
        ("CartPole-v1", {"max_restarts": 1}, ConfigError, "do not apply"),
    ],
)
def test_native_where_it_cannot_be(source: Any, options: dict, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        vectorise(source, 2, "native", **options)


def test_a_ready_one_is_taken_as_it_is() -> None:
    env = SyncVectorEnv([cartpole])
    assert vectorise(env, 7).env is env
    with pytest.raises(ConfigError, match="not a VectorEnv made ready"):
        vectorise(env, 7, "workers")
    env.close()


def test_training_in_processes_is_training_in_one_and_resumes_as_exactly(tmp_path: Path) -> None:
    plan: Any = {"total_steps": 160, "num_envs": 3, "policy": SMALL}
    alone = clipper.train("CartPole-v1", SHORT, vector="serial", **plan)
    together = clipper.train("CartPole-v1", SHORT, vector="workers", run_dir=tmp_path / "whole", **plan)
    assert torch.equal(alone.learner.parameters, together.learner.parameters)
    assert stepped(together).env.closed
    clipper.train(
        "CartPole-v1", SHORT, vector="workers", run_dir=tmp_path / "cut", callback=lambda run: run.iteration < 2, **plan
    )
    assert json.loads((tmp_path / "cut" / "config.json").read_text())["vector"] == "workers"
    resumed = clipper.train(resume=tmp_path / "cut")
    assert resumed.exact
    assert torch.equal(alone.learner.parameters, resumed.learner.parameters)


def test_native_environments_train_and_a_restart_is_counted(tmp_path: Path) -> None:
    run = clipper.train("CartPole-v1", SHORT, vector="native", total_steps=400, num_envs=6, policy=SMALL)
    assert run.config.vector == "native"
    assert sum(row["episode/count"] or 0 for row in run.history) > 3
    number = iter(range(9))
    factory = lambda: Failing(i := next(number), tmp_path, {0: 3} if i == 1 else None)  # noqa: E731
    options: Any = {"vector": "serial", "on_env_error": "restart", "max_restarts": 1, "num_envs": 2, "policy": SMALL}
    with pytest.warns(UserWarning, match="made anew, restart 1 of 1"):
        run = clipper.train(factory, SHORT, total_steps=60, **options)
    assert run.history[-1]["env/restarts"] == 1
    assert run.steps >= 60


def test_failing_too_often_leaves_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    factory = partial(Failing, 0, tmp_path, {0: 40}, "kill")
    options: Any = {"vector": "workers", "total_steps": 90, "num_envs": 1, "policy": SMALL, "checkpoint_every": 16}
    with pytest.raises(EnvWorkerError, match=r"SIGKILL.* in step 47"):  # 40 of its own, and 7 resets
        clipper.train(factory, SHORT, run_dir=tmp_path / "run", **options)
    resumed = clipper.train(factory, resume=tmp_path / "run", vector="serial")
    assert not resumed.exact
    assert resumed.steps >= 90
