"""What people see of numbers, evaluations, runs and policies when they print them."""

import math
from pathlib import Path

import numpy as np
import pytest

import clipper
from clipper.data.figures import figure
from clipper.rollout.evaluation import Evaluation


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (1234.5678, "1,234.6"), (495.12, "495.1"), (-12.34, "-12.3"), (9.5, "9.50"), (0.0, "0.0"),
        (123_456.7, "123,457"), (0.90312, "0.903"), (-0.0012345, "-0.00123"), (math.nan, "nan"), (-math.inf, "-inf"),
    ],
)  # fmt: skip
def test_a_number_has_the_digits_that_count(x: float, text: str) -> None:
    assert figure(x) == text


@pytest.mark.parametrize(("x", "spread", "text"), [(404.6, 91.9, "404.6"), (0.90312, 0.0021, "0.9031"), (3, 0, "3.00")])
def test_a_mean_has_the_digits_that_its_spread_leaves(x: float, spread: float, text: str) -> None:
    assert figure(x, spread) == text


def test_the_interval_is_the_normal_one_where_there_are_many() -> None:
    returns = np.random.default_rng(3).exponential(4.0, 4_000)
    low, high = Evaluation(returns, np.ones(4_000)).interval()
    half = 1.96 * returns.std() / math.sqrt(4_000)
    assert low == pytest.approx(returns.mean() - half, abs=half / 10)
    assert high == pytest.approx(returns.mean() + half, abs=half / 10)


def test_an_evaluation_says_mean_deviation_and_the_mean_s_interval() -> None:
    two = Evaluation(np.array([1.0, 3.0]), np.ones(2))
    assert str(two) == "return 2.0 ± 1.0 over 2 episodes (95 % interval of the mean 1.0 to 3.0)"
    assert str(Evaluation(np.array([3.0]), np.ones(1))) == "return 3.00 ± 0.0 over 1 episode"


def test_a_run_and_its_policy_say_what_they_are(tmp_path: Path) -> None:
    run = clipper.train("CartPole-v1", total_steps=2_000, seed=4, run_dir=tmp_path / "run", engine="torch")
    first, second, third, last = repr(run).splitlines()
    assert first.startswith(f"PPO on CartPole-v1: {run.steps:,} of 2,000 steps, {run.iteration} iterations, ")
    assert "9,155 parameters, engine torch" in second
    assert second.endswith("seed 4")
    assert f"mean return {figure(sum(run.recent) / len(run.recent))} over the last" in third
    assert str(tmp_path / "run") in last
    assert "actions: Discrete(2)\n" in repr(run.policy)
    assert "parameters: 9,155\n" in repr(run.policy)
