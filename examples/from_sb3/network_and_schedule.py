"""A network of one's own size, a learning rate that falls, TRPO: the imports were `from stable_baselines3 ...`.

python examples/from_sb3/network_and_schedule.py [STEPS]
"""

import sys
from collections.abc import Callable

import gymnasium as gym
from torch import nn

from clipper.compat.sb3 import PPO, TRPO
from clipper.compat.sb3.common.evaluation import evaluate_policy
from clipper.compat.sb3.common.monitor import Monitor


def falling(start: float) -> Callable[[float], float]:
    """From ``start`` to 0, by what is left of the run."""

    def rate(progress_remaining: float) -> float:
        return progress_remaining * start

    return rate


steps = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
policy_kwargs = {"activation_fn": nn.ReLU, "net_arch": {"pi": [32, 32], "vf": [64]}, "log_std_init": -0.5}
env = Monitor(gym.make("Pendulum-v1"))
model = PPO(
    "MlpPolicy", env, learning_rate=falling(1e-3), clip_range=falling(0.2), n_steps=256, policy_kwargs=policy_kwargs,
    seed=0,
)  # fmt: skip
print(model.policy)
model.learn(total_timesteps=steps)

contrib = TRPO("MlpPolicy", env, n_steps=256, policy_kwargs={"net_arch": [32]}, seed=0)
contrib.learn(total_timesteps=steps)
for each in (model, contrib):
    mean, std = evaluate_policy(each, env, n_eval_episodes=3)
    print(f"{type(each).__name__}: mean return {mean:.0f} ± {std:.0f}")
