"""Which engine a run gets, and why not the fast one."""

import os
from importlib.util import find_spec

import numpy as np
from gymnasium.vector import VectorEnv

from clipper.algorithms import PPO
from clipper.config import Config
from clipper.engines.network import UnsuitableError, read_network
from clipper.engines.protocol import Engine
from clipper.engines.torch_engine import Torch
from clipper.errors import ConfigError
from clipper.optim import Learner

NEEDED = ("numba", "scipy", "threadpoolctl")
UNKNOWN = ("objective", "exact_kl", "correction")  # fields of PPO that the kernels take at their defaults
LOADING_PAYS = 20_000  # decisions in which compiled kernels save the seconds that loading them takes
COMPILING_PAYS = 150_000  # and those that compiling them takes


def choose(learner: Learner, config: Config, env: VectorEnv) -> Engine:
    """The engine for a run; ``CLIPPER_ENGINE`` in the process's environment outweighs ``config.engine``.

    ``auto`` takes the compiled kernels where they fit and the run is long enough to repay loading them (and compiling
    them, where no earlier run has). So the choice may depend on the machine; the run's config.json keeps it.
    """
    asked = os.environ.get("CLIPPER_ENGINE") or config.engine
    if asked not in ("auto", "torch", "cpu"):
        raise ConfigError(f"CLIPPER_ENGINE={asked}: there are auto, torch and cpu")
    if asked == "torch":
        return Torch(learner, config.algorithm)
    algorithm = config.algorithm
    try:
        check_fit(learner, env)
        if not isinstance(algorithm, PPO):
            raise UnsuitableError(f"kernels are for PPO, not {type(algorithm).__name__}")
        for name in UNKNOWN:
            if getattr(algorithm, name) != getattr(PPO(), name):
                raise UnsuitableError(f"kernels know PPO with {name}={getattr(PPO(), name)} only")
        missing = [name for name in NEEDED if find_spec(name) is None]
        if missing:
            raise UnsuitableError(f"{missing[0]} is not installed")
        if asked == "auto" and config.total_steps < LOADING_PAYS:
            raise UnsuitableError("the run is short")
        from clipper.engines import cpu  # noqa: PLC0415 (loads Numba, which takes a second)

        if asked == "auto" and config.total_steps < COMPILING_PAYS and not cpu.is_compiled():
            raise UnsuitableError("the run is shorter than compiling kernels takes")
        return cpu.CPU(learner, algorithm)
    except UnsuitableError as error:
        return Torch(learner, algorithm, str(error))


def check_fit(learner: Learner, env: VectorEnv) -> None:
    """Raise ``UnsuitableError`` unless policy and observations are such as the kernels compute with."""
    read_network(learner.policy, learner.parameters)
    dtype = env.single_observation_space.dtype
    if dtype is None or not np.issubdtype(dtype, np.floating):
        raise UnsuitableError(f"observations are {dtype}")
