"""Evaluations, checkpoints, an early end and a callback of one's own: the imports were `from stable_baselines3 ...`.

python examples/from_sb3/callbacks.py [STEPS]
"""

import sys

import numpy as np

from clipper.compat.sb3 import PPO
from clipper.compat.sb3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    StopTrainingOnRewardThreshold,
)
from clipper.compat.sb3.common.env_util import make_vec_env


class Rewards(BaseCallback):
    """Adds up rewards, and logs the mean over each segment."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []
        self.segments = 0

    def _on_step(self) -> bool:
        self.seen.append(float(np.mean(self.locals["rewards"])))
        return True

    def _on_rollout_end(self) -> None:
        self.segments += 1
        self.logger.record("rollout/mean_reward", float(np.mean(self.seen[-self.model.n_steps :])))


steps = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
env = make_vec_env("CartPole-v1", n_envs=2, seed=0)
stop = StopTrainingOnRewardThreshold(reward_threshold=475, verbose=1)
evaluation = EvalCallback(
    make_vec_env("CartPole-v1", n_envs=2, seed=50),
    callback_on_new_best=stop,
    eval_freq=max(steps // 4, 1),
    n_eval_episodes=4,
    log_path="logs",
    best_model_save_path="logs/best",
    verbose=0,
)
rewards = Rewards()
checkpoints = CheckpointCallback(save_freq=max(steps // 4, 1), save_path="logs/checkpoints", name_prefix="cartpole")
model = PPO("MlpPolicy", env, n_steps=128, batch_size=64, seed=0, tensorboard_log="logs/tensorboard")
model.learn(total_timesteps=steps, callback=CallbackList([checkpoints, evaluation, rewards]), tb_log_name="first")

print(f"best mean return {evaluation.best_mean_reward:.1f}; {len(rewards.seen)} steps in {rewards.segments} segments")
best = PPO.load("logs/best/best_model", env=env)
with np.load("logs/evaluations.npz") as results:
    assert results["results"].mean(1).max() == evaluation.best_mean_reward
    assert best.num_timesteps in results["timesteps"]
