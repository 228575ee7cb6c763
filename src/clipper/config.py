"""A run's settings: a tree of frozen values, to and from JSON without evaluating anything."""

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from clipper.algorithms import NPG, PPO, TRPO, VPG, Algorithm, PPOApart
from clipper.environments.atari import is_atari, read_options
from clipper.environments.ids import split_id
from clipper.errors import ConfigError
from clipper.learning.schedules import Linear
from clipper.learning.value_losses import ClippedMSE
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


ATARI_PPO = PPO(
    epochs=4, learning_rate=Linear(2.5e-4), clip=0.1, entropy_coef=0.01, value_coef=0.25, value_loss=ClippedMSE(0.1),
)  # fmt: skip
"""What "The 37 implementation details of PPO" has for Atari; its value loss has a factor ½ before a weight of 0.5."""
ATARI_POLICY = PolicyOptions(hidden=(), shared=True)
"""Nature's network alone, for actor and critic together."""


def config_for(env: str, algorithm: Algorithm | None = None) -> Config:
    """What a run in an environment begins with, by its id: the defaults, or for Atari games what is usual there.

    That are 8 games, 10M decisions, PPO as in "The 37 implementation details", and one convolutional network for actor
    and critic, or one for each where the ``algorithm`` moves them apart; none where the console's memory is seen.
    """
    name, given = split_id(env)
    if not is_atari(name):
        return Config(env=env, algorithm=algorithm or PPO())
    apart = isinstance(algorithm, VPG | NPG | TRPO | PPOApart)
    policy = dataclasses.replace(ATARI_POLICY, shared=not apart)
    if read_options(name, given).obs_type == "ram":
        policy = PolicyOptions()
    return Config(env=env, algorithm=algorithm or ATARI_PPO, policy=policy, total_steps=10_000_000)


def to_json(value: Any) -> Any:
    """Frozen dataclasses → ``{"type": name, field: …}``; tuples → lists; numbers, strings and None as they are."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    return [to_json(v) for v in value] if isinstance(value, tuple) else value


BEFORE: dict[str, dict[str, Any]] = {"Reinforce": {"standardise_over": "decisions"}}
"""Fields that came later and changed what their class does by default: what a file means that does not name them."""


def from_json(data: Any, expected: Any, path: str = "config") -> Any:
    """The inverse of ``to_json``: builds only what the annotation ``expected`` allows, whatever the data says.

    Raises ``ConfigError`` with the path of the first entry that does not fit.
    """
    origin = typing.get_origin(expected)
    if origin in (typing.Union, types.UnionType):
        for option in typing.get_args(expected):
            if fits(data, option):
                return from_json(data, option, path)
        raise ConfigError(f"{path}: {data!r} is none of {expected}")
    if not fits(data, expected):
        raise ConfigError(f"{path}: {data!r} is not {expected}")
    if origin is tuple:
        inner = typing.get_args(expected)
        inner = (inner[0],) * len(data) if inner[-1] is Ellipsis else inner
        return tuple(from_json(d, t, f"{path}[{i}]") for i, (d, t) in enumerate(zip(data, inner, strict=True)))
    if not (isinstance(expected, type) and dataclasses.is_dataclass(expected)):
        return float(data) if expected is float else data
    hints, data = typing.get_type_hints(expected), BEFORE.get(expected.__name__, {}) | data
    unknown = set(data) - set(hints) - {"type"}
    if unknown:
        raise ConfigError(f"{path}: {expected.__name__} has no field {', '.join(sorted(unknown))}")
    try:
        return expected(**{k: from_json(v, hints[k], f"{path}.{k}") for k, v in data.items() if k != "type"})
    except (TypeError, OverflowError) as error:  # a field is missing, or beyond what a float can hold
        raise ConfigError(f"{path}: {error}") from error


def fits(data: Any, expected: Any) -> bool:
    """Could ``data`` be JSON of the type ``expected``?"""
    origin = typing.get_origin(expected)
    if origin is Literal:
        return data in typing.get_args(expected)
    if origin is tuple:
        inner = typing.get_args(expected)
        return isinstance(data, list) and (inner[-1] is Ellipsis or len(data) == len(inner))
    if dataclasses.is_dataclass(expected):
        return isinstance(data, dict) and data.get("type") == getattr(expected, "__name__", None)
    if expected in (int, float):
        return isinstance(data, (int, float) if expected is float else int) and not isinstance(data, bool)
    return data is None if expected in (None, type(None)) else isinstance(data, expected)
