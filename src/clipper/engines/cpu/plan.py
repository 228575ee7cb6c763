"""What an algorithm asks for, in the words of the kernels, or why they do not know it. Needs no Numba."""

import dataclasses
from dataclasses import dataclass
from typing import TypedDict

from clipper.algorithms import A2C, PPO, Algorithm, Reinforce
from clipper.engines.protocol import UnsuitableError
from clipper.learning.action_parts import Joint, Parts, PerPart
from clipper.learning.advantages import Advantages, Standardised
from clipper.learning.kl import KLStop
from clipper.learning.objectives import SPO, Clip, DualClip, Objective, Rollback, Unclipped
from clipper.learning.optimizers import Adam, Optimizer, RMSProp
from clipper.learning.rewards import Raw
from clipper.learning.schedules import KLAdaptive, Linear, Schedule
from clipper.learning.value_losses import MSE, ClippedMSE, Huber

SUMS = ("loss/policy", "loss/value", "policy/entropy")
PPO_SUMS = (
    *SUMS, "policy/kl", "policy/clip_fraction", "policy/kl_k1", "policy/kl_k2", "policy/kl_k3", "policy/ratio_clamped",
)  # fmt: skip
"""The sums that the kernels watch, in their order."""
COMMON = {
    "gamma", "learning_rate", "max_grad_norm", "value_coef", "value_loss", "entropy_coef", "advantages", "optimizer",
    "rewards",
}  # fmt: skip
KNOWN: dict[type, set[str]] = {
    PPO: COMMON | {"lam", "clip", "horizon", "epochs", "minibatches", "stop", "objective", "parts"},
    A2C: COMMON | {"lam", "horizon"},
    Reinforce: (COMMON - {"rewards"}) | {"episodes", "baseline"},
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
    parts: Parts = dataclasses.field(default_factory=Joint)
    """How the parts of a hybrid action enter it."""
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
    stop: KLStop | None = None


class Units(TypedDict, total=False):
    """Fields of a plan that say what advantages are standardised over."""

    per_minibatch: bool
    per_batch: bool
    per_trajectory: bool
    correction: int


def read_algorithm(algorithm: Algorithm) -> Plan:
    """The plan; raises ``UnsuitableError`` with the first thing that the kernels do not know."""
    known = KNOWN.get(type(algorithm))
    if known is None:
        raise UnsuitableError(f"kernels know no {type(algorithm).__name__}")
    for field in dataclasses.fields(algorithm):  # pyright: ignore[reportArgumentType]
        value = getattr(algorithm, field.name)
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if field.name not in known and value != default:
            raise UnsuitableError(f"kernels know no {field.name}={value!r} of {type(algorithm).__name__}")
    check_values(algorithm)
    if isinstance(algorithm, PPO):
        return Plan(
            algorithm=algorithm,
            optimizer=algorithm.optimizer,
            watched=PPO_SUMS,
            epochs=algorithm.epochs,
            minibatches=algorithm.minibatches,
            clip=algorithm.clip,
            objective=algorithm.objective,
            parts=algorithm.parts,
            stop=algorithm.stop,
            **units(algorithm.advantages),
        )
    if isinstance(algorithm, A2C):
        return Plan(algorithm=algorithm, optimizer=algorithm.optimizer, watched=SUMS, **units(algorithm.advantages))
    assert isinstance(algorithm, Reinforce)
    return Plan(
        algorithm=algorithm,
        optimizer=algorithm.optimizer,
        watched=SUMS,
        whole_returns=True,
        baseline=algorithm.baseline,
        trajectories=True,
        **units(algorithm.advantages),
    )


def units(advantages: Advantages) -> Units:
    """Over what advantages are standardised."""
    if not isinstance(advantages, Standardised):
        return {}
    over = advantages.over
    return {
        "per_minibatch": over == "minibatch",
        "per_batch": over == "batch",
        "per_trajectory": over == "trajectories",
        "correction": advantages.correction,
    }


def check_values(algorithm: Algorithm) -> None:
    """Raise ``UnsuitableError`` with the first value that the kernels cannot compute."""
    known = {"value_loss": (MSE, Huber, ClippedMSE), "optimizer": (Adam, RMSProp), "advantages": (Standardised, Raw)}
    if isinstance(algorithm, PPO):
        if isinstance(algorithm.learning_rate, KLAdaptive):
            raise UnsuitableError(f"kernels know no learning_rate={algorithm.learning_rate!r}")
        if not isinstance(algorithm.clip, int | float | tuple | Linear):
            raise UnsuitableError(f"kernels know no clip={algorithm.clip!r}")
        if algorithm.stop is not None and algorithm.stop.at != "minibatch":
            raise UnsuitableError(f"kernels know no stop={algorithm.stop!r}")
        known["objective"] = (Clip, DualClip, Unclipped, Rollback, SPO)
        known["parts"] = (Joint, PerPart)
    for name, kinds in known.items():
        if type(value := getattr(algorithm, name)) not in kinds:
            raise UnsuitableError(f"kernels know no {name}={value!r}")
    optimizer = algorithm.optimizer  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(optimizer, Adam) and optimizer.weight_decay:
        raise UnsuitableError(f"kernels know no optimizer={optimizer!r}")
