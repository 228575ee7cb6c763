"""Running statistics of observations and rewards, kept: the imports were `from stable_baselines3 ...`.

python examples/from_sb3/normalise.py [STEPS]
"""

import sys

from clipper.compat.sb3 import PPO
from clipper.compat.sb3.common.env_util import make_vec_env
from clipper.compat.sb3.common.evaluation import evaluate_policy
from clipper.compat.sb3.common.vec_env import VecNormalize

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
env = VecNormalize(make_vec_env("Pendulum-v1", n_envs=4, seed=0), norm_obs=True, norm_reward=True, gamma=0.9)
model = PPO("MlpPolicy", env, n_steps=256, gamma=0.9, learning_rate=1e-3, seed=0)
model.learn(total_timesteps=steps)
model.save("pendulum")
env.save("pendulum_statistics.pkl")

test_env = make_vec_env("Pendulum-v1", n_envs=1, seed=7)
test_env = VecNormalize.load("pendulum_statistics.pkl", test_env)
test_env.training = False
test_env.norm_reward = False
model = PPO.load("pendulum", env=test_env)
mean, std = evaluate_policy(model, test_env, n_eval_episodes=5)
print(f"mean return {mean:.0f} ± {std:.0f}")
