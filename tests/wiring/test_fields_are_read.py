"""Each field of each algorithm counts: another value of it, where it can matter, gives other parameters.

So do the fields of the values that an algorithm holds. What is named in no table here, as of an algorithm to come, gets
another value by its type.
"""

import dataclasses
import functools
from typing import Any, get_args, get_type_hints

import pytest
import torch
from batches import small_policy
from wiring.rig import (
    ALGORITHMS,
    EngineName,
    Trained,
    apart,
    engines_of,
    hybrid_policy,
    names_of,
    recorded,
    short,
    trained,
)

import clipper
from clipper.algorithms import quota_of
from clipper.learning.objectives import TrustRegion, TrustRegionRollback
from clipper.learning.schedules import KLAdaptive

QUOTA = {"horizon": 4, "episodes": 4}
"""What is collected; no update reads it."""
TURNED: dict[str, Any] = {
    "clip": 0.01, "objective": clipper.objectives.Unclipped(), "value_loss": clipper.value_losses.Huber(0.1),
    "critic_target": clipper.critic_targets.TD0(),
    "target_critic": clipper.critic_targets.Polyak(0.2), "entropy_coef": 0.5, "entropy_coefs": (("go", 0.5),),
    "ratio": "per_part",
    "target_kl": 1e-6, "clip_rewards": 0.1, "kl_target": 0.1, "hinge": 10.0, "sigma": 1e-6, "tries": 1,
    "optimizer": clipper.optimizers.Adam(), "weights": clipper.importance_weights.CausalProduct(), "adam_eps": 1e-2,
    "max_grad_norm": 0.01,
}  # fmt: skip
"""Other values than ``short`` has, where half of it, one more, or the other way would not do."""
WHERE: dict[str, dict[str, Any]] = {
    "clip_rewards": {"scale_rewards": True},
    "kl_stop": {"target_kl": 1e-6},
    "shrink": {"delta": 0.1, "damping": 1e-4},
    "tries": {"delta": 0.1, "damping": 1e-4},
    "hinge": {"kl_target": 1e-4},
}
"""What else is set, so that a field counts."""
REPORTED = {"exact_kl": "policy/kl", "kl_estimate": "policy/kl"}
"""Fields that say how a number is estimated: it shows in what is watched, and decides only when an update ends."""
HYBRID = {"entropy_coefs", "ratio"}
"""Fields that count for actions with parts."""


def beside(kind: type, field: str) -> dict[str, Any]:
    """What else is set; the deviation that ``correction`` corrects is that of standard units."""
    if field == "correction" and short(kind).standardise is False:
        return {"standardise": True}
    return WHERE.get(field, {})


def other(kind: type, field: str) -> Any:
    """Another legal value than ``short`` has."""
    now = getattr(short(kind), field)
    if field in TURNED:
        return TURNED[field]
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
    for engine in engines_of(kind, {field, *beside(kind, field)})
]


@functools.cache  # for many fields the first of the two is the same
def learnt(algorithm: Any, engine: EngineName, hybrid: bool = False) -> Trained:
    policy = hybrid_policy() if hybrid else None
    return trained(algorithm, engine, policy=policy, updates=3, reward=10.0)


@pytest.mark.parametrize(("kind", "field", "engine"), FIELDS)
def test_another_value_is_another_update(kind: type, field: str, engine: EngineName) -> None:
    algorithm = short(kind, **beside(kind, field))
    turned = dataclasses.replace(algorithm, **{field: other(kind, field)})
    before, after = (learnt(x, engine, field in HYBRID) for x in (algorithm, turned))
    if field in REPORTED:
        name = REPORTED[field]
        assert any(not torch.allclose(a[name], b[name]) for a, b in zip(before.metrics, after.metrics, strict=True))
    else:
        assert apart(before, after) > 1e-6


@pytest.mark.parametrize("kind", [kind for kind in ALGORITHMS if "normalise_rewards" in names_of(kind)])
def test_normalised_rewards_have_the_bound_of_scaled_ones(kind: type) -> None:
    fields = {"normalise_rewards": True}
    bounded, free = (learnt(short(kind, **fields, clip_rewards=x), "torch") for x in (0.1, 10.0))
    assert apart(bounded, free) > 1e-6


