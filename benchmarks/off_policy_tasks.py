"""What algorithms that learn from a replay are tried on: by task and algorithm, each with its settings."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

from clipper import DDPG, DQN, SAC, TD3, Config, DiscreteSAC, PolicyOptions
from clipper.learning.critic_targets import Periodic
from clipper.learning.exploration import EpsilonGreedy
from clipper.learning.schedules import Annealed
from clipper.settings import presets_off_policy as presets

SMALL = PolicyOptions(hidden=(64, 64), activation="relu", orthogonal=False, critic=None)
CONTINUOUS: Mapping[str, Callable[..., SAC | TD3 | DDPG]] = {"sac": SAC, "td3": TD3, "ddpg": DDPG}


def pendulum(algorithm: SAC | TD3 | DDPG) -> Config:
    """10,000 steps with small networks, the first 1,000 of them at random."""
    algorithm = dataclasses.replace(algorithm, learning_rate=1e-3)
    return Config(
        env="Pendulum-v1", algorithm=algorithm, policy=SMALL, num_envs=1, total_steps=10_000, log_every=1_000
    )  # fmt: skip


def lander(algorithm: SAC | TD3 | DDPG) -> Config:
    """The lander with continuous actions, networks 256-256."""
    return Config(
        env="LunarLander-v3,continuous=true", algorithm=dataclasses.replace(algorithm, learning_starts=10_000),
        num_envs=1, total_steps=200_000, log_every=2_000,
    )  # fmt: skip


def mujoco(task: str, algorithm: SAC | TD3 | DDPG) -> Config:
    """A million steps, 10,000 of them at random, evaluated on the way; networks 256-256."""
    return Config(
        env=f"{task}-v5", algorithm=dataclasses.replace(algorithm, learning_starts=10_000),
        num_envs=1, total_steps=1_000_000, log_every=5_000, eval_every=50_000, eval_episodes=10,
    )  # fmt: skip


def dqn(env: str) -> Config:
    """RL Baselines3 Zoo's settings for CartPole."""
    found = presets.sb3_dqn(env)
    assert isinstance(found.algorithm, DQN)
    algorithm = dataclasses.replace(
        found.algorithm, learning_rate=2.3e-3, learning_starts=1_000, batch_size=64, horizon=256, update_ratio=0.5,
        capacity=100_000, lag=Periodic(128), exploration=EpsilonGreedy(Annealed(1.0, 0.04, 0.16)),
    )  # fmt: skip
    policy = dataclasses.replace(found.policy, hidden=(256, 256))
    return dataclasses.replace(found, algorithm=algorithm, policy=policy, total_steps=50_000)


def discrete_sac() -> Config:
    """CartPole with a little entropy."""
    algorithm = DiscreteSAC(alpha=0.05, learning_rate=1e-3)
    return Config(env="CartPole-v1", algorithm=algorithm, policy=SMALL, num_envs=1, total_steps=50_000, log_every=1_000)


OFF_POLICY: Mapping[str, Callable[[], Config]] = {
    **{f"pendulum, {name}": partial(pendulum, make()) for name, make in CONTINUOUS.items()},
    "cartpole, dqn": partial(dqn, "CartPole-v1"),
    "cartpole, discrete sac": discrete_sac,
    **{f"lander, {name}": partial(lander, CONTINUOUS[name]()) for name in ("sac", "td3")},
    **{f"halfcheetah, {name}": partial(mujoco, "HalfCheetah", make()) for name, make in CONTINUOUS.items()},
    **{
        f"{task.lower()}, {name}": partial(mujoco, task, CONTINUOUS[name]())
        for task in ("Hopper", "Walker2d")
        for name in ("sac", "td3")
    },
}
"""By task and algorithm."""
