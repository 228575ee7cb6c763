"""Form: Gymnasium's own checks, seeds, next-step autoreset, states, actions in both batched forms."""

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import concatenate, create_empty_array

from clipper.environments.hybrid import TASKS

pytestmark = pytest.mark.parametrize("name", TASKS)


def make_vec(name: str, n: int, **options: Any) -> Any:
    return gymnasium.make_vec(name, n, vectorization_mode="vector_entry_point", **options)


def random_actions(envs: Any, seed: int) -> Any:
    envs.action_space.seed(seed)
    return envs.action_space.sample()


def batch_of_one(space: gymnasium.Space, action: Any) -> Any:
    return concatenate(space, [action], create_empty_array(space, 1))


def test_gymnasium_finds_no_fault(name: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(normalized|Casting|render|spec|infinity).*")
        check_env(gymnasium.make(name).unwrapped, skip_render_check=True)


def test_a_picture_is_drawn(name: str) -> None:
    env = gymnasium.make(name, render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert isinstance(picture, np.ndarray)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10  # shapes with smooth edges


def test_equal_seeds_give_equal_runs_and_others_differ(name: str) -> None:
    def run(seed: int) -> np.ndarray:
        envs = make_vec(name, 3)
        first = envs.reset(seed=seed)[0]
        return np.array([first, *(envs.step(random_actions(envs, t))[0] for t in range(30))])

    first = run(1)
    assert np.array_equal(first, run(1))
    draws = name != "clipper/DeepSea-v0"  # which is the same sea, and the same start, whatever the seed
    assert np.array_equal(first, run(2)) is not draws


def test_one_copy_of_the_vector_environment_is_the_single_one(name: str) -> None:
    envs, env = make_vec(name, 1), gymnasium.make(name)
    obs, (own, _) = envs.reset(seed=7)[0], env.reset(seed=7)
    np.testing.assert_array_equal(obs[0], own)
    env.action_space.seed(3)
    over = False
    for _ in range(300):
        action = env.action_space.sample()
        obs, reward, terminated, truncated, _ = envs.step(batch_of_one(env.action_space, action))
        if over:
            own, ended = env.reset()[0], False
            assert reward[0] == 0
            over = False
        else:
            own, own_reward, ended, cut, _ = env.step(action)
            assert reward[0] == own_reward
            assert truncated[0] == cut
            over = ended or cut
        assert terminated[0] == ended
        np.testing.assert_array_equal(obs[0], own)


def test_an_end_is_followed_by_a_row_that_resets(name: str) -> None:
    envs = make_vec(name, 8, **({"max_steps": 100} if name == "clipper/Rooms-v0" else {}))  # of 400
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    envs.reset(seed=0)
    over, resets = np.zeros(8, bool), 0
    for t in range(260):
        _, reward, terminated, truncated, _ = envs.step(random_actions(envs, t))
        assert not (terminated | truncated)[over].any()
        assert (reward[over] == 0).all()
        over = terminated | truncated
        resets += int(over.sum())
    assert resets >= 8


def test_a_state_that_is_given_back_repeats_what_followed_it(name: str) -> None:
    envs = make_vec(name, 4)
    envs.reset(seed=5)
    for t in range(40):
        envs.step(random_actions(envs, t))
    state, generator = envs.get_state(), envs.np_random.bit_generator.state
    first = [envs.step(random_actions(envs, t)) for t in range(40)]
    envs.reset(seed=9)
    envs.set_state(state)
    envs.np_random.bit_generator.state = generator
    for t, (obs, reward, terminated, truncated, _) in enumerate(first):
        again = envs.step(random_actions(envs, t))
        for mine, other in zip((obs, reward, terminated, truncated), again, strict=False):
            np.testing.assert_array_equal(mine, other)


def test_observations_lie_in_their_space(name: str) -> None:
    envs = make_vec(name, 16)
    obs, _ = envs.reset(seed=0)
    for t in range(100):
        assert envs.observation_space.contains(obs)
        obs = envs.step(random_actions(envs, t))[0]
