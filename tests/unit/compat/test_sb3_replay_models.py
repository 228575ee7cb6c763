"""SAC, TD3, DDPG and DQN under SB3's names: their arguments, what they learn, files, and the buffer."""

import dataclasses
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict
from torch import nn

import clipper
from clipper import algorithms
from clipper.compat.sb3 import DDPG, DQN, SAC, TD3
from clipper.compat.sb3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from clipper.compat.sb3.common.env_util import make_vec_env
from clipper.compat.sb3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from clipper.compat.sb3.common.vec_env import VecNormalize
from clipper.errors import ClipperError, CorruptCheckpointError
from clipper.learning.optimizers import Adam
from clipper.learning.temperature import EntropyTarget

KINDS: dict[Any, str] = {SAC: "Pendulum-v1", TD3: "Pendulum-v1", DDPG: "Pendulum-v1", DQN: "CartPole-v1"}
SHORT: dict[str, Any] = {"learning_starts": 16, "batch_size": 8, "policy_kwargs": {"net_arch": [8]}, "seed": 3}
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@each_kind
def test_defaults_are_the_presets(kind: Any) -> None:
    model = kind("MlpPolicy", KINDS[kind])
    own, preset = model.algorithm(), clipper.presets.PRESETS[f"sb3-{kind.__name__.lower()}"](KINDS[kind])
    theirs: Any = preset.algorithm
    if kind is DQN:  # whose preset says Stable-Baselines3's loss and clock in Clipper's words
        shared = ("gamma", "batch_size", "capacity", "learning_starts", "learning_rate", "update_ratio", "horizon")
        assert all(getattr(own, name) == getattr(theirs, name) for name in shared)
        assert (2 * own.max_grad_norm, model.policy.net_arch) == (theirs.max_grad_norm, [64, 64])
        return
    if kind is SAC:
        assert own.alpha == EntropyTarget(-1.0)  # which is what its preset's none means here
        own, theirs = (dataclasses.replace(x, alpha=1.0) for x in (own, theirs))
    assert own == theirs
    assert tuple(model.policy.net_arch) == preset.policy.hidden
    assert model.action_noise is None


def test_arguments_are_the_fields_they_name() -> None:
    env = make_vec_env("Pendulum-v1", n_envs=2)
    shared: dict[str, Any] = {
        "learning_rate": lambda left: 1e-3 * left, "buffer_size": 500, "learning_starts": 7, "batch_size": 9,
        "tau": 0.1, "gamma": 0.9, "train_freq": (4, "step"), "n_steps": 3,
    }  # fmt: skip
    ours: dict[str, Any] = {
        "learning_rate": 1e-3, "capacity": 500, "learning_starts": 7, "batch_size": 9, "tau": 0.1, "gamma": 0.9,
        "horizon": 4, "n_step": 3,
    }  # fmt: skip
    sac = SAC("MlpPolicy", env, gradient_steps=2, ent_coef="auto_0.3", target_entropy=-0.5, **shared)
    assert sac.algorithm() == algorithms.SAC(update_ratio=2 / 8, alpha=EntropyTarget(-0.5, 0.3), **ours)
    assert isinstance(sac.replay_buffer, NStepReplayBuffer)
    sac._current_progress_remaining, sac.tau = 0.5, 0.2
    now: dict[str, Any] = ours | {"learning_rate": 5e-4, "tau": 0.2}
    assert sac.algorithm() == algorithms.SAC(update_ratio=2 / 8, alpha=EntropyTarget(-0.5, 0.3), **now)
    td3 = TD3(
        "MlpPolicy", env, gradient_steps=-1, policy_delay=3, target_policy_noise=0.3, target_noise_clip=0.4,
        policy_kwargs={
            "net_arch": {"pi": [5], "qf": [6, 7]}, "activation_fn": nn.ELU, "optimizer_kwargs": {"eps": 1e-5},
            "n_critics": 3,
        },
        **shared,
    )  # fmt: skip
    assert td3.algorithm() == algorithms.TD3(
        update_ratio=1.0, policy_delay=3, target_noise=0.3, noise_clip=0.4, optimizer=Adam(1e-5), **ours
    )
    assert [x.out_features for x in td3.critic.qf2 if isinstance(x, nn.Linear)] == [6, 7, 1]
    assert [x.out_features for x in td3.actor.mu if isinstance(x, nn.Linear)] == [5, 1]


