"""Single facts of the dynamics that a replay of random decisions may not meet, and the batched forms of actions."""

from itertools import combinations
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete

from clipper.environments.hybrid.actions import batch_actions
from clipper.environments.hybrid.point import directions
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


def test_the_velocity_that_sliding_can_show_is_the_way_per_time() -> None:
    envs = gymnasium.make_vec("clipper/Sliding-v0", num_envs=64, velocity=True)
    obs, _ = envs.reset(seed=0)
    assert (obs[:, 10:] == 0).all()
    generator, going, moved = np.random.default_rng(0), np.ones(64, bool), 0
    for _ in range(20):
        argument = generator.uniform(-1, 1, (64, 1)).astype(np.float32)
        action = generator.integers(0, 3, 64), (np.abs(argument), argument, np.zeros(64, np.int64))
        before = obs
        obs, _, terminated, *_ = envs.step(action)
        going &= ~terminated
        way = (obs - before)[going, :2] / 0.005
        np.testing.assert_allclose(obs[going, 10:], way, atol=1e-4)
        moved += (np.abs(way) > 0.01).sum()
    assert moved > 64


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


def test_hard_goals_choices_are_goals_shot_within_a_range() -> None:
    """From the same state with the same generator; choice 3's range is one height."""
    for k, height, of_goal in ((1, -5.0, -5.0), (5, 6.5, 6.5), (10, 0.0, 4.206), (3, 0.0, 1.402), (8, 0.0, 1.402)):
        ends = []
        for name, choice, h in (("clipper/HardGoal-v0", k, height), ("clipper/Goal-v0", 1 + k // 6, of_goal)):
            env: Any = gymnasium.make(name)
            env.reset(seed=3)
            argument = np.array([h], np.float32)
            obs, reward, *_ = env.step((choice, 0 if isinstance(env.action_space[choice], Discrete) else argument))
            ends.append([*obs, reward])
        np.testing.assert_allclose(ends[0], ends[1], rtol=1e-4)


def test_goals_last_features_are_the_keepers_shadow_on_the_goals_line() -> None:
    envs: Any = gymnasium.make_vec("clipper/Goal-v0", 64)
    obs, _ = envs.reset(seed=1)
    keeper, ball, direction, meets = obs[:, 5:7], obs[:, 10:12], obs[:, 14:16], obs[:, 16]
    np.testing.assert_allclose(np.linalg.norm(direction, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(ball - keeper, direction * np.linalg.norm(ball - keeper, axis=1)[:, None], rtol=1e-4)
    inside = np.abs(meets) < 7  # not clipped: ball, keeper and that point of the line are collinear
    area = (keeper[:, 0] - ball[:, 0]) * (meets - ball[:, 1]) - (keeper[:, 1] - ball[:, 1]) * (20 - ball[:, 0])
    np.testing.assert_allclose(area[inside], 0, atol=1e-3)
    assert inside.sum() > 10


def test_the_twelfth_decision_after_eleven_misses_is_lost() -> None:
    envs: Any = gymnasium.make_vec("clipper/CatchingPoint-v0", 1)
    envs.reset(seed=0)
    envs.task.state[:6, 0] = [0, 0, 0, 0, 0.5, 0]
    catch = np.ones(1, np.int64), (np.zeros((1, 1), np.float32), np.zeros(1, np.int64))
    for _ in range(11):
        _, reward, terminated, _, _ = envs.step(catch)
        assert reward[0] == pytest.approx(-0.25)
        assert not terminated[0]
    envs.task.state[4, 0] = 0.1  # within reach, too late
    _, reward, terminated, _, info = envs.step(catch)
    assert reward[0] == 0
    assert terminated[0]
    assert not info["is_success"][0]


@pytest.mark.parametrize("n", [4, 6, 10])
def test_no_set_of_actuators_pushes_further_than_one(n: int) -> None:
    scaled = directions(n)
    lengths = [np.hypot(*scaled[list(chosen)].sum(0)) for r in range(1, n + 1) for chosen in combinations(range(n), r)]
    assert max(lengths) == pytest.approx(1)
    angles = np.arctan2(scaled[:, 1], scaled[:, 0]) % (2 * np.pi)
    np.testing.assert_allclose(angles, 2 * np.pi * np.arange(n) / n, atol=2e-3)


def grid(**settings: Any) -> Any:
    envs: Any = gymnasium.make_vec("clipper/MaskedGrid-v0", 16, **settings)
    return envs


def test_an_action_has_an_effect_exactly_if_the_mask_allows_it() -> None:
    """Every action tried from every state of a random walk of valid ones."""
    envs = grid(size=3, kinds=5)
    _, info = envs.reset(seed=0)
    generator = np.random.default_rng(0)
    for _ in range(25):
        before, mask = envs.task.state.copy(), info["action_mask"].copy()
        for action in range(14):
            envs.task.state[:] = before
            envs.task.step(np.full(16, action), generator, np.zeros(16, bool))
            changed = (envs.task.state[:-2] != before[:-2]).any(0)  # but for the count of decisions
            np.testing.assert_array_equal(changed, mask[:, action])
        envs.task.state[:] = before
        valid = [generator.choice(np.flatnonzero(row)) for row in mask]
        *_, info = envs.step(np.array(valid))


def test_fetching_all_things_pays_one_for_each_and_ends() -> None:
    env: Any = gymnasium.make("clipper/MaskedGrid-v0", size=4, kinds=6)
    env.reset(seed=1)
    task, total, decisions = env.unwrapped.task, 0.0, 0
    done, info = False, {}
    while not done:
        agent, depot, place, kind, fate, _ = (part[..., 0] for part in task.parts())
        carried = np.flatnonzero(fate == 1)
        goal = depot if len(carried) else place[:, np.flatnonzero(fate == 0)[0]]
        number = int(kind[carried[0] if len(carried) else np.flatnonzero(fate == 0)[0]])
        apart = goal - agent
        if apart.any():
            axis = int(np.flatnonzero(apart)[0])
            action = 2 * axis + int(apart[axis] < 0)
        else:
            action = 4 + number + 6 * bool(len(carried))
        _, reward, done, truncated, info = env.step(action)
        total, decisions = total + reward, decisions + 1
        assert not truncated
    assert info["is_success"]
    assert total == pytest.approx(3 - 0.01 * decisions)


def test_almost_every_action_of_the_grid_is_invalid() -> None:
    _, info = grid().reset(seed=0)
    assert info["action_mask"].shape == (16, 100)
    assert info["action_mask"].sum(1).max() <= 5
    assert info["action_mask"].sum(1).min() >= 2
