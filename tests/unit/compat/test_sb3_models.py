"""Models under Stable-Baselines3's names: arguments are Clipper's fields; files, callbacks and masks do as there."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

import clipper
from clipper import algorithms
from clipper.compat import sb3
from clipper.compat.sb3 import A2C, PPO, TRPO, MaskablePPO, RecurrentPPO
from clipper.compat.sb3.common.callbacks import BaseCallback, EvalCallback, StopTrainingOnMaxEpisodes
from clipper.compat.sb3.common.env_util import make_vec_env
from clipper.compat.sb3.common.envs import InvalidActionEnvDiscrete
from clipper.compat.sb3.common.evaluation import evaluate_policy
from clipper.compat.sb3.common.maskable.callbacks import MaskableEvalCallback
from clipper.compat.sb3.common.maskable.evaluation import evaluate_policy as maskable_evaluation
from clipper.compat.sb3.common.policies import ActorCriticPolicy
from clipper.compat.sb3.common.torch_layers import BaseFeaturesExtractor
from clipper.compat.sb3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize
from clipper.errors import ClipperError, ConfigError, CorruptCheckpointError
from clipper.learning.kl import KLStop
from clipper.learning.optimizers import Adam, RMSProp
from clipper.learning.rewards import Raw
from clipper.storage import checkpoint

QUICK: dict[str, Any] = {"n_steps": 32, "batch_size": 16, "n_epochs": 2, "seed": 3}


class Counting(gymnasium.Env):
    """Episodes of three steps, whose rewards are 1, 2 and 3."""

    observation_space = gymnasium.spaces.Box(0, 9, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    steps, level = 0, 1.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        return np.array([self.steps], np.float32), self.level * self.steps, False, self.steps == 3, {"speed": 2.5}

    def set_level(self, level: float) -> None:
        self.level = level


class NoneLegal(Counting):
    """Allows nothing."""

    def action_masks(self) -> np.ndarray:
        return np.zeros(2, bool)


class Flat(BaseFeaturesExtractor):
    """An extractor of one's own."""

    def __init__(self, space: gymnasium.Space, width: int) -> None:
        super().__init__(space, width)
        self.layer = nn.Linear(4, width)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.layer(obs).relu()


def test_arguments_are_the_fields_they_name() -> None:
    model = PPO(
        "MlpPolicy", make_vec_env("CartPole-v1", n_envs=3), learning_rate=lambda left: 1e-3 * left**2, n_steps=50,
        batch_size=64, n_epochs=7, gamma=0.9, gae_lambda=0.8, clip_range=0.3, normalize_advantage=False, ent_coef=0.02,
        vf_coef=0.7, max_grad_norm=0.9, target_kl=0.05, seed=11, policy_kwargs={"optimizer_kwargs": {"eps": 1e-7}},
    )  # fmt: skip
    expected = algorithms.PPO(
        horizon=50, minibatches=3, epochs=7, gamma=0.9, lam=0.8, clip=0.3, advantages=Raw(), entropy_coef=0.02,
        value_coef=0.7, max_grad_norm=0.9, stop=KLStop(0.05), learning_rate=1e-3, optimizer=Adam(1e-7),
    )  # fmt: skip
    assert model.algorithm() == expected
    model._current_progress_remaining = 0.5
    assert model.algorithm() == dataclasses.replace(expected, learning_rate=0.25e-3)
    model.ent_coef, model.n_epochs, model.clip_range = 0.5, 2, 0.1
    assert model.algorithm() == dataclasses.replace(
        expected, learning_rate=0.25e-3, entropy_coef=0.5, epochs=2, clip=0.1
    )
    model.learning_rate = 0.3
    assert model.algorithm().learning_rate == 0.3


def test_defaults_are_the_presets() -> None:
    for model, preset in ((PPO, clipper.presets.sb3), (A2C, clipper.presets.sb3_a2c), (TRPO, clipper.presets.sb3_trpo)):
        assert model("MlpPolicy", "CartPole-v1").algorithm() == preset().algorithm
    assert A2C("MlpPolicy", "CartPole-v1", rms_prop_eps=1e-3).algorithm().optimizer == RMSProp(0.99, 1e-3)


def test_trpos_kl_is_a_sum_here() -> None:
    class Two(Counting):
        action_space: Any = gymnasium.spaces.Box(-1, 1, (2,))

    algorithm = TRPO("MlpPolicy", Two(), target_kl=0.02, cg_damping=0.1).algorithm()
    assert (algorithm.delta, algorithm.damping) == (0.04, 0.2)


