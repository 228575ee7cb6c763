"""Each field of each algorithm counts: another value of it, where it can matter, gives other parameters.

So do the fields of the values that an algorithm holds, and of those that they hold. What is named in no table here, as
of an algorithm to come, gets another value by its type.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, cast, get_args, get_type_hints

import pytest
import torch
from wiring.rig import ALGORITHMS, EngineName, Trained, apart, engines_of, hybrid_policy, names_of, short, trained

import clipper
from clipper.algorithms import quota_of
from clipper.engines.cpu.plan import read_algorithm
from clipper.engines.protocol import UnsuitableError
from clipper.learning.action_parts import Joint, PerPart
from clipper.learning.advantages import Raw, Standardised
from clipper.learning.critic_targets import TD0, MonteCarlo, NStep, Periodic, Polyak, TDLambda
from clipper.learning.kl import Exact, KLStop, Sampled
from clipper.learning.objectives import TrustRegion, TrustRegionRollback
from clipper.learning.optimizers import Adam, RMSPropTF
from clipper.learning.rewards import Normalised, Scaled
from clipper.learning.schedules import KLAdaptive

QUOTA = {"horizon": 4, "episodes": 4}
"""What is collected; no update reads it."""
TURNED: dict[str, Any] = {
    "clip": 0.01, "objective": clipper.objectives.Unclipped(), "value_loss": clipper.value_losses.Huber(0.1),
    "critic_target": TD0(), "entropy_coef": 0.5, "parts": PerPart(), "stop": KLStop(1e-6), "rewards": Scaled(),
    "kl": Exact(), "kl_target": 0.1, "hinge": 10.0, "sigma": 1e-6, "tries": 1, "optimizer": Adam(1e-2),
    "weights": clipper.importance_weights.CausalProduct(), "max_grad_norm": 0.01,
    "weight_bound": 0.5,
}  # fmt: skip
"""Other values than ``short`` has, where half of it, one more, or the other way would not do."""
WHERE: dict[str, dict[str, Any]] = {
    "shrink": {"delta": 0.1, "damping": 1e-4},
    "tries": {"delta": 0.1, "damping": 1e-4},
    "hinge": {"kl_target": 1e-4},
}
"""What else is set, so that a field counts."""
REPORTED = {"kl": "policy/kl"}
"""Fields that say how a number is estimated: it shows in what is watched, and decides only when an update ends."""
HYBRID = {"parts"}
"""Fields that count for actions with parts."""


def other(kind: type, field: str) -> Any:
    """Another legal value than ``short`` has."""
    now = getattr(short(kind), field)
    if field in TURNED:
        return TURNED[field]
    if field == "advantages":
        return Raw() if isinstance(now, Standardised) else Standardised("batch")
    if isinstance(now, bool):
        return not now
    words = [x for x in get_args(get_type_hints(kind)[field]) if isinstance(x, int | str)]
    if words:
        return next(x for x in reversed(words) if x != now)
    return now + 1 if isinstance(now, int) else now / 2


FIELDS = [
    pytest.param(kind, field, engine, id=f"{kind.__name__}-{field}-{engine}")
    for kind in ALGORITHMS
    for field in names_of(kind)
    if field not in QUOTA
    for engine in engines_of(kind)
]


@functools.cache  # for many fields the first of the two is the same
def learnt(algorithm: Any, engine: EngineName, hybrid: bool = False) -> Trained:
    policy = hybrid_policy() if hybrid else None
    return trained(algorithm, engine, policy=policy, updates=3, reward=10.0)


def differ(before: Trained, after: Trained, field: str, near: float) -> bool:
    """Do two trainings differ in what this field of the algorithm says: in parameters, or in what is reported?"""
    if name := REPORTED.get(field):
        return any(not torch.allclose(a[name], b[name]) for a, b in zip(before.metrics, after.metrics, strict=True))
    return apart(before, after) > near


@pytest.mark.parametrize(("kind", "field", "engine"), FIELDS)
def test_another_value_is_another_update(kind: type, field: str, engine: EngineName) -> None:
    algorithm = short(kind, **WHERE.get(field, {}))
    turned = dataclasses.replace(algorithm, **{field: other(kind, field)})
    before, after = (learnt(x, engine, field in HYBRID) for x in (algorithm, turned))
    assert differ(before, after, field, 1e-6)


@pytest.mark.parametrize(
    "turned",
    [{"max_grad_norm": 0.01}, {"optimizer": Adam(1e-2)}, {"optimizer": Adam(weight_decay=0.1)}],
    ids=["max_grad_norm", "eps", "weight_decay"],
)
@pytest.mark.parametrize("kind", [clipper.VPG, clipper.PPOSeparate], ids=lambda kind: kind.__name__)
def test_bounds_of_steps_hold_for_actor_and_critic(kind: type, turned: dict[str, Any]) -> None:
    """In one update neither moves the other."""
    before, after = (trained(short(kind, **fields), updates=1, reward=10.0) for fields in ({}, turned))
    moved, size = (before.parameters - after.parameters).abs(), len(before.learner.actor)
    assert moved[:size].max() > 1e-7
    assert moved[size:].max() > 1e-7


@pytest.mark.parametrize("kind", ALGORITHMS, ids=lambda kind: kind.__name__)
def test_what_is_collected_is_what_the_quota_says(kind: type) -> None:
    [field] = set(QUOTA) & set(names_of(kind))
    assert quota_of(short(kind, **{field: QUOTA[field]})) == {field: QUOTA[field]}


PAIRS: dict[tuple[type, str], list[tuple[Any, Any]]] = {
    (clipper.objectives.DualClip, "c"): [(clipper.objectives.DualClip(3.0), clipper.objectives.DualClip(1.01))],
    (TrustRegion, "delta"): [(TrustRegion(1e-2), TrustRegion(1e-6))],
    (TrustRegionRollback, "delta"): [(TrustRegionRollback(1e-2), TrustRegionRollback(1e-6))],
    (TrustRegionRollback, "alpha"): [(TrustRegionRollback(1e-6, 5.0), TrustRegionRollback(1e-6, 1.0))],
    (Periodic, "updates"): [(Periodic(1), Periodic(2))],
    **{(kind, "lag"): [(kind(lag=None), kind(lag=Polyak(0.2)))] for kind in (MonteCarlo, TD0, NStep, TDLambda)},
    (Standardised, "over"): [
        (Standardised("minibatch"), Standardised("batch")),
        (Standardised("batch"), Standardised("trajectories")),
        (Standardised("trajectories"), Standardised("minibatch")),
    ],
    (Standardised, "correction"): [(Standardised(over, 1), Standardised(over, 0)) for over in ("minibatch", "batch")],
    (Scaled, "bound"): [(Scaled(10.0), Scaled(0.1))],
    (Normalised, "bound"): [(Normalised(10.0), Normalised(0.1))],
    (KLStop, "target"): [(KLStop(1e-6), KLStop(10.0)), (KLStop(1e-6, "epoch"), KLStop(10.0, "epoch"))],
    (KLStop, "at"): [(KLStop(1e-6, "minibatch"), KLStop(1e-6, "epoch"))],
    (Sampled, "estimate"): [(Sampled("k1"), Sampled("k2")), (Sampled("k2"), Sampled("k3"))],
    (Joint, "entropy"): [(Joint(), Joint((("go", 0.5),)))],
    (PerPart, "entropy"): [(PerPart(), PerPart((("go", 0.5),)))],
    (Adam, "eps"): [(Adam(), Adam(1e-2))],
    (Adam, "betas"): [(Adam(), Adam(betas=(0.5, 0.999))), (Adam(), Adam(betas=(0.9, 0.8)))],
    (Adam, "weight_decay"): [(Adam(), Adam(weight_decay=0.1))],
    (RMSPropTF, "eps"): [(RMSPropTF(), RMSPropTF(eps=1e-2))],
    (KLAdaptive, "kl"): [(KLAdaptive(1e-3), KLAdaptive(1.0))],
    (KLAdaptive, "least"): [(KLAdaptive(1e-9, least=1e-3), KLAdaptive(1e-9, least=1e-4))],
    (KLAdaptive, "most"): [(KLAdaptive(1e9, most=1e-3), KLAdaptive(1e9, most=1e-2))],
}
"""Values that an algorithm holds and that differ in one field, where their default and half of it would not do."""

SINGLE = {clipper.Reinforce, clipper.VPG, clipper.A2C, clipper.NPG, clipper.TRPO}
"""Algorithms whose actor takes one step for each batch."""
AT_REST = {(kind, clipper.value_losses.ClippedMSE, "bound", 0) for kind in (clipper.A2C, clipper.Reinforce)} | {
    (kind, Standardised, "over", 0) for kind in SINGLE
}
"""Without effect, and that is right: V is clipped about what it was before the update, whose one step begins there; and
where a batch is one minibatch, their units are the same.
"""


def pairs_of(held: type, own: str) -> list[tuple[Any, Any]]:
    """Two values of a class that differ in one field; of some, several twos."""
    if found := PAIRS.get((held, own)):
        return found
    now = getattr(held(), own)
    return [(held(), dataclasses.replace(held(), **{own: now + 1 if isinstance(now, int) else now / 2}))]


def holders(kind: type) -> Iterator[tuple[str, type]]:
    """The fields of a class, and the classes of values that they may hold; test_schedules.py turns lines."""
    for field, annotation in get_type_hints(kind).items():
        for held in get_args(annotation):
            if hasattr(held, "__dataclass_fields__") and held is not clipper.schedules.Linear:
                yield field, held


def held_pairs(kind: type) -> Iterator[tuple[str, type, str, int, tuple[Any, Any], str]]:
    """Field, class, its field, number, two values that the algorithm may hold, and what this is called."""
    for field, held in holders(kind):
        for own in names_of(held):
            for i, pair in enumerate(pairs_of(held, own)):
                yield field, held, own, i, pair, f"{held.__name__}-{own}-{i}"
        for inner, within in holders(held):
            for own in names_of(within):
                for i, (first, second) in enumerate(pairs_of(within, own)):
                    pair = held(**{inner: first}), held(**{inner: second})
                    yield field, within, own, i, pair, f"{held.__name__}-{inner}-{within.__name__}-{own}-{i}"


def knows(engine: EngineName, kind: type, field: str, pair: tuple[Any, Any]) -> bool:
    if engine == "torch":
        return True
    try:
        return all(read_algorithm(short(kind, **{field: value})) for value in pair)
    except UnsuitableError:
        return False


HELD = [
    pytest.param(kind, field, (held, own, i), pair, engine, id=f"{kind.__name__}-{field}-{name}-{engine}")
    for kind in ALGORITHMS
    for field, held, own, i, pair, name in held_pairs(kind)
    for engine in engines_of(kind)
    if knows(engine, kind, field, pair)
]


@pytest.mark.parametrize(("kind", "field", "what", "pair", "engine"), HELD)
def test_fields_of_what_an_algorithm_holds_count(
    kind: type, field: str, what: tuple[type, str, int], pair: tuple[Any, Any], engine: EngineName
) -> None:
    before, after = (learnt(short(kind, **{field: value}), engine, field in HYBRID) for value in pair)
    if (kind, *what) in AT_REST:
        # Rounding of float32, which differs between processors; F⁻¹g multiplies it.
        assert apart(before, after) <= (1e-5 if kind in (clipper.NPG, clipper.TRPO) else 1e-6)
    else:
        assert differ(before, after, field, 1e-7)


def test_every_field_of_every_value_is_turned() -> None:
    """By name: a class that stands in no annotation any more, or in one of another form, would be left out above."""
    found: dict[str, set[str]] = {}
    for case in HELD:
        _, _, what, *_ = case.values
        held, own, _ = cast(tuple[type, str, int], what)
        found.setdefault(held.__name__, set()).add(own)
    assert found == {
        "SelfNormalised": {"regulariser"},
        "DualClip": {"c"}, "Rollback": {"alpha"}, "TrustRegion": {"delta"}, "TrustRegionRollback": {"delta", "alpha"},
        "Joint": {"entropy"}, "PerPart": {"entropy"}, "KLAdaptive": {"kl", "start", "least", "most"},
        "Adam": {"eps", "betas", "weight_decay"}, "RMSProp": {"decay", "eps"}, "RMSPropTF": {"decay", "eps"},
        "Huber": {"delta"}, "ClippedMSE": {"bound"}, "MonteCarlo": {"lag"}, "TD0": {"lag"}, "NStep": {"n", "lag"},
        "TDLambda": {"lam", "lag"}, "Periodic": {"updates"}, "Polyak": {"tau"}, "Scaled": {"bound"},
        "Normalised": {"bound"}, "Standardised": {"over", "correction"}, "KLStop": {"target", "at"},
        "Sampled": {"estimate"},
    }  # fmt: skip


def test_the_kernels_are_held_to_the_values_that_they_know() -> None:
    """What they would refuse from one day to the next would be left out above."""
    pytest.importorskip("numba")
    found: dict[str, set[str]] = {}
    for case in HELD:
        kind, _, what, _, engine = cast(Any, case.values)
        held, own, _ = what
        if engine == "cpu":
            found.setdefault(kind.__name__, set()).add(f"{held.__name__}.{own}")
    common = {
        "Adam.eps", "Adam.betas", "RMSProp.decay", "RMSProp.eps", "Huber.delta", "ClippedMSE.bound",
        "Standardised.over", "Standardised.correction",
    }  # fmt: skip
    bootstrapped = common | {
        "Scaled.bound", "Normalised.bound", "MonteCarlo.lag", "TD0.lag", "NStep.n", "NStep.lag", "TDLambda.lam",
        "TDLambda.lag", "Periodic.updates", "Polyak.tau",
    }  # fmt: skip
    stopped = {"KLStop.target", "KLStop.at", "Sampled.estimate"}
    ppo = stopped | {
        "DualClip.c", "Rollback.alpha", "TrustRegion.delta", "TrustRegionRollback.delta", "TrustRegionRollback.alpha",
        "Joint.entropy", "PerPart.entropy",
    }  # fmt: skip
    assert found == {
        "PPO": bootstrapped | ppo, "PPOSeparate": bootstrapped | stopped, "PPOPenalty": bootstrapped,
        "VPG": bootstrapped, "A2C": bootstrapped, "NPG": bootstrapped, "TRPO": bootstrapped, "Reinforce": common,
    }  # fmt: skip
