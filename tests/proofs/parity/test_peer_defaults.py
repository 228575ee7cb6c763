"""Presets against the libraries' own defaults: signatures, files and arguments as they are installed."""

import ast
import inspect
import os
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import pytest
import test_presets
from batches import Kind
from test_cleanrl import script
from test_presets import check_zoo_row

from clipper import PPO, PolicyOptions
from clipper.learning.advantages import Standardised
from clipper.learning.kl import KLStop
from clipper.learning.optimizers import RMSProp
from clipper.learning.rewards import Raw, Scaled
from clipper.learning.schedules import Linear
from clipper.learning.value_losses import ClippedMSE
from clipper.settings import presets

BOTH: list[Kind] = ["categorical", "gaussian"]


def stop_at(target: float | None) -> KLStop | None:
    return None if target is None else KLStop(target)


def defaults(function: Any) -> dict[str, Any]:
    return {name: p.default for name, p in inspect.signature(function).parameters.items()}


def test_sb3_ppo() -> None:
    sb3 = pytest.importorskip("stable_baselines3", exc_type=ImportError)
    theirs, config = defaults(sb3.PPO), presets.sb3()
    ours = config.algorithm
    assert isinstance(ours, PPO)
    assert not theirs["use_sde"]
    assert theirs["clip_range_vf"] is theirs["target_kl"] is ours.stop is None
    assert (ours.horizon, ours.epochs) == (theirs["n_steps"], theirs["n_epochs"])
    assert ours.minibatches == theirs["n_steps"] / theirs["batch_size"]
    assert (ours.gamma, ours.lam, ours.clip) == (theirs["gamma"], theirs["gae_lambda"], theirs["clip_range"])
    assert (ours.entropy_coef, ours.value_coef) == (theirs["ent_coef"], theirs["vf_coef"])
    assert (ours.learning_rate, ours.max_grad_norm) == (theirs["learning_rate"], theirs["max_grad_norm"])
    assert theirs["normalize_advantage"]
    assert ours.advantages == Standardised("minibatch")


def test_sb3_networks() -> None:
    sb3 = pytest.importorskip("stable_baselines3", exc_type=ImportError)
    theirs, ours = defaults(sb3.ppo.MlpPolicy), presets.sb3().policy
    assert ours.activation == theirs["activation_fn"].__name__.lower()
    assert ours.orthogonal == theirs["ortho_init"]
    assert ours.head.initial_log_std == theirs["log_std_init"]
    assert theirs["net_arch"] is None, "None is 64-64 for each of two networks"
    assert ours.hidden == (64, 64)
    assert not ours.shared
    assert 'optimizer_kwargs["eps"] = 1e-5' in inspect.getsource(sb3.ppo.MlpPolicy)


def test_sb3_a2c() -> None:
    sb3 = pytest.importorskip("stable_baselines3", exc_type=ImportError)
    theirs = defaults(sb3.A2C)
    ours: Any = presets.sb3_a2c().algorithm
    assert theirs["use_rms_prop"]
    assert ours.optimizer == RMSProp(0.99, theirs["rms_prop_eps"])
    assert (ours.horizon, ours.gamma, ours.lam) == (theirs["n_steps"], theirs["gamma"], theirs["gae_lambda"])
    assert (ours.entropy_coef, ours.value_coef) == (theirs["ent_coef"], theirs["vf_coef"])
    assert (ours.learning_rate, ours.max_grad_norm) == (theirs["learning_rate"], theirs["max_grad_norm"])
    assert not theirs["normalize_advantage"]
    assert ours.advantages == Raw()


def test_sb3_trpo() -> None:
    contrib = pytest.importorskip("sb3_contrib", exc_type=ImportError)
    theirs = defaults(contrib.TRPO)
    ours: Any = presets.sb3_trpo().algorithm
    assert theirs["sub_sampling_factor"] == 1
    assert ours.value_minibatches == theirs["n_steps"] / theirs["batch_size"]
    assert (ours.horizon, ours.gamma, ours.lam) == (theirs["n_steps"], theirs["gamma"], theirs["gae_lambda"])
    assert (ours.cg_iterations, ours.damping) == (theirs["cg_max_steps"], theirs["cg_damping"])
    assert (ours.shrink, ours.tries) == (theirs["line_search_shrinking_factor"], theirs["line_search_max_iter"])
    assert (ours.delta, ours.value_epochs) == (theirs["target_kl"], theirs["n_critic_updates"])
    assert ours.value_learning_rate == theirs["learning_rate"]
    assert theirs["normalize_advantage"]
    assert ours.advantages == Standardised("batch")