SETTINGS: dict[str, Any] = {
    "extractor": {"features_extractor_class": Flat, "features_extractor_kwargs": {"width": 5}},
    "apart": {
        "share_features_extractor": False,
        "features_extractor_class": Flat,
        "features_extractor_kwargs": {"width": 3},
    },
    "optimizer": {"optimizer_class": torch.optim.AdamW, "optimizer_kwargs": {"weight_decay": 0.01}},
    "widths": {"net_arch": {"pi": [8], "vf": [4, 4]}, "activation_fn": nn.GELU, "ortho_init": False},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_policies_of_ones_own_learn_and_come_back(name: str, tmp_path: Path) -> None:
    model = PPO("MlpPolicy", "CartPole-v1", policy_kwargs=SETTINGS[name], clip_range_vf=0.2, **QUICK)
    before = {k: x.clone() for k, x in model.policy.state_dict().items()}
    model.learn(64)
    assert all(not torch.equal(x, before[k]) for k, x in model.policy.state_dict().items())
    model.save(tmp_path / "model")
    again = PPO.load(tmp_path / "model", env="CartPole-v1")
    obs = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    assert np.array_equal(again.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0])


@pytest.mark.parametrize("kind", [PPO, A2C, TRPO])
def test_a_saved_model_goes_on_bit_for_bit(kind: Any, tmp_path: Path) -> None:
    env = make_vec_env(Counting, n_envs=2)
    model = kind("MlpPolicy", env, n_steps=16, seed=1).learn(64)
    model.save(tmp_path / "deep" / "model")
    loaded = kind.load(tmp_path / "deep" / "model", env=env)
    assert loaded.num_timesteps == model.num_timesteps == 64
    results = []
    for each in (model, loaded):
        torch.manual_seed(5)
        each._last_obs = None
        results.append(each.learn(64, reset_num_timesteps=False).learner.parameters.clone())
    assert torch.equal(*results)
    assert model.num_timesteps == loaded.num_timesteps == 128


def test_files_are_checked_against_what_loads_them(tmp_path: Path) -> None:
    model = PPO("MlpPolicy", "CartPole-v1", learning_rate=lambda left: left, **QUICK)
    with pytest.warns(UserWarning, match="no file keeps learning_rate"):
        model.save(tmp_path / "model.zip")
    with pytest.raises(ConfigError, match=r"learning_rate was .*custom_objects"):
        PPO.load(tmp_path / "model")
    assert PPO.load(tmp_path / "model", custom_objects={"learning_rate": 0.5}).learning_rate == 0.5
    model = PPO("MlpPolicy", "CartPole-v1", **QUICK)
    with (tmp_path / "model.zip").open("wb") as file:
        model.save(file)
    with pytest.raises(ConfigError, match="holds PPO, not A2C"):
        A2C.load(tmp_path / "model")
    with pytest.raises(ValueError, match="the model has observations of"):
        PPO.load(tmp_path / "model", env="Pendulum-v1")
    with pytest.raises(CorruptCheckpointError, match="there is no model"):
        PPO.load(tmp_path / "other")
    with pytest.raises(ConfigError, match="no environments to learn in"):
        PPO.load(tmp_path / "model.zip").learn(10)
    data = bytearray((tmp_path / "model.zip").read_bytes())
    data[-1] ^= 1
    (tmp_path / "model.zip").write_bytes(data)
    with pytest.raises(CorruptCheckpointError, match="checksum"):
        PPO.load(tmp_path / "model")


