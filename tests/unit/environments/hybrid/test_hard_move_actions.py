"""HardMove's two sets of actions: HyAR's, and switches with one acceleration, make the same pushes."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import clipper
from clipper.errors import ConfigError
from clipper.settings import recipes


def make_both(n: int, num_envs: int) -> tuple[Any, Any]:
    """The published set of actions, and the switches, from the same starts."""
    name = "clipper/HardMove-v0" if n == 4 else f"clipper/HardMove{n}-v0"
    published: Any = gymnasium.make_vec(name, num_envs, actions="published")
    switches: Any = gymnasium.make_vec(name, num_envs)
    published.reset(seed=0)
    switches.reset(seed=0)
    return published, switches


@pytest.mark.parametrize("n", [4, 6, 8, 10])
def test_each_choice_pushes_as_its_binary_digits_and_its_own_acceleration_say(n: int) -> None:
    """All 2ⁿ choices, one in each copy; the digits are Python's, and other choices' accelerations count for nothing."""
    published, switches = make_both(n, 2**n)
    assert published.single_action_space == gymnasium.spaces.OneOf([gymnasium.spaces.Box(-1, 1, (1,))] * 2**n)
    digits = np.array([[int(digit) for digit in format(k, f"0{n}b")] for k in range(2**n)], np.int8)
    accelerations = np.random.default_rng(n).uniform(-1, 1, (2**n, 2**n)).astype(np.float32)
    own = np.diag(accelerations)[:, None]
    obs, reward, *_ = published.step((np.arange(2**n), tuple(column[:, None] for column in accelerations.T)))
    expected_obs, expected_reward, *_ = switches.step((digits, own))
    np.testing.assert_allclose(obs, expected_obs, atol=1e-6)
    np.testing.assert_allclose(reward, expected_reward, atol=1e-9)


def test_a_single_environment_takes_a_choice_and_its_acceleration() -> None:
    """East alone is choice 8 of 16: full acceleration makes 0.1 · 2 · cos 0, shared by the longest sum, √2."""
    env = gymnasium.make("clipper/HardMove-v0", actions="published")
    env.reset(seed=0)
    obs, *_ = env.step((8, np.ones(1, np.float32)))
    np.testing.assert_allclose(obs[:2], [0.2 / np.sqrt(2), 0], atol=1e-3)


def test_other_words_are_refused() -> None:
    with pytest.raises(ConfigError, match="switches or published, not 'all'"):
        clipper.train("clipper/HardMove-v0,actions=all", total_steps=1)


def test_the_published_recipe_starts_without_knowledge_and_trains() -> None:
    config = recipes.hardmove(published=True)
    assert config.env == "clipper/HardMove-v0,actions=published"
    assert config.policy.head.initial_mean == ()
    quick = clipper.PPO(horizon=4, epochs=1, minibatches=1)
    run = clipper.train(config.env, quick, num_envs=4, total_steps=16)
    assert run.policy.predict(np.zeros(4, np.float32))[0] in range(16)
