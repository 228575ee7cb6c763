"""Stable-Baselines3's PPO on one workload: ``DummyVecEnv`` with monitors, as ``make_vec_env`` makes it by default."""

import time

from measure import begin, report
from stable_baselines3 import PPO  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.env_util import make_vec_env  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.vec_env import DummyVecEnv  # pyright: ignore[reportMissingImports]


def main() -> None:
    """Train, and report the iterations after the warm-up."""
    work = begin()
    rows = work["horizon"] * work["num_envs"]
    model = PPO(
        "MlpPolicy",
        make_vec_env(work["env"], work["num_envs"], seed=work["seed"], vec_env_cls=DummyVecEnv),
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
        policy_kwargs={"net_arch": {"pi": work["hidden"], "vf": work["hidden"]}},  # tanh is its default
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
