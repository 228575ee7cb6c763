"""Presets are the settings that the libraries document, line by line. ``make parity`` asks the libraries themselves."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from batches import ACTIONS, OBSERVATIONS

import clipper
from clipper import PPO, Config, PolicyOptions
from clipper.algorithms import OFF_POLICY
from clipper.cli.arguments import train_defaults
from clipper.cli.command_options import Train
from clipper.cli.commands import run_command
from clipper.errors import ConfigError
from clipper.learning.advantages import Standardised
from clipper.learning.kl import KLStop, Sampled
from clipper.learning.optimizers import Adam
from clipper.learning.rewards import Raw, Scaled
from clipper.learning.schedules import Linear
from clipper.learning.value_losses import ClippedMSE
from clipper.networks.heads import SoftplusOfState, TanhGaussian
from clipper.networks.heads.scales import Fixed, LinearStd
from clipper.settings import presets
from clipper.settings.config_json import from_json, to_json

OPENAI = {
    "algorithm.horizon": 2048, "algorithm.minibatches": 32, "algorithm.lam": 0.95, "algorithm.gamma": 0.99,
    "algorithm.epochs": 10, "algorithm.entropy_coef": 0.0, "algorithm.learning_rate": Linear(3e-4),
    "algorithm.clip": 0.2, "algorithm.value_coef": 0.5 * 0.5, "algorithm.value_loss": ClippedMSE(0.2),
    "algorithm.max_grad_norm": 0.5, "algorithm.optimizer": Adam(1e-5),
    "algorithm.advantages": Standardised("minibatch", 1), "algorithm.rewards": Scaled(10.0),
    "policy.normalise_obs": True, "policy.clip_obs": 10.0, "policy.hidden": (64, 64), "policy.activation": "tanh",
    "policy.shared": False,
    "policy.orthogonal": True, "policy.hidden_gain": 2**0.5, "policy.value_gain": 1.0, "policy.head.action_gain": 0.01,
    "policy.head.initial_log_std": 0.0, "policy.head.rescale_action": False, "num_envs": 1, "total_steps": 1_000_000,
}  # fmt: skip
WRITTEN: dict[str, dict[str, Any]] = {
    "cleanrl": {
        "num_envs": 4, "algorithm.horizon": 128, "algorithm.minibatches": 4, "algorithm.epochs": 4,
        "algorithm.learning_rate": Linear(2.5e-4), "algorithm.entropy_coef": 0.01, "algorithm.value_coef": 0.5 * 0.5,
        "algorithm.value_loss": ClippedMSE(0.2), "algorithm.clip": 0.2,
        "algorithm.advantages": Standardised("minibatch", 1), "algorithm.rewards": Raw(),
        "policy.normalise_obs": False, "total_steps": 500_000,
    },
    "cleanrl-atari": {
        "num_envs": 8, "algorithm.horizon": 128, "algorithm.minibatches": 4, "algorithm.epochs": 4,
        "algorithm.learning_rate": Linear(2.5e-4), "algorithm.entropy_coef": 0.01, "algorithm.value_coef": 0.5 * 0.5,
        "algorithm.value_loss": ClippedMSE(0.1), "algorithm.clip": 0.1, "algorithm.gamma": 0.99, "algorithm.lam": 0.95,
        "algorithm.max_grad_norm": 0.5, "algorithm.optimizer": Adam(1e-5), "policy.shared": True, "policy.hidden": (),
        "policy.encoder.cnn": "nature", "total_steps": 10_000_000,
    },
    "cleanrl-continuous": OPENAI,
    "baselines": OPENAI | {"algorithm.advantages": Standardised("minibatch", 0)},
    "sb3": {
        "num_envs": 1, "algorithm.horizon": 2048, "algorithm.minibatches": 2048 // 64, "algorithm.epochs": 10,
        "algorithm.learning_rate": 3e-4, "algorithm.gamma": 0.99, "algorithm.lam": 0.95, "algorithm.clip": 0.2,
        "algorithm.value_loss": clipper.value_losses.MSE(), "algorithm.value_coef": 0.5, "algorithm.max_grad_norm": 0.5,
        "algorithm.optimizer": Adam(1e-5), "algorithm.stop": None, "policy.normalise_obs": False,
        "policy.head.rescale_action": False,
    },
    "sb3-a2c": {
        "num_envs": 1, "algorithm.horizon": 5, "algorithm.lam": 1.0, "algorithm.learning_rate": 7e-4,
        "algorithm.optimizer": clipper.optimizers.RMSProp(0.99, 1e-5), "algorithm.value_coef": 0.5,
        "algorithm.max_grad_norm": 0.5, "algorithm.advantages": Raw(),
    },
    "sb3-trpo": {
        "num_envs": 1, "algorithm.horizon": 2048, "algorithm.value_minibatches": 2048 // 128,
        "algorithm.value_epochs": 10, "algorithm.cg_iterations": 15, "algorithm.damping": 0.1,
        "algorithm.shrink": 0.8, "algorithm.tries": 10, "algorithm.delta": 0.01, "algorithm.value_learning_rate": 1e-3,
        "algorithm.max_grad_norm": float("inf"), "algorithm.advantages": Standardised("batch", 1),
    },
}  # fmt: skip
SPINNING_UP = {
    "num_envs": 1, "total_steps": 50 * 4000, "algorithm.horizon": 4000, "algorithm.gamma": 0.99, "algorithm.lam": 0.97,
    "algorithm.learning_rate": 3e-4, "algorithm.optimizer": Adam(1e-8),
    "algorithm.max_grad_norm": float("inf"), "algorithm.advantages": Standardised("batch", 0),
    "algorithm.entropy_coef": 0.0, "policy.hidden": (64, 64), "policy.activation": "tanh",
    "policy.shared": False, "policy.orthogonal": False, "policy.head.initial_log_std": -0.5,
    "policy.head.rescale_action": False, "policy.normalise_obs": False, "algorithm.rewards": Raw(),
}  # fmt: skip
WRITTEN["spinning-up"] = SPINNING_UP | {
    "algorithm.epochs": 80, "algorithm.minibatches": 1, "algorithm.clip": 0.2,
    "algorithm.stop": KLStop(0.01, "minibatch"), "algorithm.kl": Sampled("k1"), "algorithm.value_epochs": 80,
    "algorithm.value_minibatches": 1, "algorithm.value_learning_rate": 1e-3,
    "algorithm.value_loss": clipper.value_losses.MSE(),
    "algorithm.critic_target": clipper.critic_targets.MonteCarlo(), "algorithm.critic_first": False,
}  # fmt: skip
WRITTEN["spinning-up-vpg"] = SPINNING_UP | {
    "algorithm.value_learning_rate": 1e-3, "algorithm.value_epochs": 80, "algorithm.value_minibatches": 1,
}  # fmt: skip
WRITTEN["ppo-pytorch"] = {
    "num_envs": 1, "total_steps": 3_000_000, "algorithm.horizon": 4 * 1000, "algorithm.epochs": 80,
    "algorithm.minibatches": 1, "algorithm.value_epochs": 80, "algorithm.clip": 0.2, "algorithm.gamma": 0.99,
    "algorithm.learning_rate": 0.0003, "algorithm.value_learning_rate": 0.001, "algorithm.entropy_coef": 0.01,
    "algorithm.optimizer": Adam(1e-8), "algorithm.max_grad_norm": float("inf"), "algorithm.lam": 1.0,
    "algorithm.stop": None, "policy.hidden": (64, 64), "policy.activation": "tanh", "policy.shared": False,
    "policy.orthogonal": False, "policy.head.initial_log_std": pytest.approx(np.log(0.6)),
    "policy.head.std": LinearStd(0.1),
}  # fmt: skip
WRITTEN["ten-tricks"] = {
    "num_envs": 1, "total_steps": 3_000_000, "algorithm.horizon": 2048, "algorithm.minibatches": 2048 // 64,
    "algorithm.epochs": 10, "algorithm.learning_rate": Linear(3e-4), "algorithm.value_learning_rate": Linear(3e-4),
    "algorithm.value_epochs": 10, "algorithm.value_minibatches": 2048 // 64, "algorithm.gamma": 0.99,
    "algorithm.lam": 0.95, "algorithm.clip": 0.2, "algorithm.entropy_coef": 0.01, "algorithm.optimizer": Adam(1e-5),
    "algorithm.max_grad_norm": 0.5, "algorithm.advantages": Standardised("batch", 1), "algorithm.stop": None,
    "algorithm.critic_target": None, "policy.hidden": (64, 64), "policy.activation": "tanh",
    "policy.hidden_gain": 1.0, "policy.value_gain": 1.0, "policy.head.action_gain": 0.01,
    "policy.normalise_obs": True, "policy.head.initial_log_std": 0.0,
}  # fmt: skip
WRITTEN["di-engine-hybrid"] = {
    "num_envs": 8, "algorithm.horizon": 3200 // 8, "algorithm.minibatches": 3200 // 320, "algorithm.epochs": 10,
    "algorithm.learning_rate": 3e-4, "algorithm.clip": 0.2, "algorithm.entropy_coef": 0.03,
    "algorithm.value_coef": 0.5 * 0.5, "algorithm.value_loss": ClippedMSE(0.2), "algorithm.gamma": 0.99,
    "algorithm.lam": 0.95, "algorithm.parts": clipper.action_parts.PerPart(),
    "policy.hidden": (256, 128, 64, 64), "policy.activation": "relu", "policy.shared": True,
    "policy.head.initial_log_std": pytest.approx(np.log(0.3)), "policy.head.std": Fixed(),
}  # fmt: skip
WRITTEN["andrychowicz"] = {
    "algorithm.clip": 0.25, "algorithm.lam": 0.9, "algorithm.gamma": 0.99, "algorithm.epochs": 10,
    "algorithm.learning_rate": Linear(3e-4), "algorithm.entropy_coef": 0.0,
    "algorithm.value_loss": clipper.value_losses.MSE(),
    "algorithm.recompute": True, "algorithm.objective": clipper.objectives.Clip(), "algorithm.stop": None,
    "algorithm.advantages": Standardised("minibatch", 1), "algorithm.max_grad_norm": 0.5,
    "algorithm.rewards": Raw(),
    "policy.hidden": (64, 64), "policy.critic_hidden": (256, 256), "policy.activation": "tanh",
    "policy.shared": False, "policy.hidden_gain": 2**0.5, "policy.head.action_gain": 0.01, "policy.value_gain": 1.0,
    "policy.normalise_obs": True, "policy.clip_obs": 10.0, "policy.normalise_returns": True,
    "policy.head.distribution": TanhGaussian(), "policy.head.std": SoftplusOfState(),
    "policy.head.initial_log_std": pytest.approx(np.log(0.5)),
}  # fmt: skip

# SB3's and CleanRL's scripts, and Spinning Up's functions, as their argument lists have them.
NETWORK = {"policy.activation": "relu", "policy.orthogonal": False, "num_envs": 1}
PEERS = {
    "sb3": {
        "total_steps": 1_000_000, "algorithm.batch_size": 256, "algorithm.learning_starts": 100, "algorithm.horizon": 1,
    },
    "cleanrl": {
        "total_steps": 1_000_000, "algorithm.batch_size": 256, "policy.hidden": (256, 256), "algorithm.horizon": 1,
    },
    "spinning-up": {
        "total_steps": 100 * 4000, "algorithm.batch_size": 100, "policy.hidden": (256, 256), "algorithm.horizon": 50,
        "algorithm.learning_rate": 1e-3, "algorithm.learning_starts": 10_000,
    },
}  # fmt: skip
COMMON = NETWORK | {
    "algorithm.gamma": 0.99, "algorithm.tau": 0.005, "algorithm.capacity": 1_000_000, "algorithm.update_ratio": 1.0,
    "algorithm.optimizer": Adam(1e-8), "algorithm.max_grad_norm": float("inf"), "algorithm.n_step": 1,
}  # fmt: skip
for peer, words in PEERS.items():
    rate = 3e-4 if peer == "cleanrl" else 1e-3
    starts = {} if peer != "cleanrl" else {"algorithm.learning_starts": 25_000}
    hidden = {"policy.hidden": (400, 300) if peer == "sb3" else (256, 256)}
    noise = {"policy.head.distribution.noise": 0.1, "algorithm.learning_rate": rate}
    WRITTEN[f"{peer}-ddpg"] = COMMON | words | noise | starts | hidden
    delayed = {"algorithm.target_noise": 0.2, "algorithm.noise_clip": 0.5, "algorithm.policy_delay": 2}
    WRITTEN[f"{peer}-td3"] = WRITTEN[f"{peer}-ddpg"] | delayed
    alpha = 0.2 if peer == "spinning-up" else clipper.temperature.EntropyTarget(None, 1.0)
    rates = {"sb3": (3e-4, None), "cleanrl": (3e-4, 1e-3), "spinning-up": (1e-3, None)}[peer]
    WRITTEN[f"{peer}-sac"] = COMMON | words | {
        "algorithm.alpha": alpha, "algorithm.learning_rate": rates[0], "algorithm.critic_learning_rate": rates[1],
        "policy.hidden": (256, 256), "algorithm.learning_starts": {"sb3": 100, "cleanrl": 5_000}.get(peer, 10_000),
    }  # fmt: skip
WRITTEN["bester-pdqn"] = WRITTEN["bester-mpdqn"] = {
    "num_envs": 1, "algorithm.gamma": 0.9, "algorithm.batch_size": 128, "algorithm.capacity": 10_000,
    "algorithm.tau": 0.1, "algorithm.argument_tau": 0.001, "algorithm.learning_rate": 1e-3,
    "algorithm.argument_learning_rate": 1e-4, "algorithm.max_grad_norm": 10.0, "policy.hidden": (128,),
}  # fmt: skip
WRITTEN["sb3-dqn"] = NETWORK | {
    "algorithm.learning_rate": 1e-4, "algorithm.capacity": 1_000_000, "algorithm.learning_starts": 100,
    "algorithm.batch_size": 32, "algorithm.lag": clipper.critic_targets.Periodic(10_000 // 4), "algorithm.gamma": 0.99,
    "algorithm.horizon": 4, "algorithm.update_ratio": 1 / 4, "algorithm.double": False, "policy.hidden": (64, 64),
    "algorithm.exploration.epsilon": clipper.schedules.Annealed(1.0, 0.05, 0.1),
}  # fmt: skip
WRITTEN["cleanrl-dqn"] = NETWORK | {
    "algorithm.learning_rate": 2.5e-4, "algorithm.capacity": 10_000, "algorithm.learning_starts": 10_000,
    "algorithm.batch_size": 128, "algorithm.lag": clipper.critic_targets.Periodic(500 // 10), "algorithm.horizon": 10,
    "algorithm.update_ratio": 1 / 10, "algorithm.exploration.epsilon": clipper.schedules.Annealed(1.0, 0.05, 0.5),
    "algorithm.q_loss": clipper.value_losses.MSE(), "policy.hidden": (120, 84), "total_steps": 500_000,
    "algorithm.max_grad_norm": float("inf"),
}  # fmt: skip

# Rows of hyperparams/ppo.yml in its own words; what a row leaves out is Stable-Baselines3's default.
ZOO_DEFAULTS: dict[str, Any] = {
    "n_envs": 1, "n_steps": 2048, "batch_size": 64, "n_epochs": 10, "gamma": 0.99, "gae_lambda": 0.95,
    "learning_rate": 3e-4, "clip_range": 0.2, "ent_coef": 0.0, "vf_coef": 0.5, "max_grad_norm": 0.5,
    "normalize": False,
}  # fmt: skip
ZOO: dict[str, dict[str, Any]] = {
    "CartPole-v1": {
        "n_envs": 8, "n_timesteps": 1e5, "n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98,
        "n_epochs": 20, "learning_rate": "lin_0.001", "clip_range": "lin_0.2",
    },
    "BipedalWalker-v3": {
        "normalize": True, "n_envs": 32, "n_timesteps": 5e6, "gamma": 0.999, "clip_range": 0.18,
    },
    "LunarLanderContinuous-v3": {
        "n_envs": 16, "n_timesteps": 1e6, "n_steps": 1024, "gae_lambda": 0.98, "gamma": 0.999, "n_epochs": 4,
        "ent_coef": 0.01,
    },
    "InvertedDoublePendulum-v5": {
        "normalize": True, "n_timesteps": 1e6, "batch_size": 512, "n_steps": 128, "gamma": 0.98,
        "learning_rate": 0.000155454, "ent_coef": 1.05057e-06, "clip_range": 0.4, "gae_lambda": 0.8,
        "vf_coef": 0.695929,
    },
    "Walker2d-v5": {
        "normalize": True, "n_timesteps": 1e6, "batch_size": 32, "n_steps": 512, "learning_rate": 5.05041e-05,
        "ent_coef": 0.000585045, "clip_range": 0.1, "n_epochs": 20, "max_grad_norm": 1, "vf_coef": 0.871923,
    },
    "Hopper-v5": {
        "normalize": True, "n_timesteps": 1e6, "batch_size": 32, "n_steps": 512, "gamma": 0.999,
        "learning_rate": 9.80828e-05, "ent_coef": 0.00229519, "clip_range": 0.2, "n_epochs": 5, "gae_lambda": 0.99,
        "max_grad_norm": 0.7, "vf_coef": 0.835671, "wide": True,
    },
}  # fmt: skip


def look(config: Config, path: str) -> Any:
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def scheduled(text: Any) -> Any:
    """``lin_x`` falls from x to 0."""
    return Linear(float(text.removeprefix("lin_"))) if isinstance(text, str) else float(text)


def test_every_preset_has_its_table() -> None:
    assert set(presets.PRESETS) == {*WRITTEN, "rl-zoo"}


@pytest.mark.parametrize("name", WRITTEN)
def test_presets_are_what_is_written(name: str) -> None:
    config = presets.PRESETS[name]("Some-v0")
    assert config.env == "Some-v0"
    for path, value in WRITTEN[name].items():
        assert look(config, path) == value, path


def check_zoo_row(config: Config, row: dict[str, Any]) -> None:
    """``config`` says what a row says."""
    row = ZOO_DEFAULTS | row
    ppo = config.algorithm
    assert isinstance(ppo, PPO)
    assert (config.num_envs, config.total_steps, ppo.horizon) == (row["n_envs"], row["n_timesteps"], row["n_steps"])
    assert ppo.minibatches == max(row["n_envs"] * row["n_steps"] // row["batch_size"], 1)
    assert (ppo.epochs, ppo.gamma, ppo.lam) == (row["n_epochs"], row["gamma"], row["gae_lambda"])
    assert (ppo.learning_rate, ppo.clip) == (scheduled(row["learning_rate"]), scheduled(row["clip_range"]))
    assert (ppo.entropy_coef, ppo.value_coef) == (row["ent_coef"], row["vf_coef"])
    assert ppo.max_grad_norm == row["max_grad_norm"]
    assert config.policy.normalise_obs == row["normalize"]
    assert ppo.rewards == (Scaled(10.0) if row["normalize"] else Raw())
    expected = PolicyOptions(normalise_obs=row["normalize"], head=clipper.HeadOptions(rescale_action=False))
    if "wide" in row:
        head = dataclasses.replace(expected.head, initial_log_std=-2)
        expected = dataclasses.replace(expected, hidden=(256, 256), activation="relu", orthogonal=False, head=head)
    assert config.policy == expected


@pytest.mark.parametrize("env", ZOO)
def test_the_zoos_rows(env: str) -> None:
    check_zoo_row(presets.rl_zoo(env), ZOO[env])


def test_the_zoo_has_no_row_for_everything() -> None:
    with pytest.raises(ConfigError, match=r"CarRacing-v3; there are: .*CartPole"):
        presets.rl_zoo("CarRacing-v3")


@pytest.mark.parametrize("config", [*(f("CartPole-v1") for f in presets.PRESETS.values()), *map(presets.rl_zoo, ZOO)])
def test_presets_survive_json_and_make_policies(config: Config) -> None:
    assert from_json(to_json(config), Config) == config
    spaces = [*ACTIONS.values()]
    if type(config.algorithm) in OFF_POLICY:
        if isinstance(config.algorithm, clipper.PDQN | clipper.MPDQN):
            spaces = [ACTIONS["one of"]]
        else:
            spaces = [ACTIONS["categorical" if isinstance(config.algorithm, clipper.DQN) else "gaussian"]]
    for space in spaces:
        policy = clipper.make_policy(OBSERVATIONS, space, config.policy, torch.Generator().manual_seed(0))
        config.algorithm.init(policy)


def test_the_studys_iterations_are_of_2048_decisions_and_minibatches_of_64() -> None:
    config = presets.andrychowicz()
    assert isinstance(config.algorithm, PPO)
    assert config.num_envs * config.algorithm.horizon == 2048 == 64 * config.algorithm.minibatches


def test_the_studys_actions_start_with_half_a_unit_of_noise_before_tanh() -> None:
    options = presets.andrychowicz().policy
    policy = clipper.make_policy(OBSERVATIONS, ACTIONS["gaussian"], options, torch.Generator().manual_seed(0))
    _, log_std = policy.act(torch.randn(100, 3, generator=torch.Generator().manual_seed(1)))[0].params
    assert log_std.exp().detach().numpy() == pytest.approx(0.5, abs=0.02)


def test_on_the_command_line() -> None:
    config, rest = train_defaults(["CartPole-v1", "--preset", "cleanrl", "--gamma", "0.9"])
    assert config == presets.cleanrl("CartPole-v1")
    assert rest == ["--preset", "cleanrl", "--gamma", "0.9"]
    assert train_defaults(["--env", "Hopper-v5", "--preset=rl-zoo"])[0] == presets.rl_zoo("Hopper-v5")
    recipe = clipper.recipes.cartpole()
    assert train_defaults(["cartpole", "ppo", "--preset", "sb3"])[0] == dataclasses.replace(
        recipe, algorithm=presets.sb3().algorithm, policy=presets.sb3().policy, num_envs=1
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["CartPole-v1", "--preset", "sb4"], "no preset 'sb4'. Did you mean sb3"),
        (["CartPole-v1", "a2c", "--preset", "sb3"], "--preset sb3 sets PPO, not a2c"),
        (["CartPole-v1", "--preset"], "no preset ''"),
    ],
)
def test_mistakes_on_the_command_line(args: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train_defaults(args)


def test_the_help_names_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["help"]) == 0
    overview = capsys.readouterr().out
    field = next(f for f in dataclasses.fields(Train) if f.name == "preset")
    assert field.default is None
    with pytest.raises(SystemExit):
        run_command(["train", "--help-all"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name in presets.PRESETS:
        assert name in overview
        assert name in text
