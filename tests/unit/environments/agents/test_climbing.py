"""Climbing-v0 pays what its table says, once, and shows nothing but who is who."""

from itertools import product
from typing import Any

import numpy as np
import pytest

import clipper
from clipper.environments import make

TABLE = "11 -30 0 / -30 7 6 / 0 0 5"


def test_each_joint_action_pays_both_what_the_paper_says() -> None:
    paid = [[float(x) for x in row.split()] for row in TABLE.split("/")]
    env = make("clipper/Climbing-v0", 9)
    obs, info = env.reset(seed=0)
    assert obs.tolist() == [[1, 0], [0, 1]] * 9
    assert info["agents_that_decide"].all()
    joint = list(product(range(3), repeat=2))
    obs, reward, terminated, truncated, info = env.step(np.array(joint).ravel())
    assert reward.reshape(9, 2).tolist() == [[paid[a][b]] * 2 for a, b in joint]
    assert terminated.all()
    assert not truncated.any()
    assert not info["agents_that_decide"].any()
    assert not env.step(np.zeros(18, np.int64))[1].any()  # a row that begins
    assert env.step(np.zeros(18, np.int64))[1].tolist() == [11.0] * 18


@pytest.mark.parametrize("algorithm", [clipper.PPO(horizon=4, epochs=1), clipper.HAPPO(horizon=4, epochs=1)])
def test_it_is_trained_and_drawn(algorithm: clipper.PPO | clipper.HAPPO) -> None:
    run = clipper.train("clipper/Climbing-v0", algorithm, num_envs=8, total_steps=200)
    assert set(run.recent) <= {11, -30, 0, 7, 6, 5}
    env = make("clipper/Climbing-v0", 2)
    env.reset(seed=0)
    pictures: Any = env.render()
    assert pictures[0].shape == (240, 240, 3)
