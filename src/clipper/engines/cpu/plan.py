"""What an algorithm asks for, in the words of the kernels, or why they do not know it. Needs no Numba."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar

from clipper.algorithms import A2C, NPG, PPO, TRPO, VPG, Algorithm, PPOPenalty, PPOSeparate, Reinforce
from clipper.engines.cpu.kernels.tables import EXACT, K1, K2, K3
from clipper.engines.protocol import UnsuitableError
from clipper.learning.action_parts import Joint, Parts, PerPart
from clipper.learning.advantages import Advantages, Standardised
from clipper.learning.kl import KL, KLStop, Sampled
from clipper.learning.objectives import (
    SPO,
    Clip,
    DualClip,
    Objective,
    Rollback,
    TrustRegion,
    TrustRegionRollback,
    Unclipped,
)
from clipper.learning.optimizers import Adam, RMSProp
from clipper.learning.rewards import Raw
from clipper.learning.schedules import KLAdaptive, Linear, Rate, Schedule
from clipper.learning.value_losses import MSE, ClippedMSE, Huber

PLAIN = {"loss/policy": 0, "policy/entropy": 2}
RATIOS = {"policy/kl_k1": 5, "policy/kl_k2": 6, "policy/kl_k3": 7, "policy/ratio_clamped": 8}
CLIPPED = PLAIN | {"policy/kl": 3, "policy/clip_fraction": 4} | RATIOS
BOTH = {"loss/value": 1}
"""What is watched, and which of the kernels' sums that is."""
ESTIMATES = {"k1": K1, "k2": K2, "k3": K3}
Kind = TypeVar("Kind")


@dataclass(frozen=True, kw_only=True, slots=True)
class Passes:
    """Steps of one part of a learner over the decisions."""

    part: str = ""
    """Its name."""
    epochs: int = 1
    minibatches: int = 1
    rate: Rate
    stop: KLStop | None = None
    acts: bool = True
    judges: bool = True
    """Is there a loss of the actor, and one of the critic?"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What the kernels do in one update."""

    climb: Passes
    """Of actor and critic together, or of the actor alone."""
    fit: Passes | None = None
    """The critic's own steps."""
    fit_first: bool = False
    """Let them come first."""
    watched: dict[str, int]
    """Names of the sums that are watched."""
    objective: Objective | None = None
    """PPO's surrogate; None where the objective is −log π(a|s) Â."""
    clip: Schedule | tuple[float, float] = 0.0
    """Of that surrogate."""
    parts: Parts = dataclasses.field(default_factory=Joint)
    """How the parts of a hybrid action enter it."""
    by_part: bool = False
    """Are they watched, each with its ratio?"""
    kl: int = K3
    """Which KL is reported and decides."""
    penalised: bool = False
    """That KL enters the loss, with a weight β that is adapted after the update."""
    value_coef: float = 1.0
    entropy_coef: Schedule = 0.0
    per_minibatch: bool = False
    per_batch: bool = False
    per_trajectory: bool = False
    """Over what advantages are brought to standard units: decisions of these, or trajectories."""
    correction: int = 1
    """1 divides their variance by n − 1, 0 by n."""
    whole_returns: bool = False
    """Returns to go instead of GAE."""
    trajectories: bool = False
    """The actor's loss is a sum within trajectories and a mean over them."""
    natural: bool = False
    """The actor takes one step along F⁻¹g."""
    recompute: bool = False
    """Targets are made anew before each epoch but the first."""


class Units(TypedDict, total=False):
    """Fields of a plan that say what advantages are standardised over."""

    per_minibatch: bool
    per_batch: bool
    per_trajectory: bool
    correction: int


class Weights(Units, total=False):
    """Those that say how much the terms of a loss of both count."""

    value_coef: float
    entropy_coef: Schedule


def read_algorithm(algorithm: Algorithm) -> Plan:
    """The plan; raises ``UnsuitableError`` with the first thing that the kernels do not know."""
    for kind, plan in PLANS:
        if type(algorithm) is kind:
            check_values(algorithm)
            return plan(algorithm)
    raise UnsuitableError(f"kernels know no {type(algorithm).__name__}")


def ppo_plan(algorithm: PPO) -> Plan:
    """Epochs of minibatches down one loss of both."""
    return Plan(
        climb=Passes(
            epochs=algorithm.epochs, minibatches=algorithm.minibatches, rate=known_rate(algorithm), stop=algorithm.stop
        ),
        watched=CLIPPED | BOTH,
        clip=algorithm.clip,
        objective=algorithm.objective,
        parts=algorithm.parts,
        by_part=True,
        kl=EXACT if isinstance(algorithm.objective, TrustRegion | TrustRegionRollback) else kl_of(algorithm.kl),
        recompute=algorithm.recompute,
        **weights(algorithm),
    )