REFUSED: dict[str, tuple[Any, str]] = {
    "subsampling": (lambda: TRPO("MlpPolicy", "CartPole-v1", sub_sampling_factor=2), "sub_sampling_factor=2"),
    "policy": (lambda: PPO("CustomPolicy", "CartPole-v1"), "CustomPolicy unknown"),
    "no images": (lambda: PPO("CnnPolicy", "CartPole-v1"), "NatureCNN reads images, and"),
    "no environment": (lambda: PPO("MlpPolicy", None), "PPO needs an environment"),
    "no masks": (lambda: MaskablePPO("MlpPolicy", "CartPole-v1", **QUICK).learn(32), "has no action_masks: wrap it"),
    "no masks to evaluate by": (
        lambda: maskable_evaluation(MaskablePPO("MlpPolicy", "CartPole-v1", **QUICK), make_vec_env("CartPole-v1")),
        "has no action_masks: wrap it",
    ),
    "no masks during evaluation": (
        lambda: MaskablePPO("MlpPolicy", NoneLegal(), **QUICK).learn(32, MaskableEvalCallback(Counting())),
        "has no action_masks: wrap it",
    ),
    "a policy without masks": (lambda: MaskablePPO(ActorCriticPolicy, NoneLegal()), "ActorCriticPolicy is none"),
    "no environments": (lambda: DummyVecEnv([]), "this one is empty"),
    "no workers": (lambda: SubprocVecEnv([]), "this one is empty"),
    "no Dict": (lambda: PPO("MultiInputPolicy", "CartPole-v1"), "reads Dict observations"),
    "no width": (lambda: PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [0]}), "layer of 0"),
    "no device": (lambda: PPO("MlpPolicy", "CartPole-v1", device="foo"), "no device of torch"),
    "nothing legal": (lambda: MaskablePPO("MlpPolicy", NoneLegal(), **QUICK).learn(32), "0 allows no action"),
    "too few flags": (
        lambda: MaskablePPO("MlpPolicy", Counting(), **QUICK).predict(np.zeros(1), action_masks=[True]), "gave 1 flags",
    ),
    "flags that are none": (
        lambda: MaskablePPO("MlpPolicy", Counting(), **QUICK).predict(np.zeros(1), action_masks=[np.nan, 1.0]),
        "True or False",
    ),
    "hindsight": (lambda: sb3.HerReplayBuffer(1), "no HerReplayBuffer: hindsight"),  # pyright: ignore
    "its own environments": (
        lambda: (env := make_vec_env(Counting)) and PPO("MlpPolicy", env, **QUICK).learn(32, EvalCallback(env)),
        "make others for it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_an_error_that_says_why(name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises((ClipperError, ValueError, AssertionError), match=words):
        make()


class Seen(BaseCallback):
    """Notes what it is told, and raises the level of the environments."""

    def __init__(self, stop_after: int = 10**9) -> None:
        super().__init__()
        self.stop_after, self.rewards, self.infos = stop_after, list[np.ndarray](), list[dict]()

    def _on_rollout_start(self) -> None:
        self.training_env.env_method("set_level", 5.0)

    def _on_step(self) -> bool:
        self.rewards.append(self.locals["rewards"].copy())
        self.infos += self.locals["infos"]
        assert (self.locals["new_obs"][self.locals["dones"]] == 0).all()
        self.logger.record("x/flag", True)
        return self.n_calls < self.stop_after


@pytest.mark.parametrize("kind", [DummyVecEnv, SubprocVecEnv])
def test_callbacks_see_and_reach_the_environments(kind: Any) -> None:
    seen, env = Seen(), make_vec_env(Counting, n_envs=2, vec_env_cls=kind)
    model = PPO("MlpPolicy", env, **QUICK).learn(100, callback=seen)
    env.close()
    assert model.num_timesteps == seen.num_timesteps == 128 == 2 * seen.n_calls
    assert np.concatenate(seen.rewards[:6])[::2].tolist() == [5, 10, 15, 5, 10, 15]
    assert all(info["speed"] == 2.5 for info in seen.infos)
    ends = [info for info in seen.infos if "episode" in info]
    assert len(ends) == 42
    assert all(info["terminal_observation"] == 3 and info["episode"]["r"] == 30 for info in ends)
    assert model.history[-1]["x/flag"] == 1
    assert model.history[-1]["episode/return"] == 30


def test_a_callback_that_says_stop_ends_learning_at_once() -> None:
    seen = Seen(stop_after=5)
    model = PPO("MlpPolicy", Counting(), **QUICK).learn(10_000, callback=[seen])
    assert seen.n_calls == model.num_timesteps == 5
    assert PPO("MlpPolicy", Counting(), **QUICK).learn(100, StopTrainingOnMaxEpisodes(4)).num_timesteps == 12
    assert PPO("MlpPolicy", Counting(), **QUICK).learn(0).num_timesteps == 0


def test_masked_choices_are_never_taken() -> None:
    env = InvalidActionEnvDiscrete(dim=10, n_invalid_actions=9, ep_length=20)
    model = MaskablePPO("MlpPolicy", env, **QUICK).learn(64)
    assert evaluate_policy(model, env, n_eval_episodes=2, warn=False) == (20.0, 0.0)
    assert model.rollout_buffer.rewards.min() > 0.5  # 1, and at a time limit V besides


def test_memory_is_carried_and_emptied_where_an_episode_begins() -> None:
    env = make_vec_env("CartPole-v1", n_envs=2)
    model = RecurrentPPO("MlpLstmPolicy", env, n_steps=16, n_epochs=1, policy_kwargs={"lstm_hidden_size": 8}, seed=3)
    model.learn(64)
    obs, starts = env.reset(), np.ones(2, dtype=bool)
    _, first = model.predict(obs, state=None, episode_start=starts, deterministic=True)
    _, second = model.predict(obs, state=first, episode_start=~starts, deterministic=True)
    _, again = model.predict(obs, state=second, episode_start=starts, deterministic=True)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_normalisation_comes_back_from_a_file_and_no_other(tmp_path: Path) -> None:
    env = VecNormalize(make_vec_env("Pendulum-v1", n_envs=2), norm_reward=False, clip_obs=3.0)
    PPO("MlpPolicy", env, **QUICK).learn(64)
    env.save(tmp_path / "stats.pkl")
    loaded = VecNormalize.load(tmp_path / "stats.pkl", make_vec_env("Pendulum-v1", n_envs=2))
    assert (loaded.norm_reward, loaded.clip_obs, loaded.obs_rms.count) == (False, 3.0, env.obs_rms.count)
    assert np.array_equal(loaded.obs_rms.mean, env.obs_rms.mean)
    for text in ("cos\nsystem\n(S'true'\ntR.", "[]", '{"norm_obs": 1}'):
        (tmp_path / "evil.pkl").write_text(text)
        with pytest.raises(ClipperError):
            VecNormalize.load(tmp_path / "evil.pkl", env)


class Trap:
    """What a hostile file names: whoever makes one, or calls it, has run what the file said."""

    sprung: ClassVar[list[object]] = []

    def __init__(self, *args: object, **kwargs: object) -> None:
        Trap.sprung.append((args, kwargs))


class TrapModule(nn.Module):
    """The same, which is a network but no policy and no extractor."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()
        Trap.sprung.append((args, kwargs))


NAMED = ("policy_class", "features_extractor_class", "activation_fn", "optimizer_class", "learning_rate", "clip_range")


@pytest.mark.parametrize("trap", ["Trap", "Trap.__init__", "Trap.sprung.append"])
@pytest.mark.parametrize("setting", NAMED)
def test_a_file_s_names_call_nothing_but_networks_and_optimizers(setting: str, trap: str, tmp_path: Path) -> None:
    PPO("MlpPolicy", "CartPole-v1", **QUICK).save(tmp_path / "model.zip")
    tensors, values = checkpoint.load(tmp_path / "model.zip")
    settings: Any = values["settings"]
    for name in (trap, *(["TrapModule"] if setting != "activation_fn" else [])):
        named = {"name": f"{__name__}:{name}"}
        of_policy = setting not in ("policy_class", "learning_rate", "clip_range")
        changed = {"policy_kwargs": {"dict": {setting: named}}} if of_policy else {setting: named}
        checkpoint.save(tmp_path / "bad.zip", tensors, values | {"settings": settings | changed})
        with pytest.raises(CorruptCheckpointError, match=f"{setting}.*{name}"):
            PPO.load(tmp_path / "bad.zip")
    assert not Trap.sprung


@pytest.mark.parametrize(("kind", "options"), [(PPO, {}), (A2C, {"use_sde": True}), (MaskablePPO, {})])
def test_a_policy_is_kept_without_its_model(kind: Any, options: dict[str, Any], tmp_path: Path) -> None:
    env = InvalidActionEnvDiscrete(dim=3, n_invalid_actions=1) if kind is MaskablePPO else "Pendulum-v1"
    policy: Any = kind("MlpPolicy", env, seed=0, **options).policy
    policy.save(tmp_path / "policy")
    again = type(policy).load(tmp_path / "policy")
    obs = policy.observation_space.sample()
    np.testing.assert_allclose(
        again.predict(obs, deterministic=True)[0], policy.predict(obs, deterministic=True)[0], rtol=1e-5
    )
    assert all(torch.equal(x, y) for x, y in zip(again.parameters(), policy.parameters(), strict=True))
