"""Several environments side by side, and an evaluation: the imports were `from stable_baselines3 ...`.

python examples/from_sb3/several_environments.py [STEPS]
"""

import sys

from clipper.compat.sb3 import A2C
from clipper.compat.sb3.common.env_util import make_vec_env
from clipper.compat.sb3.common.evaluation import evaluate_policy
from clipper.compat.sb3.common.vec_env import SubprocVecEnv

if __name__ == "__main__":
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    env = make_vec_env("CartPole-v1", n_envs=4, seed=0, vec_env_cls=SubprocVecEnv)
    model = A2C("MlpPolicy", env, learning_rate=1e-3, ent_coef=0.01, seed=0)
    model.learn(total_timesteps=steps // 2)
    model.learn(total_timesteps=steps // 2, reset_num_timesteps=False)
    print(f"{model.num_timesteps} steps in {env.num_envs} environments")

    test_env = make_vec_env("CartPole-v1", n_envs=2, seed=100)
    mean, std = evaluate_policy(model, test_env, n_eval_episodes=10)
    print(f"mean return {mean:.1f} ± {std:.1f}")
    returns, lengths = evaluate_policy(model, test_env, n_eval_episodes=5, return_episode_rewards=True)
    assert returns == lengths, "CartPole gives 1 for each step"
    env.close()
