"""What people hand over where an environment, a policy or an observation belongs: one line says what to write."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
import wrong_things
from gymnasium.spaces import Dict, Discrete, MultiDiscrete, Tuple
from gymnasium.vector import VectorEnv
from wrong_things import OTHERS, POLICIES, QUICK, SOURCES, Level, a_policy

import clipper
from clipper.environments import make, make_single
from clipper.environments.vector.stepping import vectorise
from clipper.errors import (
    ClipperError,
    ConfigError,
    EnvironmentContractError,
    EnvWorkerError,
    SpaceMismatchError,
    UnknownEnvironmentError,
    UnsupportedSpaceError,
)
from clipper.networks.make_policy import make_policy


@pytest.fixture(scope="module")
def told() -> dict[str, tuple[str, str]]:
    """What is said of each thing that is handed over."""
    program = [sys.executable, "-W", "ignore", wrong_things.__file__]
    environment = os.environ | {"PYTHONPATH": str(Path(clipper.__file__).parents[1])}
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("vector", ["serial", "auto"])
def test_what_is_no_environment_is_told_in_a_line(name: str, vector: str, told: dict[str, tuple[str, str]]) -> None:
    _, kind, words = SOURCES[name]
    error, message = told[f"{vector}: {name}"]
    assert error == kind, message
    assert re.fullmatch(f".*{words}.*", message), message  # on one line


@pytest.mark.parametrize("name", [*POLICIES, *OTHERS])
def test_other_things_that_are_none_are_told_in_a_line(name: str, told: dict[str, tuple[str, str]]) -> None:
    _, words = (POLICIES | OTHERS)[name]
    error, message = told[name]
    assert error in ("ConfigError", "EnvironmentContractError"), message
    assert re.fullmatch(f".*{words}.*", message), message


def test_a_list_of_factories_makes_an_environment_from_each() -> None:
    levels = [lambda: Level(1), lambda: Level(20), lambda: Level(-5)]
    run = clipper.train(levels, QUICK, total_steps=48)
    assert run.config.num_envs == 3
    assert {(e.env, e.total) for e in run.rollouts.episodes} == {(0, 3.0), (1, 60.0), (2, -15.0)}
    totals = run.evaluate(7).returns.tolist()
    assert sorted(totals) == [-15.0] * 2 + [3.0] * 3 + [60.0] * 2  # the list in turn
    with pytest.raises(ConfigError, match="num_envs is 2, and the list of factories has 3: leave out num_envs"):
        clipper.train(levels, QUICK, total_steps=48, num_envs=2)
    with pytest.raises(EnvironmentContractError, match="environment 1 has other spaces than environment 0"):
        clipper.train(["CartPole-v1", "Pendulum-v1"], QUICK, total_steps=48, vector="serial")


@pytest.mark.parametrize("vector", ["serial", "workers"])
def test_a_list_of_ids_steps_each_with_its_arguments(vector: Any) -> None:
    env = vectorise(["CartPole-v1", "CartPole-v1,sutton_barto_reward=true"], 2, vector).env
    env.reset(seed=0)
    assert env.step(np.array([0, 1]))[1].tolist() == [1, 0]
    env.close()


def test_a_run_on_a_list_is_resumed_with_the_list(tmp_path: Path) -> None:
    levels = [lambda: Level(1), lambda: Level(2)]
    clipper.train(levels, QUICK, total_steps=32, run_dir=tmp_path / "run")
    with pytest.raises(ConfigError, match="code of your own: name it again with env="):
        clipper.train(resume=tmp_path / "run", total_steps=64)
    assert clipper.train(levels, resume=tmp_path / "run", total_steps=64).steps >= 64


def test_predict_is_given_the_observation_alone() -> None:
    env, policy = Level(), a_policy()
    with pytest.raises(ConfigError, match=r"write obs, info = env\.reset\(\)"):
        policy.predict(env.reset())
    with pytest.raises(ConfigError, match=r"write obs, reward, terminated, truncated, info = env\.step"):
        policy.predict(env.step(0))
    for wrong in (np.zeros(2, np.float32), [[0.0], [0.0, 1.0]], {"x": 1}, None):
        with pytest.raises(SpaceMismatchError):
            policy.predict(wrong)
    policy.predict(env.reset()[0])
    pair = Tuple([Level.observation_space, Dict(x=Level.observation_space)])
    a_policy(pair).predict(pair.sample())  # an observation that looks like the answer of a reset


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (Discrete(10**6), "1,000,000 choices"),
        (MultiDiscrete([3, 10**6]), "2,000,000 choices"),
        (Dict({}), "no part"),
        (Tuple([]), "no part"),
        (Dict(a=Discrete(2), b=Tuple([])), "no part"),
    ],
)
def test_actions_that_no_network_can_weigh_are_refused(space: gymnasium.Space, words: str) -> None:
    with pytest.raises(UnsupportedSpaceError, match=words):
        a_policy(action=space)


def test_observations_that_would_be_a_million_numbers_are_refused_or_learned() -> None:
    with pytest.raises(UnsupportedSpaceError, match=r"EncoderOptions\(embedding=16\)"):
        a_policy(Discrete(10**6))
    options = clipper.PolicyOptions(hidden=(4,), encoder=clipper.EncoderOptions(embedding=2), shared=True)
    make_policy(Discrete(10**6), Discrete(2), options, torch.Generator()).predict(np.int64(999_999))


MODULE = """
import gymnasium
from gymnasium.spaces import Box, Discrete