@each_kind
def test_what_is_learned_is_saved(kind: Any, tmp_path: Path) -> None:
    model = kind("MlpPolicy", KINDS[kind], **SHORT)
    before = model.learner.parameters.clone()
    model.learn(40)
    assert not torch.equal(model.learner.parameters, before)
    assert (model.replay_buffer.size(), model._n_updates) == (40, 24 if kind is not DQN else 6)
    model.save(tmp_path / "model")
    again = kind.load(tmp_path / "model", env=KINDS[kind])
    obs = model.observation_space.sample()
    assert np.array_equal(again.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0])
    assert (again._n_updates, again.train_freq, again.num_timesteps) == (model._n_updates, model.train_freq, 40)
    model.save_replay_buffer(tmp_path / "replay")
    again.load_replay_buffer(tmp_path / "replay")
    for one in (model, again):  # both go on alike, with the same draws
        torch.manual_seed(1)
        np.random.seed(1)
        one.train(gradient_steps=3, batch_size=8)
    assert torch.equal(model.learner.parameters, again.learner.parameters)
    assert all(torch.equal(x, y) for x, y in zip(model.policy.parameters(), again.policy.parameters(), strict=True))
    again.learn(20, reset_num_timesteps=False)
    assert again.replay_buffer is not None
    assert (again.num_timesteps, again.replay_buffer.size()) == (60, 60)
    with pytest.raises(CorruptCheckpointError, match="no replay"):
        model.load_replay_buffer(tmp_path / "model.zip")
    with pytest.raises(CorruptCheckpointError, match="other environments"):
        kind("MlpPolicy", make_vec_env(KINDS[kind], n_envs=2), **SHORT).load_replay_buffer(tmp_path / "replay.pkl")


@each_kind
def test_it_goes_on_in_the_environments_that_it_was_loaded_with(kind: Any, tmp_path: Path) -> None:
    env = VecNormalize(make_vec_env(KINDS[kind]))
    kind("MlpPolicy", env, **SHORT).learn(20).save(tmp_path / "model")
    model = kind.load(tmp_path / "model", env=env, force_reset=False).learn(4, reset_num_timesteps=False)
    kept = model.replay_buffer
    assert kept.size() == 4
    assert np.array_equal(kept.observations[1:4], kept.next_observations[:3])


@pytest.mark.parametrize("kind", [SAC, TD3, DQN], ids=lambda kind: kind.__name__)
def test_an_actor_has_a_file_of_its_own(kind: Any, tmp_path: Path) -> None:
    policy = kind("MlpPolicy", KINDS[kind], **SHORT).policy
    part = policy.q_net if kind is DQN else policy.actor
    part.save(tmp_path / "part")
    seen = np.stack([policy.observation_space.sample() for _ in range(5)])
    again = type(part).load(tmp_path / "part")
    assert np.array_equal(again.predict(seen, deterministic=True)[0], policy.predict(seen, deterministic=True)[0])
    again.save(tmp_path / "again")
    part.features_extractor = nn.Identity()
    with pytest.raises(ClipperError, match="save the policy"):
        part.save(tmp_path / "part")


def test_noise_comes_back_from_a_file(tmp_path: Path) -> None:
    noise = OrnsteinUhlenbeckActionNoise(np.zeros(1), 0.2 * np.ones(1), theta=0.3)
    for given in (NormalActionNoise(np.zeros(1), 0.1 * np.ones(1)), noise):
        TD3("MlpPolicy", "Pendulum-v1", action_noise=given, **SHORT).save(tmp_path / "model")
        assert repr(TD3.load(tmp_path / "model").action_noise) == repr(given)


