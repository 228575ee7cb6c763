"""Statistics over tasks and seeds, by hand and by counting."""

import numpy as np
import pytest

from clipper.pictures.aggregate import (
    interquartile_mean,
    performance_profile,
    probability_above,
    probability_of_improvement,
    stratified_interval,
)


def test_the_interquartile_mean_forgets_the_ends() -> None:
    assert interquartile_mean([np.array([-1e9, 1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0, 1e9])]) == pytest.approx(3.5)


def test_the_profile_counts_runs_above_each_threshold_and_tasks_alike() -> None:
    scores = [np.array([0.0, 1.0]), np.array([1.0, 1.0, 1.0, 0.0])]
    assert performance_profile(scores, np.array([-1.0, 0.0, 0.5, 1.0])) == pytest.approx([1.0, 0.625, 0.625, 0.0])


def test_the_probability_of_improvement_counts_pairs() -> None:
    ours, theirs = [np.array([1.0, 3.0]), np.array([5.0])], [np.array([2.0, 3.0]), np.array([4.0])]
    assert probability_of_improvement(ours, theirs) == pytest.approx((1.5 / 4 + 1 / 1) / 2)  # 3 > 2, 3 = 3; 5 > 4


def test_against_a_published_mean_and_deviation() -> None:
    rng = np.random.default_rng(0)
    runs = np.array([0.5, 2.0, -1.0])
    theirs = rng.normal(1.0, 2.0, 200_000)
    assert probability_above(runs, 1.0, 2.0) == pytest.approx(np.mean(runs[:, None] > theirs), abs=0.005)
    assert probability_above(np.array([1.0, 2.0, 0.0, 0.0]), 1.0, 0.0) == pytest.approx(1.5 / 4)


def test_the_interval_covers_as_often_as_it_says() -> None:
    """The mean of 30 normal runs on each of two tasks: about 94 of 100 intervals hold it."""
    rng = np.random.default_rng(1)
    mean = lambda scores: float(np.mean(np.concatenate(scores)))  # noqa: E731
    held = 0
    for _ in range(100):
        low, high = stratified_interval([rng.normal(0, 1, 30), rng.normal(10, 1, 30)], mean)
        held += low < 5 < high
    assert 86 <= held <= 100
    tasks_apart = stratified_interval([np.full(5, 0.0), np.full(5, 10.0)], mean)
    assert tasks_apart == (5.0, 5.0)  # drawn within tasks: which task a run belongs to is no chance
