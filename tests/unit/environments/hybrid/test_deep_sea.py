"""DeepSea-v0 by enumeration of all that a diver can do."""

import itertools
from typing import Any

import gymnasium
import numpy as np
import pytest

import clipper  # noqa: F401 (registers the environments)
from clipper.errors import ConfigError

SIZE = 5


def test_one_sequence_of_actions_in_all_of_them_is_paid() -> None:
    sequences = np.array(list(itertools.product([0, 1], repeat=SIZE)))
    envs = gymnasium.make_vec("clipper/DeepSea-v0", len(sequences), size=SIZE)
    obs, info = envs.reset(seed=0)
    total, rights = np.zeros(len(sequences)), np.zeros(len(sequences), int)
    before = np.zeros(len(sequences), int)
    for t in range(SIZE):
        obs, reward, terminated, truncated, info = envs.step(sequences[:, t])
        total += reward
        column = obs[:, SIZE:].argmax(1)
        right = (column > before) | ((before == SIZE - 1) & (column == before))
        rights, before = rights + right, column
        assert (obs[:, :SIZE].argmax(1) == (t + 1) % SIZE).all()
        assert (terminated == (t == SIZE - 1)).all()
        assert not truncated.any()
    best = np.flatnonzero(total > 0.5)
    assert best.size == 1
    assert total[best[0]] == pytest.approx(0.99)
    assert info["is_success"].sum() == 1
    assert info["is_success"][best[0]]
    assert not obs[:, :SIZE].any()
    others = np.delete(np.arange(len(sequences)), best)
    assert total[others] == pytest.approx(-0.01 / SIZE * rights[others])
    assert total[others].max() == 0


def test_what_actions_mean_differs_between_cells_and_not_between_episodes() -> None:
    envs: list[Any] = [gymnasium.make("clipper/DeepSea-v0", size=8, meaning=m) for m in (0, 0, 1)]
    for env, seed in zip(envs, (1, 2, 1), strict=True):
        env.reset(seed=seed)
    tables = [env.unwrapped.task.right for env in envs]
    assert (tables[0] == tables[1]).all()
    assert (tables[0] != tables[2]).any()
    assert 0.25 < tables[0].mean() < 0.75


def test_an_episode_begins_at_the_upper_left_and_has_a_picture() -> None:
    env: Any = gymnasium.make("clipper/DeepSea-v0", size=4, render_mode="rgb_array")
    obs, _ = env.reset(seed=3)
    assert obs.tolist() == [1, 0, 0, 0, 1, 0, 0, 0]
    first = env.render()
    env.step(env.unwrapped.task.right[0, 0])
    assert first.shape == (600, 480, 3)
    assert (env.render() != first).any()


def test_a_sea_has_a_size() -> None:
    with pytest.raises(ConfigError, match="size must be at least 1, not 0"):
        gymnasium.make("clipper/DeepSea-v0", size=0)


def test_the_television_is_noise_that_no_action_changes_and_nothing_else_is_another() -> None:
    plain, noisy = (gymnasium.make_vec("clipper/DeepSea-v0", 2000, size=SIZE, television=on) for on in (False, True))
    first, second = plain.reset(seed=0)[0], noisy.reset(seed=0)[0]
    generator, shown = np.random.default_rng(0), [second[:, -1]]
    for _ in range(2 * SIZE + 2):
        action = generator.integers(2, size=2000)
        (first, paid, *_), (second, also, *_) = plain.step(action), noisy.step(action)
        np.testing.assert_array_equal(first, second[:, :-1])
        np.testing.assert_array_equal(paid, also)
        shown.append(second[:, -1])
        assert abs(np.corrcoef(action, shown[-1])[0, 1]) < 0.1
        assert abs(np.corrcoef(shown[-2], shown[-1])[0, 1]) < 0.1
    assert np.mean(shown) == pytest.approx(0.5, abs=0.01)
    assert np.var(shown) == pytest.approx(1 / 12, abs=0.005)
