"""Settings that are known to work, each a function that returns a full, reproducible ``Config``.

Measured by ``python benchmarks/learning.py``; the results lie in ``benchmarks/results``.
"""

from collections.abc import Callable

from clipper.algorithms import PPO
from clipper.config import Config


def cartpole() -> Config:
    """CartPole-v1: solved (mean return ≥ 475) well within 100k steps."""
    return Config(env="CartPole-v1", total_steps=100_000, eval_every=10_000, eval_episodes=100)


def acrobot() -> Config:
    """Acrobot-v1."""
    return Config(env="Acrobot-v1", algorithm=PPO(), total_steps=300_000, num_envs=16)


RECIPES: dict[str, Callable[[], Config]] = {f.__name__: f for f in (cartpole, acrobot)}
"""By name, as ``clipper train NAME`` and ``clipper unroll NAME`` take them."""
