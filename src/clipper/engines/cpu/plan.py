"""What an algorithm asks for, in the words of the kernels, or why they do not know it. Needs no Numba."""

import dataclasses
from dataclasses import dataclass

from clipper.algorithms import A2C, PPO, Algorithm, Reinforce
from clipper.algorithms import a2c as a2c_paper
from clipper.algorithms import ppo as ppo_paper
from clipper.engines.cpu.network import UnsuitableError
from clipper.learning.objectives import SPO, Clip, DualClip, Objective, Rollback, Unclipped
from clipper.learning.optimizers import Adam, Optimizer, RMSProp
from clipper.learning.schedules import KLAdaptive, Linear, Schedule
from clipper.learning.value_losses import MSE, ClippedMSE, Huber

COMMON = {
    "gamma", "learning_rate", "max_grad_norm", "value_coef", "value_loss", "entropy_coef", "standardise",
}  # fmt: skip
KNOWN: dict[type, set[str]] = {
    PPO: COMMON
    | {
        "lam",
        "clip",
        "correction",
        "horizon",
        "epochs",
        "minibatches",
        "adam_eps",
        "target_kl",
        "objective",
        "scale_rewards",
        "clip_rewards",
    },
    A2C: COMMON | {"lam", "correction", "horizon", "optimizer", "scale_rewards", "clip_rewards"},
    Reinforce: COMMON | {"episodes", "adam_eps", "baseline", "standardise_over"},
}
"""The fields that the kernels compute with; any other has to stand at its default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What the kernels do in one update."""

    algorithm: Algorithm
    optimizer: Optimizer
    watched: tuple[str, ...]
    """Names of the first of the sums that are watched."""
    epochs: int = 1
    minibatches: int = 1
    objective: Objective | None = None
    """PPO's surrogate; None where the objective is −log π(a|s) Â."""
    clip: Schedule | tuple[float, float] = 0.0
    """Of that surrogate."""
    per_minibatch: bool = False
    per_batch: bool = False
    per_trajectory: bool = False
    """Over what advantages are brought to standard units: decisions of these, or trajectories."""
    correction: int = 1
    """1 divides their variance by n − 1, 0 by n."""
    whole_returns: bool = False
    """Returns to go instead of GAE; ``baseline`` says whether V is subtracted."""
    baseline: bool = True
    trajectories: bool = False
    """The actor's loss is a sum within trajectories and a mean over them."""
    target_kl: float | None = None


def read_algorithm(algorithm: Algorithm) -> Plan:
    """The plan; raises ``UnsuitableError`` with the first thing that the kernels do not know."""
    known = KNOWN.get(type(algorithm))
    if known is None:
        names = ", ".join(t.__name__ for t in KNOWN)
        raise UnsuitableError(f"kernels are for {names}, not {type(algorithm).__name__}")
    for field in dataclasses.fields(algorithm):  # pyright: ignore[reportArgumentType]
        value = getattr(algorithm, field.name)
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if field.name not in known and value != default:
            raise UnsuitableError(f"kernels know no {field.name}={value!r} of {type(algorithm).__name__}")
    if type(algorithm.value_loss) not in (MSE, Huber, ClippedMSE):  # pyright: ignore[reportAttributeAccessIssue]
        raise UnsuitableError(f"kernels know no value loss {algorithm.value_loss!r}")  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(algorithm, PPO):
        if isinstance(algorithm.learning_rate, KLAdaptive):
            raise UnsuitableError(f"kernels know no learning_rate={algorithm.learning_rate!r}")
        if not isinstance(algorithm.clip, int | float | tuple | Linear):
            raise UnsuitableError(f"kernels know no clip={algorithm.clip!r}")
        if type(algorithm.objective) not in (Clip, DualClip, Unclipped, Rollback, SPO):
            raise UnsuitableError(f"kernels know no objective={algorithm.objective!r}")
        return Plan(
            algorithm=algorithm,
            optimizer=Adam(algorithm.adam_eps),
            watched=ppo_paper.WATCHED[:-1],  # of each minibatch's advantages they tell elsewhere
            epochs=algorithm.epochs,
            minibatches=algorithm.minibatches,
            clip=algorithm.clip,
            objective=algorithm.objective,
            per_minibatch=algorithm.standardise == "minibatch",
            per_batch=algorithm.standardise == "batch",
            correction=algorithm.correction,
            target_kl=algorithm.target_kl,
        )
    if isinstance(algorithm, A2C):
        if type(algorithm.optimizer) not in (Adam, RMSProp):
            raise UnsuitableError(f"kernels know no optimizer {algorithm.optimizer!r}")
        return Plan(
            algorithm=algorithm,
            optimizer=algorithm.optimizer,
            watched=a2c_paper.WATCHED,
            per_batch=algorithm.standardise,
            correction=algorithm.correction,
        )
    assert isinstance(algorithm, Reinforce)
    return Plan(
        algorithm=algorithm,
        optimizer=Adam(algorithm.adam_eps),
        watched=a2c_paper.WATCHED,
        per_batch=algorithm.standardise and algorithm.standardise_over == "decisions",
        per_trajectory=algorithm.standardise and algorithm.standardise_over == "trajectories",
        correction=0,
        whole_returns=True,
        baseline=algorithm.baseline,
        trajectories=True,
    )
