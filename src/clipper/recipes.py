"""Settings that are known to work, each a function that returns a full, reproducible ``Config``.

Measured by ``python benchmarks/learning.py``; the results lie in ``benchmarks/results``.
"""

from collections.abc import Callable
from dataclasses import replace

from clipper.algorithms import PPO
from clipper.config import Config
from clipper.heads import HeadOptions
from clipper.nets import PolicyOptions
from clipper.schedules import Linear


def cartpole() -> Config:
    """CartPole-v1: solved (mean return ≥ 475) well within 100k steps."""
    return Config(env="CartPole-v1", total_steps=100_000, eval_every=10_000, eval_episodes=100)


def acrobot() -> Config:
    """Acrobot-v1: swing up with sparse rewards; normalised observations."""
    return Config(
        env="Acrobot-v1",
        algorithm=PPO(lam=0.94, epochs=4, learning_rate=Linear(1e-3)),
        policy=PolicyOptions(normalise_obs=True),
        total_steps=300_000,
        num_envs=16,
    )


def lunarlander() -> Config:
    """LunarLander-v3: a long horizon, hence γ = 0.999 and λ = 0.98, and a small entropy bonus."""
    return Config(
        env="LunarLander-v3",
        algorithm=PPO(
            gamma=0.999, lam=0.98, horizon=512, epochs=4, minibatches=64, learning_rate=Linear(1e-3), entropy_coef=0.01
        ),
        total_steps=1_000_000,
        num_envs=16,
    )


def pendulum() -> Config:
    """Pendulum-v1: short-sighted (γ = 0.9), since the swing-up pays within seconds."""
    return Config(
        env="Pendulum-v1",
        algorithm=PPO(gamma=0.9, horizon=256, minibatches=16, learning_rate=Linear(1e-3), scale_rewards=True),
        total_steps=300_000,
        num_envs=8,
    )


def mujoco(env: str) -> Config:
    """The PPO paper's MuJoCo setting (table 3), observations normalised, rewards scaled, σ = 0.6 at the start."""
    return Config(
        env=env,
        algorithm=PPO(horizon=256, minibatches=32, learning_rate=Linear(3e-4), scale_rewards=True),
        policy=PolicyOptions(normalise_obs=True, head=HeadOptions(initial_log_std=-0.5)),
        total_steps=1_000_000,
        num_envs=8,
    )


def hopper() -> Config:
    """Hopper-v5."""
    return mujoco("Hopper-v5")


def halfcheetah() -> Config:
    """HalfCheetah-v5."""
    return mujoco("HalfCheetah-v5")


HYBRID = PPO(horizon=64, epochs=8, minibatches=8, learning_rate=Linear(1e-3), entropy_coef=0.01, standardise="batch")


def hybrid(env: str, total_steps: int, algorithm: PPO = HYBRID, initial_mean: tuple[float, ...] = ()) -> Config:
    """What the tasks with choices and arguments have in common: many short segments, observations normalised."""
    head = HeadOptions(initial_log_std=-0.5, initial_mean=initial_mean)
    policy = PolicyOptions(hidden=(128, 128), normalise_obs=True, head=head)
    return Config(env=env, algorithm=algorithm, policy=policy, total_steps=total_steps, num_envs=128)


def moving() -> Config:
    """clipper/Moving-v0: stop a vehicle on a target; one seed: 1.842 after 1M steps (1000 episodes, sampled)."""
    return hybrid("clipper/Moving-v0", 1_000_000)


def sliding() -> Config:
    """clipper/Sliding-v0: the same on ice."""
    return hybrid("clipper/Sliding-v0", 1_000_000)


def platform() -> Config:
    """clipper/Platform-v0: run, hop and leap past enemies; one seed: 0.998, its mode 1.000, after 606k steps."""
    return hybrid("clipper/Platform-v0", 600_000)


def hardmove(actuators: int = 4) -> Config:
    """clipper/HardMove-v0, with 4, 6, 8 or 10 actuators; n = 4, one seed: success 0.96 after 0.5M steps.

    The acceleration starts at 0.5, which is knowledge: a push is a product of switches and acceleration, and around 0
    neither of the two tells which way the other's gradient points.
    """
    algorithm = replace(HYBRID, scale_rewards=True, entropy_coef=Linear(0.005))
    env = "clipper/HardMove-v0" if actuators == 4 else f"clipper/HardMove{actuators}-v0"
    return hybrid(env, 500_000, algorithm, initial_mean=(0.5,))


RECIPES: dict[str, Callable[[], Config]] = {
    f.__name__: f
    for f in (
        cartpole,
        acrobot,
        lunarlander,
        pendulum,
        hopper,
        halfcheetah,
        moving,
        sliding,
        platform,
        hardmove,
    )
}
"""By name, as ``clipper train NAME`` and ``clipper unroll NAME`` take them."""