def ppo_separate_plan(algorithm: PPOSeparate) -> Plan:
    """Epochs of the actor, and epochs of the critic."""
    return Plan(
        climb=Passes(
            epochs=algorithm.epochs,
            minibatches=algorithm.minibatches,
            rate=algorithm.learning_rate,
            stop=algorithm.stop,
            judges=False,
        ),
        fit=fit_of(algorithm),
        fit_first=algorithm.critic_first,
        watched=CLIPPED,
        clip=algorithm.clip,
        objective=Clip(),
        by_part=True,
        kl=kl_of(algorithm.kl),
        entropy_coef=algorithm.entropy_coef,
        **units(algorithm.advantages),
    )


def ppo_penalty_plan(algorithm: PPOPenalty) -> Plan:
    """Epochs of minibatches down one loss of both, in which the KL has a weight."""
    if algorithm.hinge:
        raise UnsuitableError(f"kernels know no hinge={algorithm.hinge!r} of PPOPenalty")
    return Plan(
        climb=Passes(epochs=algorithm.epochs, minibatches=algorithm.minibatches, rate=algorithm.learning_rate),
        watched=PLAIN | BOTH | {"policy/kl": 3} | RATIOS,
        objective=Unclipped(),
        kl=EXACT,
        penalised=True,
        **weights(algorithm),
    )


def vpg_plan(algorithm: VPG) -> Plan:
    """One step of the actor, and epochs of the critic."""
    return Plan(
        climb=Passes(rate=algorithm.learning_rate, judges=False),
        fit=fit_of(algorithm),
        watched=PLAIN,
        entropy_coef=algorithm.entropy_coef,
        **units(algorithm.advantages),
    )


def a2c_plan(algorithm: A2C) -> Plan:
    """One step of both."""
    return Plan(
        climb=Passes(rate=algorithm.learning_rate),
        watched=PLAIN | BOTH,
        **weights(algorithm),
    )


def reinforce_plan(algorithm: Reinforce) -> Plan:
    """One step of both over whole episodes."""
    return Plan(
        climb=Passes(rate=algorithm.learning_rate),
        watched=PLAIN | BOTH,
        whole_returns=True,
        trajectories=True,
        **weights(algorithm),
    )


def natural_plan(algorithm: NPG | TRPO) -> Plan:
    """One step of the actor along F⁻¹g, and epochs of the critic."""
    return Plan(
        climb=Passes(rate=0.0, judges=False),
        fit=fit_of(algorithm),
        watched=PLAIN,
        objective=Unclipped() if isinstance(algorithm, TRPO) else None,
        kl=EXACT,
        natural=True,
        **units(algorithm.advantages),
    )


PLANS: tuple[tuple[type, Callable[[Any], Plan]], ...] = (
    (PPO, ppo_plan), (PPOSeparate, ppo_separate_plan), (PPOPenalty, ppo_penalty_plan), (VPG, vpg_plan),
    (A2C, a2c_plan), (Reinforce, reinforce_plan), (NPG, natural_plan), (TRPO, natural_plan),
)  # fmt: skip
"""The algorithms whose losses the kernels know."""


def fit_of(algorithm: VPG | PPOSeparate | NPG | TRPO) -> Passes:
    """The critic's own steps."""
    return Passes(
        part="critic", epochs=algorithm.value_epochs, minibatches=algorithm.value_minibatches,
        rate=algorithm.value_learning_rate, acts=False,
    )  # fmt: skip


def known_rate(algorithm: PPO) -> Rate:
    """The step size, which may follow the run's progress but not the KL."""
    if isinstance(algorithm.learning_rate, KLAdaptive):
        raise UnsuitableError(f"kernels know no learning_rate={algorithm.learning_rate!r}")
    return algorithm.learning_rate


def kl_of(kl: KL) -> int:
    """Which KL decides."""
    return ESTIMATES[kl.estimate] if isinstance(kl, Sampled) else EXACT


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


def weights(algorithm: PPO | PPOPenalty | A2C | Reinforce) -> Weights:
    """What the critic's error and the entropy weigh beside the surrogate, and the units of its advantages."""
    coefs: Weights = {"value_coef": algorithm.value_coef, "entropy_coef": algorithm.entropy_coef}
    return {**coefs, **units(algorithm.advantages)}


def check_values(algorithm: Algorithm) -> None:
    """Raise ``UnsuitableError`` with the first value that the kernels cannot compute."""
    known = {"value_loss": (MSE, Huber, ClippedMSE), "optimizer": (Adam, RMSProp), "advantages": (Standardised, Raw)}
    if isinstance(algorithm, PPO):
        known["objective"] = (Clip, DualClip, Unclipped, Rollback, SPO, TrustRegion, TrustRegionRollback)
        known["parts"] = (Joint, PerPart)
        if not isinstance(algorithm.clip, int | float | tuple | Linear):
            raise UnsuitableError(f"kernels know no clip={algorithm.clip!r}")
    for name, kinds in known.items():
        if type(value := getattr(algorithm, name)) not in kinds:
            raise UnsuitableError(f"kernels know no {name}={value!r}")
    optimizer = algorithm.optimizer  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(optimizer, Adam) and optimizer.weight_decay:
        raise UnsuitableError(f"kernels know no optimizer={optimizer!r}")
