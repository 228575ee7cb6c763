"""Processes of environments that fail: the error arrives, and closing does not wait for what never comes."""

import multiprocessing
import os
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from clipper.compat.sb3.common.vec_env import DummyVecEnv, SubprocVecEnv


class Failing(gymnasium.Env):
    """Action 1 raises, action 2 ends its process; what it shows fills more than a pipe."""

    observation_space, action_space = Box(0, 1, (100_000,)), Discrete(3)

    def __init__(self, fails: bool = False) -> None:
        if fails:
            raise ValueError("no such level")

    def reset(self, *, seed=None, options=None):
        return np.zeros(100_000, np.float32), {}

    def step(self, action):
        if action == 1:
            raise ValueError("fell off the table")
        if action == 2:
            os._exit(7)
        return np.ones(100_000, np.float32), 1.0, False, False, {}


def broken() -> Failing:
    return Failing(fails=True)


def children() -> int:
    return sum(one.name.startswith("ForkServerProcess") for one in multiprocessing.active_children())


@pytest.mark.parametrize(
    ("actions", "error"),
    [([0, 1], "fell off the table"), ([2, 0], "environment 0 has ended, with exit code 7"), (None, None)],
)
def test_an_environment_that_fails_is_told_and_all_are_closed(actions: list[int] | None, error: str | None) -> None:
    before, env = children(), SubprocVecEnv([Failing, Failing])
    env.reset()
    if actions is None:  # a program that closes between a step's two halves
        env.step_async(np.zeros(2, int))
    else:
        with pytest.raises((ValueError, EOFError), match=error):
            env.step(np.array(actions))
    if actions == [0, 1]:
        assert env.step(np.zeros(2, int))[1].tolist() == [1, 1]
    if actions == [2, 0]:
        with pytest.raises(BrokenPipeError, match="environment 0 has ended"):
            env.step(np.zeros(2, int))
    env.close()
    env.close()
    assert children() == before


def test_an_environment_that_cannot_be_made_leaves_no_process() -> None:
    before = children()
    with pytest.raises(ValueError, match="no such level"):
        SubprocVecEnv([broken, Failing])
    assert children() == before


class Drawn(Failing):
    """Its picture is of its number."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (as Gymnasium's are)
    render_mode = "rgb_array"

    def __init__(self, number: int) -> None:
        self.number = number

    def render(self):
        return np.full((2, 2, 3), self.number, np.uint8)


@pytest.mark.parametrize("kind", [DummyVecEnv, SubprocVecEnv])
def test_pictures_are_of_each_environment_in_order(kind: Any) -> None:
    env = kind([partial(Drawn, number) for number in (3, 7)])
    assert [int(picture.max()) for picture in env.get_images()] == [3, 7]
    assert sorted({int(x) for x in env.render().ravel()}) == [3, 7]
    env.close()
