"""Train, watch what it does, save, load: the imports were `from stable_baselines3 ...`.

python examples/from_sb3/first_steps.py [STEPS]
"""

import sys

from clipper.compat.sb3 import PPO

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 25_000
model = PPO("MlpPolicy", "CartPole-v1", n_steps=256, verbose=1, seed=0)
model.learn(total_timesteps=steps)

env = model.get_env()
obs = env.reset()
total = 0.0
for _ in range(200):
    action, _state = model.predict(obs, deterministic=True)
    obs, rewards, dones, infos = env.step(action)
    total += rewards[0]
print(f"200 steps by hand gave {total:.0f}")

model.save("cartpole")
before, _ = model.predict(obs, deterministic=True)
del model
model = PPO.load("cartpole")
assert (model.predict(obs, deterministic=True)[0] == before).all()