@pytest.mark.parametrize("kind", [kind for kind in ALGORITHMS if "target_critic" in names_of(kind)])
def test_without_a_target_of_its_own_a_lagging_critic_has_the_advantage_s_lam(kind: type) -> None:
    fields: dict[str, Any] = {"lam": 0.5, "target_critic": clipper.critic_targets.Polyak(0.2)}
    found = []
    for target in (None, clipper.critic_targets.TDLambda(0.5), clipper.critic_targets.TDLambda(0.9)):
        algorithm, policy = short(kind, **fields, critic_target=target), small_policy("gaussian")
        found.append(algorithm.targets(algorithm.init(policy), *recorded(policy, seed=0)).value_target)
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2])


@pytest.mark.parametrize("field", ["max_grad_norm", "adam_eps"])
@pytest.mark.parametrize("kind", [clipper.VPG, clipper.PPOSeparate], ids=lambda kind: kind.__name__)
def test_bounds_of_steps_hold_for_actor_and_critic(kind: type, field: str) -> None:
    """In one update neither moves the other."""
    values = getattr(short(kind), field), other(kind, field)
    before, after = (trained(short(kind, **{field: x}), updates=1, reward=10.0) for x in values)
    moved, size = (before.parameters - after.parameters).abs(), len(before.learner.actor)
    assert moved[:size].max() > 1e-7
    assert moved[size:].max() > 1e-7


@pytest.mark.parametrize("kind", ALGORITHMS, ids=lambda kind: kind.__name__)
def test_what_is_collected_is_what_the_quota_says(kind: type) -> None:
    [field] = set(QUOTA) & set(names_of(kind))
    assert quota_of(short(kind, **{field: QUOTA[field]})) == {field: QUOTA[field]}


PAIRS: dict[tuple[type, str], tuple[Any, Any]] = {
    (clipper.objectives.DualClip, "c"): (clipper.objectives.DualClip(3.0), clipper.objectives.DualClip(1.01)),
    (clipper.critic_targets.Periodic, "updates"): (
        clipper.critic_targets.Periodic(1),
        clipper.critic_targets.Periodic(2),
    ),
    (TrustRegion, "delta"): (TrustRegion(1e-2), TrustRegion(1e-6)),
    (TrustRegionRollback, "delta"): (TrustRegionRollback(1e-2), TrustRegionRollback(1e-6)),
    (TrustRegionRollback, "alpha"): (TrustRegionRollback(1e-6, 5.0), TrustRegionRollback(1e-6, 1.0)),
    (clipper.optimizers.RMSPropTF, "eps"): (clipper.optimizers.RMSPropTF(), clipper.optimizers.RMSPropTF(eps=1e-2)),
    (KLAdaptive, "kl"): (KLAdaptive(1e-3), KLAdaptive(1.0)),
    (KLAdaptive, "least"): (KLAdaptive(1e-9, least=1e-3), KLAdaptive(1e-9, least=1e-4)),
    (KLAdaptive, "most"): (KLAdaptive(1e9, most=1e-3), KLAdaptive(1e9, most=1e-2)),
}
"""Values that an algorithm holds and that differ in one field, where their default and half of it would not do."""


AT_REST = {(kind, clipper.value_losses.ClippedMSE, "bound") for kind in (clipper.A2C, clipper.Reinforce)}
"""Without effect, and that is right: V is clipped about what it was before the update, whose one step begins there."""


def pair_of(held: type, field: str) -> tuple[Any, Any]:
    now = getattr(held(), field)
    return PAIRS.get((held, field)) or (
        held(),
        dataclasses.replace(held(), **{field: now + 1 if isinstance(now, int) else now / 2}),
    )


HELD = [
    pytest.param(kind, field, held, own, id=f"{kind.__name__}-{field}-{held.__name__}-{own}")
    for kind in ALGORITHMS
    for field, annotation in get_type_hints(kind).items()
    for held in get_args(annotation)
    if hasattr(held, "__dataclass_fields__") and held is not clipper.schedules.Linear  # which test_schedules.py turns
    for own in names_of(held)
]


@pytest.mark.parametrize(("kind", "field", "held", "own"), HELD)
def test_fields_of_what_an_algorithm_holds_count(kind: type, field: str, held: type, own: str) -> None:
    before, after = (learnt(short(kind, **{field: value}), "torch") for value in pair_of(held, own))
    assert (apart(before, after) > 1e-7) == ((kind, held, own) not in AT_REST)
