"""Atari's environments and stacked frames, as programs for Stable-Baselines3 make them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clipper.compat.sb3 import A2C, PPO
from clipper.compat.sb3.common.env_util import make_atari_env, make_vec_env
from clipper.compat.sb3.common.evaluation import evaluate_policy
from clipper.compat.sb3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack
from clipper.environments.make import make_single
from clipper.errors import ConfigError

SHORT = {"max_num_frames_per_episode": 600}


def test_four_pictures_are_those_of_the_game_itself() -> None:
    env = VecFrameStack(make_atari_env("BreakoutNoFrameskip-v4", n_envs=2, seed=3), n_stack=4)
    game = make_single("ALE/Breakout-v5")
    pictures, (seen, _) = env.reset(), game.reset(seed=4)
    assert env.observation_space.shape == (84, 84, 4)
    rng, lives = np.random.default_rng(0), 0
    for _ in range(300):
        assert np.array_equal(np.moveaxis(pictures[1], -1, 0), seen)
        action = int(rng.integers(4))
        pictures, reward, done, infos = env.step([0, action])
        seen, gain, ended, *_ = game.step(action)
        assert (reward[1], done[1]) == (gain, ended)
        if ended:
            lives += 1
            assert np.array_equal(np.moveaxis(infos[1]["terminal_observation"], -1, 0), seen)
            seen, _ = game.reset()
    assert lives > 2


def test_numbers_are_stacked_after_zeros_oldest_first() -> None:
    plain, stacked = (make_vec_env("CartPole-v1", n_envs=2, seed=1) for _ in range(2))
    env = VecFrameStack(stacked, 3)
    rows = [np.zeros((2, 4), np.float32)] * 2 + [plain.reset()]
    assert np.array_equal(env.reset(), np.concatenate(rows, 1))
    for _ in range(4):
        obs, *_ = plain.step([0, 1])
        rows = [*rows[1:], obs]
        assert np.array_equal(env.step([0, 1])[0], np.concatenate(rows, 1))
    first = VecFrameStack(make_atari_env("ALE/Pong-v5"), 2, channels_order="first")
    assert first.observation_space.shape == (168, 84, 1)


def test_models_learn_from_pictures_and_monitors_count_whole_games(tmp_path: Path) -> None:
    env = make_atari_env("ALE/Breakout-v5", n_envs=2, seed=0, monitor_dir=str(tmp_path), env_kwargs=SHORT)
    env = VecFrameStack(env, n_stack=4)
    model = A2C("CnnPolicy", env, seed=0, n_steps=5).learn(400)
    _, _, *rows = (tmp_path / "0.monitor.csv").read_text().splitlines()
    assert rows
    lengths = [int(row.split(",")[1]) for row in rows]
    assert max(lengths) > 60, "a life takes fewer decisions"
    actions, _ = model.predict(env.reset(), deterministic=True)
    assert actions.shape == (2,)
    _, whole = evaluate_policy(model, env, n_eval_episodes=2, return_episode_rewards=True)
    assert min(whole) > 60
    env.close()


def test_other_processes_give_the_same_run() -> None:
    def learned(kind: type) -> torch.Tensor:
        env = VecFrameStack(make_vec_env("CartPole-v1", n_envs=2, vec_env_cls=kind), n_stack=2)
        return PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=2).learn(64).learner.parameters

    assert torch.equal(learned(DummyVecEnv), learned(SubprocVecEnv))


def test_what_is_no_game_or_no_argument_is_named() -> None:
    with pytest.raises(ConfigError, match=r"makes Atari games.*not CartPole-v1"):
        make_atari_env("CartPole-v1")
    with pytest.raises(ConfigError, match="has no frameskip; there are: noop_max, frame_skip"):
        make_atari_env("ALE/Pong-v5", wrapper_kwargs={"frameskip": 4})
    with pytest.raises(AssertionError, match="'last', 'first' or None"):
        VecFrameStack(make_vec_env("CartPole-v1"), 2, channels_order="middle")