@pytest.mark.parametrize(
    "options", [{"use_sde": True, "sde_sample_freq": 4}, {"ent_coef": 0.1}, {"train_freq": (1, "episode")}]
)
def test_other_ways_of_sac_learn(options: dict[str, Any]) -> None:
    env = VecNormalize(make_vec_env("Pendulum-v1"))
    kwargs = {"net_arch": [8], "share_features_extractor": True, "n_critics": 1}
    model = SAC(
        "MlpPolicy",
        env,
        **(SHORT | {"policy_kwargs": kwargs, "gradient_steps": 2, "target_update_interval": 2} | options),
    )
    before = {name: x.clone() for name, x in model.policy.state_dict().items()}
    model.learn(steps := 210 if "train_freq" in options else 50)
    assert all(not torch.equal(x, before[name]) for name, x in model.policy.state_dict().items())
    assert model._n_updates == (4 if "train_freq" in options else 2 * (steps - 16))
    kept = model.replay_buffer
    assert kept is not None
    assert kept.rewards[:16].min() < -1  # as the environment gave them
    assert abs(float(kept.sample(64, env=env).rewards.mean())) < abs(float(kept.sample(64).rewards.mean()))


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (SAC, {"ent_coef": "often"}, "ent_coef is 'auto'"),
        (SAC, {"device": "meta"}, "learns on the CPU"),
        (TD3, {"train_freq": (1, "day")}, "either 'step' or 'episode'"),
        (TD3, {"env": make_vec_env("Pendulum-v1", n_envs=2), "train_freq": (1, "episode")}, "in one environment alone"),
        (DQN, {"optimize_memory_usage": True}, "handle_timeout_termination"),
        (TD3, {"policy_kwargs": {"net_arch": [0]}}, "layer of 0"),
        (TD3, {"env": "CartPole-v1"}, "only supports"),
    ],
)
def test_what_cannot_be_is_refused_by_name(kind: Any, arguments: Any, message: str) -> None:
    with pytest.raises((ClipperError, ValueError, AssertionError), match=message):
        kind("MlpPolicy", **{"env": KINDS[kind]} | arguments).learn(4)


def test_a_reward_that_is_no_number_ends_learning() -> None:
    model = DQN("MlpPolicy", "CartPole-v1", **SHORT)
    model.learn(8)
    assert model.replay_buffer is not None
    model.replay_buffer.rewards[:] = np.nan
    with pytest.raises(ClipperError, match="losses are not finite"):
        model.train(gradient_steps=1, batch_size=4)


def fill(buffer: ReplayBuffer, rows: int) -> dict[float, tuple[float, bool, float]]:
    """Two environments, of which one ends by terminations, the other by time limits; each number says where it is."""
    expected = {}
    obs = np.array([[0.0], [1000.0]], np.float32)
    for t in range(rows):
        after, done = obs + 1, np.array([t % 4 == 3, t % 5 == 4])
        infos = [{}, {"TimeLimit.truncated": bool(done[1])}]
        buffer.add(obs, after, np.zeros((2, 1), np.float32), obs[:, 0] / 10, done, infos)
        for n in range(2):
            expected[float(obs[n, 0])] = (float(obs[n, 0]) / 10, bool(done[n]) and n == 0, float(after[n, 0]))
        obs = np.where(done[:, None], obs + 100, after)  # a new episode's first observation
    return expected


def test_a_buffer_gives_back_what_was_added_also_where_an_episode_was_cut_off() -> None:
    buffer = ReplayBuffer(100, Box(-9999, 9999, (1,)), Box(-1, 1, (1,)), n_envs=2)
    expected = fill(buffer, 12)
    assert (buffer.size(), buffer.pos, buffer.full, buffer.buffer_size) == (12, 12, False, 50)
    x = buffer.sample(400)
    assert x.rewards.shape == x.dones.shape == (400, 1)
    found = set()
    for seen, reward, done, after in zip(
        x.observations[:, 0].tolist(), x.rewards, x.dones, x.next_observations, strict=True
    ):
        assert (pytest.approx(float(reward)), bool(done), float(after)) == expected[seen]
        found.add(seen)
    assert found == set(expected)


