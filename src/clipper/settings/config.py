"""A run's settings: a tree of frozen values."""

from dataclasses import field
from typing import Annotated, Literal

from tyro.conf import Suppress

from clipper.algorithms import PPO, Algorithm
from clipper.data.values import Count, Natural, Range, value
from clipper.networks.policy_options import PolicyOptions
from clipper.settings.language import LanguageConfig


@value(kw_only=True)
class Config:
    """Everything that decides what a run computes."""

    env: str
    """Environment id, as in CartPole-v1 or my_package:MyEnv-v0; arguments may follow: CarRacing-v3,continuous=false."""
    algorithm: Algorithm = field(default_factory=PPO)
    """The algorithm, with its hyperparameters."""
    policy: PolicyOptions = field(default_factory=PolicyOptions)
    """The network."""
    total_steps: Count = 100_000
    """Decisions to train for, over all environments."""
    num_envs: Count = 8
    """N, environments side by side."""
    seed: Annotated[int, Range(0, 2**62)] = 1
    """Seeds weights, actions, minibatches and environments."""
    device: str = "cpu"
    """Where the policy computes: cpu, cuda, cuda:1 …"""
    threads: Annotated[int, Range(1, 1024)] = 1
    """Threads on the CPU, of torch or of the kernels; one is fastest for small networks."""
    engine: Literal["auto", "torch", "cpu", "compile"] = "auto"
    """What computes: torch, the definition; cpu, compiled kernels where they fit; auto, the faster for this run."""
    vector: Literal["auto", "serial", "workers", "native", "envpool"] = "auto"
    """How environments are stepped: serial, in this process; workers, in others; auto, the faster of these two, as
    measured at the start; native, by the vector environment that the environment's package brings;
    envpool, by EnvPool's."""
    env_timeout: Annotated[float, Range(0, 1e9)] = 0.0
    """Seconds that a step of the environments may take, kept by worker processes; 0 waits for ever."""
    on_env_error: Literal["raise", "restart"] = "raise"
    """Where an environment raises, dies or hangs: end the run, or make it anew and cut its episode off."""
    max_restarts: Natural = 10
    """Failures that on_env_error=restart forgives."""
    patience: Annotated[float, Range(0, 1e9, open_below=True)] = 300.0
    """Seconds that processes which train one run wait for each other; evaluations, on the first one, are in it."""
    rank_mode: Literal["data", "gradients"] = "data"
    """What processes that train one run send each other: data, what their environments did, so that each repeats the
    whole update; gradients, of their own decisions, so that the update is divided: for large networks and images."""
    eval_every: Natural = 0
    """Evaluate each time this many steps have passed, and keep the best policy; 0 never does."""
    eval_episodes: Annotated[int, Range(1, 100_000)] = 20
    """Deterministic episodes per evaluation."""
    until_solved: bool = False
    """End as soon as an evaluation reaches the environment's reward threshold."""
    checkpoint_every: Count = 50_000
    """Save each time this many steps have passed; the end of a run is always saved."""
    keep_checkpoints: Annotated[int, Range(1, 1000)] = 2
    """How many of the latest checkpoints stay, so that a damaged one can be done without."""
    save_replay: bool = True
    """Keep the replay of an algorithm that has one beside the checkpoints. Without it a resumed run is not exact: it
    takes learning_starts uniform decisions once more, and learns from nothing older."""
    log_every: Natural = 0
    """Decisions that a row of metrics covers, as means over its iterations, or fewer where an evaluation, a checkpoint
    or the end comes first; 0: a row for each iteration."""
    max_skipped_steps: Count = 10
    """Gradient steps of a network in a row that may be skipped, since loss or gradient is not finite, before the run
    ends."""

    language: Annotated[LanguageConfig | None, Suppress] = None
    """How responses are drawn and rewarded, in a run on prompts; ``clipper.train_language`` sets it."""

    def __post_init__(self) -> None:
        """The network becomes such as the algorithm learns with, where that says so (``SAC.policy_options``)."""
        adapt = getattr(self.algorithm, "policy_options", None)
        if adapt is not None and isinstance(self.policy, PolicyOptions):
            object.__setattr__(self, "policy", adapt(self.policy))
