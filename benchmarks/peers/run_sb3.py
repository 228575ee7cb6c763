"""Stable-Baselines3's PPO on one workload: ``DummyVecEnv`` with monitors, as ``make_vec_env`` makes it by default.

A game has its ``AtariWrapper``, four frames stacked, and ``CnnPolicy``; with a memory it is sb3-contrib's RecurrentPPO.
"""

import importlib
import time
from typing import Any

import gymnasium
from measure import begin, report
from stable_baselines3 import PPO  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.env_util import make_atari_env, make_vec_env  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack  # pyright: ignore[reportMissingImports]


def make_env(work: dict[str, Any]) -> Any:
    """The workload's environments."""
    options = {"n_envs": work["num_envs"], "seed": work["seed"], "vec_env_cls": DummyVecEnv}
    if not work["game"]:
        # A tuple of choices, as Blackjack observes it, is nothing that it takes: they become one vector of 0s and 1s.
        flat = gymnasium.wrappers.FlattenObservation if work["env"] == "Blackjack-v1" else None
        return make_vec_env(work["env"], wrapper_class=flat, **options)
    importlib.import_module("ale_py")  # registers the games
    raw = {"frameskip": 1, "repeat_action_probability": 0.0}  # the wrapper skips frames itself
    return VecFrameStack(make_atari_env(work["env"], env_kwargs=raw, **options), n_stack=4)


def choose(work: dict[str, Any]) -> tuple[Any, str, dict[str, Any] | None]:
    """The algorithm, the policy's name, and its options."""
    if work["game"]:
        return PPO, "CnnPolicy", None
    options: dict[str, Any] = {"net_arch": {"pi": work["hidden"], "vf": work["hidden"]}}  # tanh is its default
    if not work["memory"]:
        return PPO, "MlpPolicy", options
    contrib = importlib.import_module("sb3_contrib")
    return contrib.RecurrentPPO, "MlpLstmPolicy", options | {"lstm_hidden_size": work["memory"]}


def main() -> None:
    """Train, and report the iterations after the warm-up."""
    work = begin()
    rows = work["horizon"] * work["num_envs"]
    algorithm, policy, options = choose(work)
    model = algorithm(
        policy,
        make_env(work),
        n_steps=work["horizon"],
        batch_size=rows // work["minibatches"],
        n_epochs=work["epochs"],
        learning_rate=work["learning_rate"],
        gamma=0.99,
        gae_lambda=0.95,
        clip_range=0.2,
        clip_range_vf=None,
        vf_coef=0.5,
        ent_coef=0.0,
        max_grad_norm=0.5,
        normalize_advantage=True,
        policy_kwargs=options,
        device="cpu",
        seed=work["seed"],
    )
    model.learn(work["warmup"] * rows)
    before, began = model.num_timesteps, time.perf_counter()
    model.learn((work["iterations"] - work["warmup"]) * rows, reset_num_timesteps=False)
    seconds = time.perf_counter() - began
    # It resets in the same step, so every row is a decision.
    returns = [float(episode["r"]) for episode in model.ep_info_buffer]
    report(model.num_timesteps - before, seconds, returns, "stable-baselines3")


if __name__ == "__main__":
    main()