def test_sums_of_rewards_end_where_an_episode_does() -> None:
    """Against a plain loop over the rows that were added."""
    n, gamma = 3, 0.5
    buffer = NStepReplayBuffer(100, Box(-9999, 9999, (1,)), Box(-1, 1, (1,)), n_envs=2, n_steps=n, gamma=gamma)
    expected = fill(buffer, 12)
    following = {seen: after for seen, (_, _, after) in expected.items()}
    x = buffer.sample(300)
    for seen, reward, done, after, discount in zip(
        x.observations[:, 0].tolist(), x.rewards, x.dones, x.next_observations, x.discounts, strict=True
    ):
        at, last, total, count = seen, seen, 0.0, 0
        while count < n and at in expected:
            total, count = total + gamma**count * expected[at][0], count + 1
            last, at = at, following[at]
        assert float(reward) == pytest.approx(total, rel=1e-5)
        assert (bool(done), float(after), float(discount)) == (expected[last][1], following[last], gamma**count)


def test_a_ring_keeps_the_newest_rows_also_in_a_file(tmp_path: Path) -> None:
    space = Dict({"a": Box(-9999, 9999, (1,)), "b": Box(0, 1, (2, 2))})
    model = SAC("MultiInputPolicy", Ring(space), buffer_size=8, **SHORT)
    buffer = model.replay_buffer
    assert isinstance(buffer, DictReplayBuffer)
    for t in range(11):
        obs = {"a": np.full((1, 1), t, np.float32), "b": np.zeros((1, 2, 2), np.float32)}
        buffer.add(obs, obs, np.zeros((1, 1)), np.array([t]), np.array([False]), [{}])
    assert (buffer.pos, buffer.full) == (3, True)
    assert buffer.observations["a"].flatten().tolist() == [8, 9, 10, 3, 4, 5, 6, 7]
    model.save_replay_buffer(tmp_path / "replay")
    smaller = SAC("MultiInputPolicy", Ring(space), buffer_size=6, **SHORT)
    smaller.load_replay_buffer(tmp_path / "replay.pkl")
    assert smaller.replay_buffer is not None
    assert sorted(smaller.replay_buffer.rewards.flatten().tolist()) == [5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("steps", [5, 11, 16])
@pytest.mark.parametrize("size", [6, 8, 12])
def test_a_ring_without_next_observations_keeps_its_transitions_in_a_file(
    steps: int, size: int, tmp_path: Path
) -> None:
    """Observations are 0, 1, 2, …: each is followed by the next one, in a replay of any other size, too."""

    def made(buffer_size: int) -> ReplayBuffer:
        spaces = Box(-9999, 9999, (1,)), Box(-1, 1, (1,))
        return ReplayBuffer(buffer_size, *spaces, optimize_memory_usage=True, handle_timeout_termination=False)

    buffer = made(8)
    for t in range(steps):
        seen, after = (np.full((1, 1), x, np.float32) for x in (t, t + 1))
        buffer.add(seen, after, np.zeros((1, 1)), np.array([float(t)]), np.array([False]), [{}])
    other = made(size)
    other.load_state(buffer.state(), "a file")
    drawn = other.sample(400)
    rows = {(float(x), float(reward), float(y)) for x, reward, y in zip(*(drawn[0], drawn[4], drawn[2]), strict=True)}
    newest = min(steps, 7, size - 1)
    assert rows == {(t, t, t + 1) for t in range(steps - newest, steps)}


class Ring(gymnasium.Env):
    """Never ends."""

    action_space = Box(-1, 1, (1,))

    def __init__(self, space: Dict) -> None:
        self.observation_space = space

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 0.0, False, False, {}
