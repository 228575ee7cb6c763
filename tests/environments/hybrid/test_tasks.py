"""Single facts of the dynamics that a replay of random decisions may not meet, and the batched forms of actions."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from clipper.environments.hybrid.actions import batch_actions
from clipper.errors import EnvironmentContractError


def test_both_forms_of_a_batch_do_the_same() -> None:
    space = gymnasium.spaces.OneOf([gymnasium.spaces.Box(0, 1, (2,)), gymnasium.spaces.Discrete(3)])
    pairs = [(1, 2), (0, np.array([0.5, 0.25], np.float32)), (1, 0)]
    choice, (first, second) = batch_actions(space, pairs, 3)
    np.testing.assert_array_equal(choice, [1, 0, 1])
    np.testing.assert_array_equal(first[1], [0.5, 0.25])
    np.testing.assert_array_equal(second[[0, 2]], [2, 0])
    assert batch_actions(space, (choice, (first, second)), 3)[0] is choice


def test_two_pairs_are_not_taken_for_the_other_form() -> None:
    space = gymnasium.spaces.OneOf([gymnasium.spaces.Discrete(3), gymnasium.spaces.Discrete(3)])
    choice, (first, _) = batch_actions(space, ((0, 2), (1, 1)), 2)
    np.testing.assert_array_equal(choice, [0, 1])
    assert first[0] == 2


def test_a_batch_of_another_size_is_refused() -> None:
    space = gymnasium.spaces.OneOf([gymnasium.spaces.Discrete(3), gymnasium.spaces.Discrete(3)])
    with pytest.raises(EnvironmentContractError, match="3 environments"):
        batch_actions(space, [(0, 1)], 3)


def vehicles(name: str, **state: float) -> Any:
    """Two vehicles in the given state, with the target at the origin."""
    envs: Any = gymnasium.make_vec(name, 2)
    envs.reset(seed=0)
    rows = ("x", "y", "v", "theta", "phi", "tx", "ty", "t", "success")
    envs.task.state[:] = np.array([[state.get(row, 0.0)] * 2 for row in rows])
    return envs


def both(k: int, value: float) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    argument = np.full((2, 1), value, np.float32)
    return np.full(2, k), (argument, argument, np.zeros(2, np.int64))


@pytest.mark.parametrize("name", ["clipper/Moving-v0", "clipper/Sliding-v0"])
def test_stopping_at_the_target_pays_one_and_passing_it_nothing(name: str) -> None:
    stop = vehicles(name, x=0.05, v=0.05).step(both(2, 0))
    assert stop[1][0] == pytest.approx(1 - 0.001)
    assert stop[2].all()
    assert stop[4]["is_success"].all()
    passing = vehicles(name, x=0.05, v=0.2).step(both(2, 0))
    assert not passing[2].any()
    assert passing[1][0] == pytest.approx(-0.005 * 0.1 - 0.001)


@pytest.mark.parametrize(("x", "t"), [(0.999, 0), (0.5, 200)])
def test_leaving_the_field_and_decision_201_end_with_minus_one_instead_of_the_shaping(x: float, t: int) -> None:
    _, reward, terminated, truncated, info = vehicles("clipper/Moving-v0", x=x, v=1.0, t=t).step(both(0, 0.0))
    assert (reward == -1).all()
    assert terminated.all()
    assert not truncated.any()
    assert not info["is_success"].any()


def test_sliding_adds_velocities_and_moving_turns_them() -> None:
    east_looking_north = {"x": 0.0, "v": 0.4, "theta": np.pi / 2, "phi": 0.0}
    sliding, moving = (vehicles(f"clipper/{name}-v0", **east_looking_north) for name in ("Sliding", "Moving"))
    for envs in (sliding, moving):
        envs.step(both(0, 0.6))  # 0.3 northwards
    x, y = sliding.task.state[:2, 0] / 0.005
    assert (x, y) == pytest.approx((0.4, 0.3))
    x, y = moving.task.state[:2, 0] / 0.005
    assert (x, y) == pytest.approx((0.0, 0.7))


def test_a_copy_that_is_over_draws_nothing_and_does_not_change_the_others() -> None:
    """The middle one of three, the others over, is the only copy of another one with the same generator."""
    three: Any = gymnasium.make_vec("clipper/Platform-v0", 3)
    one: Any = gymnasium.make_vec("clipper/Platform-v0", 1)
    three.reset(seed=0)
    one.reset(seed=0)
    for k in (0, 0, 2, 0, 1):
        argument = tuple(np.full((3, 1), x, np.float32) for x in (25, 300, 300))
        over = np.array([True, False, True])
        first = three.task.step((np.full(3, k), argument), three.np_random, over)
        second = one.task.step((np.array([k]), tuple(a[:1] for a in argument)), one.np_random, over[1:2])
        np.testing.assert_array_equal(three.task.state[:, 1], one.task.state[:, 0])
        assert first[0][1] == second[0][0]


def test_platform_is_truncated_after_200_decisions() -> None:
    envs: Any = gymnasium.make_vec("clipper/Platform-v0", 2)
    envs.reset(seed=0)
    envs.task.state[8] = [198, 199]
    _, _, terminated, truncated, _ = envs.step((np.zeros(2, np.int64), (np.zeros((2, 1), np.float32),) * 3))
    assert truncated.tolist() == [False, True]
    assert not terminated.any()
