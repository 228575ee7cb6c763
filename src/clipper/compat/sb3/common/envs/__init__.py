"""Small environments to try things with."""

from clipper.compat.sb3.common.envs.bit_flipping_env import BitFlippingEnv
from clipper.compat.sb3.common.envs.identity_env import (
    FakeImageEnv,
    IdentityEnv,
    IdentityEnvBox,
    IdentityEnvMultiBinary,
    IdentityEnvMultiDiscrete,
)
from clipper.compat.sb3.common.envs.invalid_actions_env import (
    InvalidActionEnvDiscrete,
    InvalidActionEnvMultiBinary,
    InvalidActionEnvMultiDiscrete,
)
from clipper.compat.sb3.common.envs.multi_input_envs import SimpleMultiObsEnv

__all__ = [
    "BitFlippingEnv", "FakeImageEnv", "IdentityEnv", "IdentityEnvBox", "IdentityEnvMultiBinary",
    "IdentityEnvMultiDiscrete", "InvalidActionEnvDiscrete", "InvalidActionEnvMultiBinary",
    "InvalidActionEnvMultiDiscrete", "SimpleMultiObsEnv",
]  # fmt: skip
