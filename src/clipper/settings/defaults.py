"""The settings that a run begins with, by its environment's id."""

import dataclasses

from clipper.algorithms import NPG, PPO, TRPO, VPG, Algorithm, PPOSeparate
from clipper.environments.atari import is_atari, read_options
from clipper.environments.ids import split_id
from clipper.learning.schedules import Linear
from clipper.learning.value_losses import ClippedMSE
from clipper.networks.policy_options import PolicyOptions
from clipper.settings.config import Config

ATARI_PPO = PPO(
    epochs=4, learning_rate=Linear(2.5e-4), clip=0.1, entropy_coef=0.01, value_coef=0.25, value_loss=ClippedMSE(0.1),
)  # fmt: skip
"""What "The 37 implementation details of PPO" has for Atari; its value loss has a factor ½ before a weight of 0.5."""
ATARI_POLICY = PolicyOptions(hidden=(), shared=True)
"""Nature's network alone, for actor and critic together."""


def usual(algorithm: Algorithm | None) -> dict[str, object]:
    """What a run with this algorithm begins with where the user says nothing, beside the defaults of all.

    Who learns from a replay has a network of its own kind, one environment, and a row of metrics for 1,000 decisions.
    """
    adapt = getattr(algorithm, "policy_options", None)
    return {} if adapt is None else {"policy": adapt(None), "num_envs": 1, "log_every": 1_000}


def config_for(env: str, algorithm: Algorithm | None = None) -> Config:
    """What a run in an environment begins with, by its id: the defaults, or for Atari games what is usual there.

    For Atari: 8 games, 10M decisions, PPO as in "The 37 implementation details", and one convolutional network for
    actor and critic, or one for each where the ``algorithm`` updates them separately; none where the console's memory
    is seen.
    """
    name, given = split_id(env)
    if not is_atari(name) or usual(algorithm):
        return dataclasses.replace(Config(env=env), algorithm=algorithm or PPO(), **usual(algorithm))
    separate = isinstance(algorithm, VPG | NPG | TRPO | PPOSeparate)
    policy = dataclasses.replace(ATARI_POLICY, shared=not separate)
    if read_options(name, given).obs_type == "ram":
        policy = PolicyOptions()
    return Config(env=env, algorithm=algorithm or ATARI_PPO, policy=policy, total_steps=10_000_000)
