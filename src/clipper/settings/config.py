"""A run's settings: a tree of frozen values."""

from dataclasses import dataclass, field
from typing import Literal

from clipper.algorithms import PPO, Algorithm
from clipper.errors import ConfigError
from clipper.networks.policy_options import PolicyOptions

AT_LEAST_ONE = (
    "total_steps", "num_envs", "threads", "eval_episodes", "checkpoint_every", "keep_checkpoints", "max_skipped_steps",
)  # fmt: skip
LARGEST = {"seed": 2**62, "threads": 1024, "env_timeout": 10**9, "keep_checkpoints": 1000}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Everything that decides what a run computes."""

    env: str
    """Environment id, as in CartPole-v1 or my_package:MyEnv-v0; arguments may follow: CarRacing-v3,continuous=false."""
    algorithm: Algorithm = field(default_factory=PPO)
    """The algorithm, with its hyperparameters."""
    policy: PolicyOptions = field(default_factory=PolicyOptions)
    """The network."""
    total_steps: int = 100_000
    """Decisions to train for, over all environments."""
    num_envs: int = 8
    """N, environments side by side."""
    seed: int = 1
    """Seeds weights, actions, minibatches and environments."""
    device: str = "cpu"
    """Where the policy computes: cpu, cuda, cuda:1 …"""
    threads: int = 1
    """Threads on the CPU, of torch or of the kernels; one is fastest for small networks."""
    engine: Literal["auto", "torch", "cpu", "compile"] = "auto"
    """What computes: torch, the definition; cpu, compiled kernels where they fit; auto, the faster for this run."""
    vector: Literal["auto", "serial", "workers", "native", "envpool"] = "auto"
    """How environments are stepped: serial, in this process; workers, in others; auto, the faster of these two, as
    measured at the start; native, by the vector environment that the environment's package brings;
    envpool, by EnvPool's."""
    env_timeout: float = 0.0
    """Seconds that a step of the environments may take, kept by worker processes; 0 waits for ever."""
    on_env_error: Literal["raise", "restart"] = "raise"
    """Where an environment raises, dies or hangs: end the run, or make it anew and cut its episode off."""
    max_restarts: int = 10
    """Failures that on_env_error=restart forgives."""
    eval_every: int = 0
    """Evaluate each time this many steps have passed, and keep the best policy; 0 never does."""
    eval_episodes: int = 20
    """Deterministic episodes per evaluation."""
    until_solved: bool = False
    """End as soon as an evaluation reaches the environment's reward threshold."""
    checkpoint_every: int = 50_000
    """Save each time this many steps have passed; the end of a run is always saved."""
    keep_checkpoints: int = 2
    """How many of the latest checkpoints stay, so that a damaged one can be done without."""
    max_skipped_steps: int = 10
    """Gradient steps in a row that may be skipped, since loss or gradient is not finite, before the run ends."""

    def __post_init__(self) -> None:
        for name in AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("eval_every", "seed", "env_timeout", "max_restarts"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} must not be negative")
        for name, largest in LARGEST.items():
            if getattr(self, name) > largest:
                raise ConfigError(f"{name} must be at most {largest}, not {getattr(self, name)}")
