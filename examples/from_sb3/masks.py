"""Actions that are not always legal: the imports were `from sb3_contrib ...`.

python examples/from_sb3/masks.py [STEPS]
"""

import sys

import gymnasium as gym
import numpy as np

from clipper.compat.sb3 import MaskablePPO
from clipper.compat.sb3.common.maskable.evaluation import evaluate_policy
from clipper.compat.sb3.common.maskable.utils import get_action_masks
from clipper.compat.sb3.common.wrappers import ActionMasker


class Countdown(gym.Env):
    """Take one to three away; who can take three should. What is more than there is is illegal."""

    observation_space = gym.spaces.Box(0, 1, (13,), np.float32)
    action_space = gym.spaces.Discrete(3)

    left = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(4, 13))
        return self.seen(), {}

    def seen(self) -> np.ndarray:
        return np.eye(13, dtype=np.float32)[self.left]

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        taken = int(action) + 1
        assert taken <= self.left, "an illegal action"
        self.left -= taken
        return self.seen(), -1.0, self.left == 0, False, {}


def legal(env: gym.Env) -> np.ndarray:
    return np.arange(3) < env.unwrapped.left


steps = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
env = ActionMasker(Countdown(), legal)
model = MaskablePPO("MlpPolicy", env, n_steps=128, batch_size=32, gamma=0.9, seed=0)
model.learn(total_timesteps=steps)
mean, std = evaluate_policy(model, env, n_eval_episodes=20, warn=False)
print(f"mean return {mean:.2f} ± {std:.2f}; the best is -3 on average")

obs, _ = env.reset(seed=1)
done = False
while not done:
    action, _state = model.predict(obs, action_masks=get_action_masks(env), deterministic=True)
    obs, reward, done, _, _ = env.step(action)
