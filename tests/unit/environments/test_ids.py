"""Arguments behind an environment's id reach what makes it, on every way to an environment."""

import numpy as np
import pytest

import clipper
from clipper.environments import make, make_single
from clipper.environments.ids import split_id
from clipper.environments.vector.stepping import vectorise
from clipper.errors import ConfigError


def test_values_are_numbers_truths_or_text() -> None:
    name, arguments = split_id("pkg:Own-v0,a=1,b=-2.5,c=true,d=False,e=null,f=v1.5,g=[1]")
    assert name == "pkg:Own-v0"
    assert arguments == {"a": 1, "b": -2.5, "c": True, "d": False, "e": None, "f": "v1.5", "g": "[1]"}


@pytest.mark.parametrize("wrong", ["CartPole-v1,continuous", "CartPole-v1,", "CartPole-v1,1=2", "CartPole-v1,a b=2"])
def test_what_is_no_argument_is_said(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"CartPole-v1,continuous=true"):
        split_id(wrong)


def test_an_unknown_argument_names_itself() -> None:
    with pytest.raises(ConfigError, match=r"CartPole-v1 was not made with nonsense: .*nonsense"):
        make_single("CartPole-v1,nonsense=3")
    with pytest.raises(ConfigError, match=r"clipper/Moving-v0 was not made with nonsense"):
        make("clipper/Moving-v0,nonsense=3", 2)


@pytest.mark.parametrize("vector", ["serial", "workers", "native"])
def test_the_environment_is_the_one_described(vector) -> None:
    env = vectorise("CartPole-v1,sutton_barto_reward=true", 2, vector).env
    env.reset(seed=0)
    assert env.step(np.array([0, 1]))[1].tolist() == [0, 0]  # 0 until the pole falls; +1 a step otherwise
    env.close()


def test_a_run_says_and_keeps_its_arguments(tmp_path) -> None:
    options = clipper.PPO(horizon=16, epochs=1)
    run = clipper.train(
        "CartPole-v1,sutton_barto_reward=true", options, total_steps=64, num_envs=2, run_dir=tmp_path / "run"
    )
    assert run.evaluate(3).mean == -1
    again = clipper.train(resume=tmp_path / "run", total_steps=128)
    assert again.evaluate(3).mean == -1