@pytest.mark.parametrize("kind", BOTH)
def test_cleanrl(kind: Kind) -> None:
    args = script(kind)[0].Args()
    config = presets.cleanrl() if kind == "categorical" else presets.cleanrl_continuous()
    assert config.env.rpartition("-v")[0] == args.env_id.rpartition("-v")[0]
    assert (config.num_envs, config.total_steps) == (args.num_envs, args.total_timesteps)
    assert args.anneal_lr
    assert args.clip_vloss
    assert args.norm_adv
    assert config.algorithm == replace(
        PPO(),
        horizon=args.num_steps, epochs=args.update_epochs, minibatches=args.num_minibatches, gamma=args.gamma,
        lam=args.gae_lambda, learning_rate=Linear(args.learning_rate), clip=args.clip_coef,
        value_loss=ClippedMSE(args.clip_coef), value_coef=0.5 * args.vf_coef, entropy_coef=args.ent_coef,
        max_grad_norm=args.max_grad_norm, stop=stop_at(args.target_kl),
        rewards=Scaled() if kind == "gaussian" else Raw(),
    )  # fmt: skip


def test_cleanrl_atari() -> None:
    folder = os.environ.get("CLEANRL")
    if folder is None:
        pytest.skip("CLEANRL names no checkout")
    [path] = [p for p in (Path(folder) / "ppo_atari.py", Path(folder) / "cleanrl" / "ppo_atari.py") if p.exists()]
    [args] = [x for x in ast.parse(path.read_text()).body if isinstance(x, ast.ClassDef) and x.name == "Args"]
    fields = [x for x in args.body if isinstance(x, ast.AnnAssign) and isinstance(x.value, ast.Constant)]
    theirs: dict[str, Any] = {ast.unparse(x.target): x.value.value for x in fields}  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    config = presets.cleanrl_atari()
    assert (config.num_envs, config.total_steps) == (theirs["num_envs"], theirs["total_timesteps"])
    assert theirs["anneal_lr"]
    assert theirs["clip_vloss"]
    assert theirs["norm_adv"]
    assert config.algorithm == replace(
        PPO(),
        horizon=theirs["num_steps"], epochs=theirs["update_epochs"], minibatches=theirs["num_minibatches"],
        gamma=theirs["gamma"], lam=theirs["gae_lambda"], learning_rate=Linear(theirs["learning_rate"]),
        clip=theirs["clip_coef"], value_loss=ClippedMSE(theirs["clip_coef"]), value_coef=0.5 * theirs["vf_coef"],
        entropy_coef=theirs["ent_coef"], max_grad_norm=theirs["max_grad_norm"], stop=stop_at(theirs["target_kl"]),
    )  # fmt: skip


def zoo_file() -> dict[str, dict[str, Any]]:
    """The zoo's rows, as the package holds them."""
    yaml = pytest.importorskip("yaml")
    try:
        [path] = [f for f in files("rl_zoo3") or [] if f.match("hyperparams/ppo.yml")]
    except PackageNotFoundError:
        pytest.skip("rl_zoo3 is not installed")
    return yaml.safe_load(Path(str(path.locate())).read_text())


def test_the_zoos_rows() -> None:
    """Every row that has a preset, by its own words; the last row of a name without its version counts."""
    rows = {name.rpartition("-v")[0]: (name, row) for name, row in zoo_file().items()}
    assert set(presets.ZOO) <= set(rows)
    for name in presets.ZOO:
        env, row = rows[name]
        wide = "log_std_init=-2" in row.get("policy_kwargs", "")
        check_zoo_row(presets.rl_zoo(env), row | ({"wide": True} if wide else {}))


def test_which_rows_have_no_preset() -> None:
    """Images, PyBullet, MiniGrid, and noise that depends on the state."""
    left = {name.rpartition("-v")[0] for name in zoo_file()} - set(presets.ZOO)
    assert {name for name in left if "Bullet" not in name and "MiniGrid" not in name} == {
        "", "CarRacing", "Pendulum", "MountainCarContinuous"
    }  # fmt: skip


def test_the_written_tables_say_the_same() -> None:
    """The rows in tests/unit/settings/test_presets.py are the file's."""
    rows = zoo_file()
    for env, written in test_presets.ZOO.items():
        [theirs] = [row for name, row in rows.items() if name.rpartition("-v")[0] == env.rpartition("-v")[0]]
        for key, value in written.items():
            assert key == "wide" or theirs[key] == value, (env, key)


def test_networks_of_wide_rows_are_sb3s_words() -> None:
    kwargs = " ".join(zoo_file()["HalfCheetah-v4"]["policy_kwargs"].split())
    assert "log_std_init=-2, ortho_init=False, activation_fn=nn.ReLU" in kwargs
    assert "net_arch=dict(pi=[256, 256], vf=[256, 256])" in kwargs
    assert presets.rl_zoo("HalfCheetah-v5").policy == replace(
        PolicyOptions(normalise_obs=True, hidden=(256, 256), activation="relu", orthogonal=False),
        head=replace(presets.RAW, initial_log_std=-2.0),
    )