class CartPole(gymnasium.Env):
    observation_space, action_space = Box(-1, 1, (7,)), Discrete(5)

class Limited(CartPole):
    pass

gymnasium.register("Limited", entry_point="own_module:Limited", max_episode_steps=3)
"""


def test_a_class_in_a_module_is_that_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_module.py").write_text(MODULE)
    (tmp_path / "fails.py").write_text("1 / 0")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert make_single("own_module:CartPole").observation_space.shape == (7,)  # not CartPole-v1
        assert make_single("own_module:Limited").spec is not None  # the class itself is registered, with a limit
    finally:
        gymnasium.registry.pop("Limited", None)
        sys.modules.pop("own_module", None)
    for name, words in (
        ("fails:Env", "'fails' cannot be imported: ZeroDivisionError"),
        ("leaves:Env", "'leaves' cannot be imported: SystemExit: 3"),
        ("..:Env", r"'\.\.' cannot be a module's name"),
        (":Env", "'' cannot be a module's name"),
        ("", "no environment ''"),
    ):
        with pytest.raises(UnknownEnvironmentError, match=words):
            make_single(name)


class Vector(VectorEnv):
    """EnvPool's own have a ``spec`` that is none of Gymnasium's."""

    def __init__(self, **attributes: Any) -> None:
        self.inner = clipper.make_env("CartPole-v1", 2)
        self.num_envs, self.metadata, self.spec = 2, self.inner.metadata, None
        self.single_observation_space = self.inner.single_observation_space
        self.single_action_space = self.inner.single_action_space
        for name, value in attributes.items():
            setattr(self, name, value)

    def reset(self, **options):
        return self.inner.reset(**options)

    def step(self, actions):
        return self.inner.step(actions)


@pytest.mark.parametrize("attributes", [{"spec": object()}, {"envs": "own"}, {"envs": [1]}, {"envs": {}}])
def test_attributes_of_the_user_s_own_are_let_alone(attributes: dict[str, Any], tmp_path: Path) -> None:
    run = clipper.train(Vector(**attributes), QUICK, total_steps=32, run_dir=tmp_path / "run")
    assert run.steps >= 32


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("num_envs", 0), ("metadata", None), ("single_observation_space", None), ("single_action_space", 2)],
)  # fmt: skip
def test_what_stepping_needs_is_asked_for(attribute: str, value: Any) -> None:
    takes: list[Callable[[Any], Any]] = [
        lambda env: clipper.train(env, QUICK, total_steps=32),
        lambda env: make(env, 2),
    ]
    for take in [*takes, clipper.VectorRollouts]:
        with pytest.raises(ClipperError, match=f"{attribute}|autoreset"):
            take(Vector(**{attribute: value}))


def test_an_environment_that_exits_is_no_end_of_the_program_and_not_made_anew() -> None:
    class Closes(Level):
        def step(self, action):
            sys.exit(0)

    for settings in ({}, {"on_env_error": "restart", "max_restarts": 5}):
        with pytest.raises(EnvWorkerError, match=r"environment 0 of .*Closes failed in step 1: SystemExit\(0\)"):
            clipper.train(Closes, QUICK, total_steps=32, num_envs=2, vector="serial", **settings)
