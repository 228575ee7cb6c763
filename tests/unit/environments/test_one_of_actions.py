"""Environments in gym-hybrid's and gym-platform's style, driven through ``OneOf``."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, Tuple

from clipper.environments.one_of import OneOfActions
from clipper.errors import UnsupportedSpaceError


class Recorder(gymnasium.Env):
    """Keeps the last action, which must lie in its space."""

    observation_space = Box(-1, 1, (2,))

    def __init__(self, space: gymnasium.Space) -> None:
        self.action_space, self.last = space, None

    def reset(self, **options: Any) -> tuple[np.ndarray, dict[str, Any]]:
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.last = action
        return np.zeros(2, np.float32), 0.0, False, False, {}


MOVING = Tuple([Discrete(3), Box(np.array([0, -1], np.float32), np.array([1, 1], np.float32))])
BOXES = [Box(0, 30, (1,)), Box(10, 720, (2,)), Box(0, 430, (0,))]
NESTED, FLAT = Tuple([Discrete(3), Tuple(BOXES)]), Tuple([Discrete(3, start=1), *BOXES])


def drive(space: gymnasium.Space, action: Any, **options: Any) -> Any:
    inner = Recorder(space)
    env = OneOfActions(inner, **options)
    assert env.action_space.contains(action)
    env.step(action)
    return inner.last


def test_one_box_is_split_by_what_each_choice_reads() -> None:
    env = OneOfActions(Recorder(MOVING), reads=((0,), (1,), ()))
    assert env.action_space == gymnasium.spaces.OneOf([Box(0, 1, (1,)), Box(-1, 1, (1,)), Discrete(1)])
    k, values = drive(MOVING, (1, np.array([-0.5], np.float32)), reads=((0,), (1,), ()))
    assert k == 1
    np.testing.assert_array_equal(values, [0, -0.5])
    k, values = drive(MOVING, (2, 0), reads=((0,), (1,), ()))
    np.testing.assert_array_equal(values, [0, 0])


@pytest.mark.parametrize("space", [NESTED, FLAT])
def test_a_box_per_choice_gets_its_arguments_and_the_others_zero_or_nearest(space: Tuple) -> None:
    k, *values = drive(space, (0, np.array([12], np.float32)))
    first, second, third = values[0] if space is NESTED else values
    assert k == (0 if space is NESTED else 1)
    np.testing.assert_array_equal(first, [12])
    np.testing.assert_array_equal(second, [10, 10])
    assert third.shape == (0,)
    adapted: Any = OneOfActions(Recorder(space)).action_space
    assert adapted[2] == Discrete(1)
    assert drive(space, (2, 0))[0] == k + 2


def test_every_sample_is_taken() -> None:
    for space, options in ((MOVING, {"reads": ((0, 1), (1,), ())}), (NESTED, {}), (FLAT, {})):
        env = OneOfActions(Recorder(space), **options)
        env.action_space.seed(0)
        for _ in range(30):
            env.step(env.action_space.sample())


@pytest.mark.parametrize(
    ("space", "options", "message"),
    [
        (Discrete(3), {}, "no choice with arguments"),
        (MOVING, {}, "reads="),
        (MOVING, {"reads": ((0,), (2,), ())}, "2 numbers"),
        (MOVING, {"reads": ((0,), (1,))}, "each of 3 choices"),
        (Tuple([Discrete(2), Tuple([Box(0, 1), Discrete(2)])]), {}, "2 Boxes"),
        (Tuple([Discrete(3), Tuple(BOXES[:2])]), {}, "3 Boxes"),
    ],
)
def test_other_spaces_are_refused(space: gymnasium.Space, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedSpaceError, match=message):
        OneOfActions(Recorder(space), **options)
