"""A model under Stable-Baselines3's names is Clipper's training: the same run, the same policy, the same numbers."""

import dataclasses
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

import clipper
from clipper import algorithms
from clipper.compat import sb3
from clipper.compat.sb3 import A2C, PPO, TRPO, MaskablePPO, RecurrentPPO
from clipper.compat.sb3.common.callbacks import (
    BaseCallback,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnRewardThreshold,
)
from clipper.compat.sb3.common.env_util import make_vec_env
from clipper.compat.sb3.common.evaluation import evaluate_policy
from clipper.compat.sb3.common.monitor import Monitor
from clipper.compat.sb3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize
from clipper.errors import ClipperError, ConfigError, CorruptCheckpointError, SpaceMismatchError
from clipper.learning.kl import KLStop
from clipper.learning.optimizers import Adam, RMSProp
from clipper.learning.rewards import Raw, Scaled
from clipper.networks.encoders import BoxEncoder
from clipper.networks.memory import LSTM
from clipper.networks.policy_options import EncoderOptions

FLAT = EncoderOptions(cnn="none")  # the MlpPolicy flattens images
QUICK: dict[str, Any] = {"n_steps": 32, "batch_size": 16, "n_epochs": 2, "seed": 3}


class Counting(gymnasium.Env):
    """Episodes of three steps, whose rewards are 1, 2 and 3."""

    observation_space = gymnasium.spaces.Box(0, 9, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        return np.array([self.steps], np.float32), float(self.steps), False, self.steps == 3, {}


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_learning_is_clippers_run_bit_for_bit(env: str) -> None:
    model = PPO("MlpPolicy", make_vec_env(env, n_envs=2), **QUICK).learn(256)
    preset = clipper.presets.sb3(env)
    assert isinstance(preset.algorithm, clipper.PPO)
    algorithm = dataclasses.replace(preset.algorithm, horizon=32, epochs=2, minibatches=4)
    run = clipper.train(env, algorithm, policy=preset.policy, num_envs=2, seed=3, total_steps=256, vector="serial")
    assert model.num_timesteps == run.steps
    assert torch.equal(model.learner.parameters, run.learner.parameters)
    obs = np.stack([model.observation_space.sample() for _ in range(5)])
    assert np.array_equal(model.predict(obs, deterministic=True)[0], run.policy.predict(obs))


def test_arguments_are_the_fields_they_name() -> None:
    model = PPO(
        "MlpPolicy", make_vec_env("CartPole-v1", n_envs=3), learning_rate=lambda left: 1e-3 * left, n_steps=50,
        batch_size=64, n_epochs=7, gamma=0.9, gae_lambda=0.8, clip_range=0.3, normalize_advantage=False, ent_coef=0.02,
        vf_coef=0.7, max_grad_norm=0.9, target_kl=0.05, seed=11,
        policy_kwargs={
            "net_arch": {"pi": [8], "vf": [16, 4]}, "activation_fn": nn.ELU, "ortho_init": False, "log_std_init": -1,
            "optimizer_kwargs": {"eps": 1e-7},
        },
    )  # fmt: skip
    assert model.config.algorithm == algorithms.PPO(
        horizon=50, minibatches=3, epochs=7, gamma=0.9, lam=0.8, clip=0.3, advantages=Raw(), entropy_coef=0.02,
        value_coef=0.7, max_grad_norm=0.9, stop=KLStop(0.05), learning_rate=clipper.schedules.Linear(1e-3),
        optimizer=Adam(1e-7),
    )  # fmt: skip
    assert model.config.seed == 11
    assert model.config.policy == clipper.PolicyOptions(
        hidden=(8,), critic_hidden=(16, 4), activation="elu", orthogonal=False, encoder=FLAT,
        head=clipper.HeadOptions(rescale_action=False, initial_log_std=-1.0),
    )  # fmt: skip
    assert (model.n_envs, model.n_steps, model.gamma) == (3, 50, 0.9)


def test_defaults_are_the_presets() -> None:
    for model, preset in ((PPO, clipper.presets.sb3), (A2C, clipper.presets.sb3_a2c), (TRPO, clipper.presets.sb3_trpo)):
        config = model("MlpPolicy", "CartPole-v1").config
        assert config.algorithm == preset().algorithm
        assert config.policy == dataclasses.replace(preset().policy, encoder=FLAT)
    assert A2C("MlpPolicy", "CartPole-v1", rms_prop_eps=1e-3).config.algorithm == algorithms.A2C(
        horizon=5, lam=1.0, learning_rate=7e-4, optimizer=RMSProp(0.99, 1e-3), value_coef=0.5
    )


def test_trpos_kl_is_a_sum_here() -> None:
    class Two(Counting):
        action_space: Any = gymnasium.spaces.Box(-1, 1, (2,))

    algorithm = TRPO("MlpPolicy", Two(), target_kl=0.02, cg_damping=0.1).config.algorithm
    assert isinstance(algorithm, algorithms.TRPO)
    assert (algorithm.delta, algorithm.damping) == (0.04, 0.2)


def test_normalisation_is_the_policys() -> None:
    env = VecNormalize(make_vec_env("Pendulum-v1", n_envs=2), clip_obs=5.0, clip_reward=4.0)
    model = PPO("MlpPolicy", env, **QUICK).learn(128)
    assert model.config.policy.normalise_obs
    assert model.config.policy.clip_obs == 5.0
    assert isinstance(model.config.algorithm, algorithms.PPO)
    assert model.config.algorithm.rewards == Scaled(4.0)
    assert model.get_vec_normalize_env() is env
    encoder = model.policy.encoder
    assert isinstance(encoder, BoxEncoder)
    assert encoder.normaliser is not None
    assert float(encoder.normaliser.moments.count) == model.num_timesteps
    assert np.abs(env.reset()[:, 2]).max() > 0


class Screen(gymnasium.Env):
    """Images with a dot, in a Dict or alone."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, alone: bool) -> None:
        image = gymnasium.spaces.Box(0, 255, (40, 40, 3), np.uint8)
        speed = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        self.alone = alone
        self.observation_space = image if alone else gymnasium.spaces.Dict(image=image, speed=speed)
        self.space: Any = self.observation_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.space.seed(seed)
        return self.space.sample(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict]:
        return self.space.sample(), 1.0, False, bool(self.np_random.random() < 0.2), {}


@pytest.mark.parametrize("alone", [True, False])
def test_images_and_parts(alone: bool, tmp_path: Path) -> None:
    env = DummyVecEnv([lambda: Screen(alone)] * 2)
    settings: dict[str, Any] = QUICK | {"n_steps": 8, "n_epochs": 1}
    model = PPO("CnnPolicy" if alone else "MultiInputPolicy", env, **settings).learn(16)
    assert model.config.policy.shared == alone
    obs, expected = env.reset(), None
    expected, _ = model.predict(obs, deterministic=True)
    assert expected.shape == (2,)
    env.step(expected)
    model.save(tmp_path / "model")
    assert np.array_equal(PPO.load(tmp_path / "model", env=env).predict(obs, deterministic=True)[0], expected)


def test_memory_is_carried_and_emptied_where_an_episode_begins(tmp_path: Path) -> None:
    env = make_vec_env("CartPole-v1", n_envs=2)
    settings: dict[str, Any] = {"n_steps": 16, "batch_size": 16, "n_epochs": 2, "seed": 3}
    model = RecurrentPPO("MlpLstmPolicy", env, policy_kwargs={"lstm_hidden_size": 8}, **settings).learn(64)
    assert model.config.policy.memory == LSTM(8)
    assert isinstance(model.config.algorithm, algorithms.PPO)
    assert model.config.algorithm.minibatches == 2
    model.save(tmp_path / "model")
    model = RecurrentPPO.load(tmp_path / "model", env=env)
    obs, starts = env.reset(), np.ones(2, dtype=bool)
    _, first = model.predict(obs, state=None, episode_start=starts, deterministic=True)
    _, second = model.predict(obs, state=first, episode_start=~starts, deterministic=True)
    _, again = model.predict(obs, state=second, episode_start=starts, deterministic=True)
    _, half = model.predict(obs, state=second, episode_start=np.array([True, False]), deterministic=True)
    for a, b, c, d in zip(first, second, again, half, strict=True):
        assert torch.equal(a, c)
        assert torch.equal(d[0], a[0])
        if a.any():  # the critic's stays empty
            assert not torch.equal(a, b)
            assert not torch.equal(d[1], a[1])
    mean, _ = evaluate_policy(model, env, n_eval_episodes=2)
    assert mean > 0


REFUSED: dict[str, tuple[Any, str]] = {
    "gSDE": (lambda: PPO("MlpPolicy", "CartPole-v1", use_sde=True), "use_sde=True"),
    "value clip": (lambda: PPO("MlpPolicy", "CartPole-v1", clip_range_vf=0.2), "clip_range_vf=0.2"),
    "buffer": (lambda: A2C("MlpPolicy", "CartPole-v1", rollout_buffer_class=dict), "rollout_buffer_class"),
    "window": (lambda: PPO("MlpPolicy", "CartPole-v1", stats_window_size=5), "stats_window_size=5"),
    "subsampling": (lambda: TRPO("MlpPolicy", "CartPole-v1", sub_sampling_factor=2), "sub_sampling_factor=2"),
    "policy": (lambda: PPO("CustomPolicy", "CartPole-v1"), "policy 'CustomPolicy'"),
    "no images": (lambda: PPO("CnnPolicy", "CartPole-v1"), "CnnPolicy is for images"),
    "no memory": (lambda: PPO("MlpLstmPolicy", "CartPole-v1"), "policy 'MlpLstmPolicy'"),
    "two LSTMs": (
        lambda: RecurrentPPO("MlpLstmPolicy", "CartPole-v1", policy_kwargs={"n_lstm_layers": 2}),
        "n_lstm_layers=2",
    ),
    "activation": (lambda: PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"activation_fn": nn.GELU}), "GELU"),
    "extractor": (
        lambda: PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"features_extractor_class": object}),
        r"policy_kwargs\['features_extractor_class'\]",
    ),
    "optimizer": (
        lambda: PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"optimizer_kwargs": {"amsgrad": True}}),
        r"optimizer_kwargs\['amsgrad'\]",
    ),
    "old net_arch": (lambda: PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [{"pi": [4]}]}), "net_arch"),
    "schedule": (lambda: PPO("MlpPolicy", "CartPole-v1", learning_rate=lambda left: left**2), "learning_rate is a fu"),
    "two gammas": (lambda: PPO("MlpPolicy", VecNormalize(make_vec_env("CartPole-v1")), gamma=0.9), "gamma=0.99"),
    "epsilon": (lambda: VecNormalize(make_vec_env("CartPole-v1"), epsilon=1e-4), "epsilon"),
    "no environment": (lambda: PPO("MlpPolicy", None), "PPO needs an environment"),
    "no masks": (lambda: MaskablePPO("MlpPolicy", "CartPole-v1", **QUICK).learn(32), "needs an environment with ac"),
    "replay buffer": (lambda: CheckpointCallback(5, "x", save_replay_buffer=True), "save_replay_buffer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_like_is_refused_by_name(name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises(ConfigError, match=words):
        make()


def test_other_algorithms_are_no_import() -> None:
    with pytest.raises(ImportError, match="no HER, an off-policy algorithm"):
        sb3.HER  # noqa: B018
    with pytest.raises(ImportError, match="Nonsense"):
        from clipper.compat.sb3 import Nonsense  # noqa: F401  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("kind", [PPO, A2C, TRPO])
def test_a_saved_model_goes_on_bit_for_bit(kind: type, tmp_path: Path) -> None:
    env = make_vec_env("Pendulum-v1", n_envs=2)
    model = kind("MlpPolicy", env, n_steps=16, seed=1).learn(64)
    model.save(tmp_path / "deep" / "model")
    assert (tmp_path / "deep" / "model.zip").is_file()
    loaded = kind.load(tmp_path / "deep" / "model", env=env)
    assert loaded.num_timesteps == model.num_timesteps
    assert loaded.config == dataclasses.replace(model.config, env=loaded.config.env)
    loaded.learned = model.learned
    for each in (model, loaded):
        each.learn(64, reset_num_timesteps=False)
    assert torch.equal(model.learner.parameters, loaded.learner.parameters)
    assert model.num_timesteps == loaded.num_timesteps > 64


def test_clipper_loads_its_policy(tmp_path: Path) -> None:
    model = PPO("MlpPolicy", "CartPole-v1", **QUICK).learn(64)
    model.save(tmp_path / "model")
    obs = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    expected, _ = model.predict(obs, deterministic=True)
    assert np.array_equal(clipper.load(tmp_path / "model.zip").predict(obs), expected)


def test_files_are_checked_against_what_loads_them(tmp_path: Path) -> None:
    model = PPO("MlpPolicy", "CartPole-v1", **QUICK)
    model.save(tmp_path / "model.zip")
    with pytest.raises(ConfigError, match="holds PPO, not A2C"):
        A2C.load(tmp_path / "model")
    with pytest.raises(SpaceMismatchError, match="observation"):
        PPO.load(tmp_path / "model", env="Pendulum-v1")
    with pytest.raises(ConfigError, match="learned without VecNormalize"):
        PPO.load(tmp_path / "model", env=VecNormalize(make_vec_env("CartPole-v1")))
    with pytest.raises(ConfigError, match="learning_rate=1"):
        PPO.load(tmp_path / "model", learning_rate=1)
    with pytest.raises(CorruptCheckpointError, match="there is no model"):
        PPO.load(tmp_path / "other")
    loaded = PPO.load(tmp_path / "model.zip")
    with pytest.raises(ConfigError, match="no environments to learn in"):
        loaded.learn(10)
    wider = PPO.load(tmp_path / "model", env=make_vec_env("CartPole-v1", n_envs=4))
    assert isinstance(wider.config.algorithm, algorithms.PPO)
    assert wider.config.algorithm.minibatches == 4 * 32 // 16
    data = bytearray((tmp_path / "model.zip").read_bytes())
    data[-1] ^= 1
    (tmp_path / "model.zip").write_bytes(data)
    with pytest.raises(CorruptCheckpointError, match="checksum"):
        PPO.load(tmp_path / "model")


class Seen(BaseCallback):
    """Notes what it is told."""

    def __init__(self, stop_after: int = 10**9) -> None:
        super().__init__()
        self.stop_after, self.events, self.rewards, self.episodes = stop_after, [], [], []

    def _on_training_start(self) -> None:
        self.events.append("start")

    def _on_rollout_start(self) -> None:
        self.events.append("rollout")

    def _on_step(self) -> bool:
        self.rewards.append(self.locals["rewards"].copy())
        self.episodes += [info["episode"] for info in self.locals["infos"] if "episode" in info]
        assert self.training_env.num_envs == len(self.locals["dones"]) == len(self.locals["new_obs"])
        return self.n_calls < self.stop_after

    def _on_rollout_end(self) -> None:
        self.events.append("update")
        self.logger.record("rollout/calls", self.n_calls)

    def _on_training_end(self) -> None:
        self.events.append("end")


def test_callbacks_see_every_step_before_it_is_learnt_from() -> None:
    seen = Seen()
    model = PPO("MlpPolicy", DummyVecEnv([Counting, Counting]), **QUICK)
    model.learn(100, callback=seen)
    assert seen.events == ["start", *["rollout", "update"] * 3, "end"]  # a fourth of the rows are between episodes
    assert model.num_timesteps == seen.num_timesteps == 2 * seen.n_calls == 2 * len(seen.rewards) >= 100
    assert np.concatenate(seen.rewards[:6])[::2].tolist() == [1, 2, 3, 1, 2, 3]
    assert {(e["r"], e["l"]) for e in seen.episodes} == {(6.0, 3)}
    assert model.history[-1]["rollout/calls"] == seen.n_calls


def test_a_callback_that_says_stop_ends_learning_with_the_segment() -> None:
    seen = Seen(stop_after=5)
    model = PPO("MlpPolicy", DummyVecEnv([Counting]), **QUICK).learn(10_000, callback=[seen])
    assert seen.n_calls == 5
    assert 5 < model.num_timesteps <= 32
    assert seen.events[-1] == "end"
    calls = []
    PPO("MlpPolicy", Counting(), **QUICK).learn(10_000, callback=lambda now, _: calls.append(now["dones"]) or False)
    assert len(calls) == 1
    model.learn(10_000, callback=StopTrainingOnMaxEpisodes(4))
    assert model.num_timesteps <= 32
    seen = Seen()
    model.learn(60, callback=EveryNTimesteps(20, seen))
    assert 2 <= seen.n_calls <= 4


def test_evaluations_keep_the_best_and_end_at_a_threshold(tmp_path: Path) -> None:
    evaluation = EvalCallback(
        Monitor(Counting()), callback_on_new_best=StopTrainingOnRewardThreshold(6.0), eval_freq=10, verbose=0,
        best_model_save_path=tmp_path, log_path=tmp_path, n_eval_episodes=3,
    )  # fmt: skip
    checkpoints = CheckpointCallback(save_freq=4, save_path=tmp_path, name_prefix="x")
    model = PPO("MlpPolicy", Counting(), **QUICK).learn(10_000, callback=[checkpoints, evaluation])
    assert evaluation.best_mean_reward == evaluation.last_mean_reward == 6.0
    assert model.num_timesteps <= 32
    with np.load(tmp_path / "evaluations.npz") as found:
        assert found["timesteps"].tolist() == [10]
        assert found["results"].tolist() == [[6.0] * 3]
    assert PPO.load(tmp_path / "best_model").num_timesteps == 10
    assert sorted(p.name for p in tmp_path.glob("x_*")) == ["x_4_steps.zip", "x_8_steps.zip"]


def test_metrics_go_where_tensorboard_looks(tmp_path: Path) -> None:
    model = PPO("MlpPolicy", "CartPole-v1", tensorboard_log=str(tmp_path), **QUICK)
    model.learn(64, tb_log_name="a").learn(64, tb_log_name="a")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a_1", "a_2"]
    assert (tmp_path / "a_2" / "metrics.jsonl").read_text().count("\n") == len(model.history)
    assert list((tmp_path / "a_1" / "tensorboard").iterdir())


def test_stepping_by_hand_is_the_environments_own() -> None:
    env = DummyVecEnv([Counting, lambda: Monitor(Counting())])
    assert env.reset().tolist() == [[0], [0]]
    for t in (1, 2):
        obs, rewards, dones, infos = env.step(np.array([0, 1]))
        assert obs[:, 0].tolist() == rewards.tolist() == [t, t]
        assert not dones.any()
    obs, rewards, dones, infos = env.step(np.array([0, 1]))
    assert obs.tolist() == [[0], [0]]
    assert rewards.tolist() == [3, 3]
    assert dones.all()
    assert [info["terminal_observation"].tolist() for info in infos] == [[3], [3]]
    assert all(info["TimeLimit.truncated"] for info in infos)
    assert infos[1]["episode"]["r"] == 6
    assert env.get_attr("steps") == [0, 0]
    assert env.env_is_wrapped(Monitor) == [False, True]
    env.seed(5)
    cart = make_vec_env("CartPole-v1", n_envs=2, seed=5)
    single = gymnasium.make("CartPole-v1")
    assert np.array_equal(cart.reset()[1], single.reset(seed=6)[0])


def test_other_processes_give_the_same_run() -> None:
    runs = [
        A2C("MlpPolicy", make_vec_env("CartPole-v1", n_envs=2, vec_env_cls=kind), seed=2).learn(60)
        for kind in (DummyVecEnv, SubprocVecEnv)
    ]
    assert torch.equal(*(model.learner.parameters for model in runs))
    with pytest.raises(ClipperError):
        make_vec_env("CartPole-v1", vec_env_kwargs={"start_method": "fork"})


def test_evaluation_counts_whole_episodes() -> None:
    model = PPO("MlpPolicy", Counting(), **QUICK)
    assert evaluate_policy(model, Counting(), n_eval_episodes=3) == (6.0, 0.0)
    env = DummyVecEnv([Counting] * 3)
    assert evaluate_policy(model, env, n_eval_episodes=4, return_episode_rewards=True) == ([6.0] * 4, [3] * 4)
    with pytest.raises(AssertionError, match=r"6\.00 is below the threshold"):
        evaluate_policy(model, env, reward_threshold=7)


def test_a_monitor_writes_what_it_saw(tmp_path: Path) -> None:
    env = make_vec_env(Counting, n_envs=1, monitor_dir=str(tmp_path))
    PPO("MlpPolicy", env, **QUICK).learn(32)
    header, names, *rows = (tmp_path / "0.monitor.csv").read_text().splitlines()
    assert header.startswith('#{"t_start"')
    assert names == "r,l,t"
    assert len(rows) >= 8
    assert all(row.startswith("6.0,3,") for row in rows)


def test_settings_of_vecnormalize_are_json(tmp_path: Path) -> None:
    env = VecNormalize(make_vec_env("Pendulum-v1"), norm_reward=False, clip_obs=3.0)
    env.save(tmp_path / "stats.pkl")
    loaded = VecNormalize.load(tmp_path / "stats.pkl", make_vec_env("Pendulum-v1"))
    assert (loaded.norm_obs, loaded.norm_reward, loaded.clip_obs) == (True, False, 3.0)
    for text in ("cos\nsystem\n(S'true'\ntR.", "[]", '{"norm_obs": 1}', '{"norm_obs": "os.system"}'):
        (tmp_path / "evil.pkl").write_text(text)
        with pytest.raises(ClipperError):
            VecNormalize.load(tmp_path / "evil.pkl", env)
