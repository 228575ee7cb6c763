"""SAC, TD3, DDPG and DQN under SB3's names: their arguments, what they learn, and the buffer."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from torch import nn

import clipper
from clipper import algorithms
from clipper.compat.sb3 import DDPG, DQN, SAC, TD3
from clipper.compat.sb3.common.buffers import ReplayBuffer
from clipper.compat.sb3.common.env_util import make_vec_env
from clipper.compat.sb3.common.noise import NormalActionNoise
from clipper.errors import ConfigError
from clipper.learning.critic_targets import Periodic, Polyak
from clipper.learning.optimizers import Adam
from clipper.learning.schedules import Annealed, Linear
from clipper.learning.temperature import EntropyTarget

FLAT = clipper.EncoderOptions(cnn="none")
KINDS: dict[Any, str] = {SAC: "Pendulum-v1", TD3: "Pendulum-v1", DDPG: "Pendulum-v1", DQN: "CartPole-v1"}
SHORT: dict[str, Any] = {"learning_starts": 16, "batch_size": 8, "policy_kwargs": {"net_arch": [8]}, "seed": 3}
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@each_kind
def test_defaults_are_the_presets(kind: Any) -> None:
    config = kind("MlpPolicy", KINDS[kind]).config
    preset = clipper.presets.PRESETS[f"sb3-{kind.__name__.lower()}"](KINDS[kind])
    assert config.algorithm == preset.algorithm
    assert config.policy == dataclasses.replace(preset.policy, encoder=FLAT)


def test_arguments_are_the_fields_they_name() -> None:
    env = make_vec_env("Pendulum-v1", n_envs=2)
    shared: dict[str, Any] = {
        "learning_rate": lambda left: 1e-3 * left, "buffer_size": 500, "learning_starts": 7, "batch_size": 9,
        "tau": 0.1, "gamma": 0.9, "train_freq": (4, "step"), "n_steps": 3, "optimize_memory_usage": True,
        "replay_buffer_class": ReplayBuffer,
    }  # fmt: skip
    ours: dict[str, Any] = {
        "learning_rate": Linear(1e-3), "capacity": 500, "learning_starts": 7, "batch_size": 9, "tau": 0.1, "gamma": 0.9,
        "horizon": 4, "n_step": 3,
    }  # fmt: skip
    sac = SAC("MlpPolicy", env, gradient_steps=2, ent_coef="auto_0.3", target_entropy=-0.5, **shared).config.algorithm
    assert sac == algorithms.SAC(update_ratio=2 / 8, alpha=EntropyTarget(-0.5, 0.3), **ours)
    assert SAC("MlpPolicy", env, ent_coef=0.1).config.algorithm == algorithms.SAC(
        alpha=0.1, learning_starts=100, update_ratio=0.5
    )
    td3 = TD3(
        "MlpPolicy", env, gradient_steps=-1, policy_delay=3, target_policy_noise=0.3, target_noise_clip=0.4,
        action_noise=NormalActionNoise(np.zeros(1), 0.25 * np.ones(1)),
        policy_kwargs={
            "net_arch": {"pi": [5], "qf": [6, 7]}, "activation_fn": nn.ELU, "optimizer_kwargs": {"eps": 1e-5},
        },
        **shared,
    ).config  # fmt: skip
    assert td3.algorithm == algorithms.TD3(
        update_ratio=1.0, policy_delay=3, target_noise=0.3, noise_clip=0.4, optimizer=Adam(1e-5), **ours
    )
    assert (td3.policy.hidden, td3.policy.critic_hidden, td3.policy.activation) == ((5,), (6, 7), "elu")
    assert td3.policy.head.distribution == clipper.heads.Deterministic(0.25)
    dqn = DQN(
        "MlpPolicy", "CartPole-v1", train_freq=8, gradient_steps=4, target_update_interval=100,
        exploration_fraction=0.5, exploration_initial_eps=0.9, exploration_final_eps=0.2, max_grad_norm=3.0,
    ).config.algorithm  # fmt: skip
    assert isinstance(dqn, algorithms.DQN)
    assert (dqn.lag, dqn.max_grad_norm, dqn.update_ratio) == (Periodic(50), 6.0, 0.5)
    assert dqn.exploration == clipper.exploration.EpsilonGreedy(Annealed(0.9, 0.2, 0.5))
    averages = DQN("MlpPolicy", "CartPole-v1", tau=0.1, target_update_interval=1, train_freq=1).config.algorithm
    assert isinstance(averages, algorithms.DQN)
    assert averages.lag == Polyak(0.1)


@each_kind
def test_what_is_learned_is_saved(kind: Any, tmp_path: Path) -> None:
    model = kind("MlpPolicy", KINDS[kind], **SHORT)
    before = model.learner.parameters.clone()
    model.learn(40)
    assert not torch.equal(model.learner.parameters, before)
    assert model.replay_buffer.decisions == model.num_timesteps >= 40
    model.save(tmp_path / "model")
    again = kind.load(tmp_path / "model", env=KINDS[kind])
    obs = model.observation_space.sample()
    assert np.array_equal(again.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0])
    again.learn(20, reset_num_timesteps=False)
    assert 60 <= again.num_timesteps < 64
    assert again.replay_buffer.decisions > model.num_timesteps
    model.save_replay_buffer(tmp_path / "replay")
    other = kind("MlpPolicy", KINDS[kind], **SHORT)
    other.load_replay_buffer(tmp_path / "replay")
    other.learn(20)
    assert other.num_timesteps + 38 <= other.replay_buffer.decisions < 64  # an episode that was going on is cut off


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (SAC, {"use_sde": True}, "use_sde"),
        (SAC, {"action_noise": NormalActionNoise(0, 0.1)}, "action_noise"),
        (SAC, {"target_update_interval": 2}, "target_update_interval"),
        (TD3, {"train_freq": (1, "episode")}, "not of episodes"),
        (DDPG, {"replay_buffer_class": dict}, "replay_buffer_class"),
        (DQN, {"tau": 0.5}, "by averages"),
        (TD3, {"policy_kwargs": {"n_critics": 3}}, "n_critics"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(kind: Any, arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind("MlpPolicy", KINDS[kind], **arguments)


def test_noise_has_one_deviation() -> None:
    with pytest.raises(ConfigError, match="one sigma"):
        TD3("MlpPolicy", "Pendulum-v1", action_noise=NormalActionNoise(np.zeros(2), np.array([0.1, 0.2])))


def test_a_buffer_gives_back_what_was_added_also_where_an_episode_was_cut_off() -> None:
    """Two environments, of which one ends by a termination, the other by a time limit; each number says where it is."""
    buffer = ReplayBuffer(100, Box(-99, 99, (1,)), Box(-1, 1, (1,)), n_envs=2)
    expected = {}
    obs = np.array([[0.0], [1000.0]], np.float32)
    for t in range(12):
        after, done = obs + 1, np.array([t % 4 == 3, t % 5 == 4])
        infos = [{}, {"TimeLimit.truncated": bool(done[1])}]
        buffer.add(obs, after, np.zeros((2, 1), np.float32), obs[:, 0] / 10, done, infos)
        for n in range(2):
            terminal = bool(done[n]) and n == 0
            expected[float(obs[n, 0])] = (float(obs[n, 0]) / 10, terminal, None if terminal else float(after[n, 0]))
        obs = np.where(done[:, None], obs + 100, after)  # a new episode's first observation
    assert buffer.size() == 24
    x = buffer.sample(400)
    assert x.rewards.shape == x.dones.shape == (400, 1)
    found = set()
    for seen, reward, done, after in zip(
        x.observations[:, 0].tolist(), x.rewards, x.dones, x.next_observations, strict=True
    ):
        paid, terminal, there = expected[seen]
        assert float(reward) == pytest.approx(paid)
        assert bool(done) == terminal
        assert terminal or float(after) == there
        found.add(seen)
    assert found == set(expected)
