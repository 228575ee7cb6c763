"""Every field that takes a schedule follows it, in every algorithm and engine: halfway, a line to 0 is half its start.

A field that is not read, or whose schedule is asked at another moment, fails one of the two comparisons.
"""

import math
from typing import Any, get_args, get_type_hints

import pytest
import torch
from wiring.rig import ALGORITHMS, EngineName, apart, engines_of, hybrid_policy, same, short, trained

import clipper
from clipper.learning.schedules import Linear
from clipper.networks.heads import Fixed, HeadOptions, LinearLogStd, LinearStd, Scale

# Where they start, such that half of it is another update. A field of an algorithm to come starts at 0.1.
START = {"learning_rate": 0.02, "value_learning_rate": 0.02, "entropy_coef": 0.5, "entropy": 0.5, "clip": 0.02}


def holds_a_schedule(annotation: Any) -> bool:
    return annotation is Linear or any(map(holds_a_schedule, get_args(annotation)))


def scheduled_fields(kind: type) -> list[str]:
    """Their names; of a value that the algorithm may hold, as in ``parts.PerPart.entropy``, field, class and field."""
    found = []
    for name, annotation in get_type_hints(kind).items():
        found += [name] if holds_a_schedule(annotation) else []
        for held in get_args(annotation):
            if hasattr(held, "__dataclass_fields__") and held is not Linear:
                found += [f"{name}.{held.__name__}.{own}" for own in scheduled_fields(held)]
    return found


CASES = [
    pytest.param(kind, field, engine, id=f"{kind.__name__}-{field}-{engine}")
    for kind in ALGORITHMS
    for field in scheduled_fields(kind)
    for engine in engines_of(kind)
]


def with_schedule(kind: type, field: str, schedule: Any) -> Any:
    """The algorithm with a schedule in this field; ``parts`` hold one for a part of an action."""
    name, _, rest = field.partition(".")
    if not rest:
        return short(kind, **{name: schedule})
    held, _, own = rest.partition(".")
    kinds = {x.__name__: x for x in get_args(get_type_hints(kind)[name]) if hasattr(x, "__dataclass_fields__")}
    return short(kind, **{name: kinds[held](**{own: (("go", schedule),) if name == "parts" else schedule})})


@pytest.mark.parametrize(("kind", "field", "engine"), CASES)
def test_halfway_a_line_to_0_is_half_its_start(kind: type, field: str, engine: EngineName) -> None:
    start = START.get(field.rpartition(".")[2], 0.1)
    line, half, whole = (
        trained(
            with_schedule(kind, field, schedule), engine,
            policy=hybrid_policy() if field.startswith("parts.") else None, progress=0.5,
        )
        for schedule in (Linear(start), start / 2, start)
    )  # fmt: skip
    assert same(line, half)
    assert apart(half, whole) > 1e-5


def test_every_algorithm_takes_schedules_and_they_are_found() -> None:
    found = {kind: set(scheduled_fields(kind)) for kind in ALGORITHMS}
    assert all(found.values())
    parts = {"parts.Joint.entropy", "parts.PerPart.entropy"}
    assert found[clipper.PPO] == {"clip", "learning_rate", "entropy_coef", *parts}
    assert found[clipper.TRPO] == {"delta", "value_learning_rate"}


# log σ at half of the run, from 0 at its beginning.
PLANS = [(LinearLogStd(-2.0), -1.0), (LinearStd(0.2), math.log(0.6))]


@pytest.mark.parametrize(("plan", "halfway"), PLANS, ids=["log-std", "std"])
@pytest.mark.parametrize(
    ("kind", "engine"),
    [pytest.param(kind, e, id=f"{kind.__name__}-{e}") for kind in ALGORITHMS for e in engines_of(kind)],
)
def test_a_planned_deviation_is_the_fixed_one_of_that_moment(
    kind: type, engine: EngineName, plan: Scale, halfway: float
) -> None:
    """The fixed one is learned with by the definition, so that an engine cannot be wrong about both."""
    cases: list[tuple[EngineName, Scale, float]]
    cases = [(engine, plan, 0.0), ("torch", Fixed(), halfway), ("torch", Fixed(), 0.0)]
    planned, fixed, first = (
        trained(
            short(kind), worker, progress=0.5,
            options=clipper.PolicyOptions(hidden=(5,), head=HeadOptions(std=scale, initial_log_std=start)),
        )
        for worker, scale, start in cases
    )  # fmt: skip
    near = 1e-6 if engine == "torch" else 1e-4
    torch.testing.assert_close(planned.parameters, fixed.parameters, rtol=0, atol=near)
    assert apart(fixed, first) > 10 * near


def test_every_scale_that_follows_the_run_is_here() -> None:
    assert {type(plan) for plan, _ in PLANS} == {
        kind for kind in get_args(Scale) if "end" in getattr(kind, "__dataclass_fields__", ())
    }


@pytest.mark.parametrize("kind", ALGORITHMS, ids=lambda kind: kind.__name__)
def test_a_run_tells_how_far_it_is_before_it_collects(kind: type) -> None:
    """Through ``train``: in iteration k the learner, and what plans in the policy, stand at the steps done before."""
    head = HeadOptions(std=LinearLogStd(-2.0))
    size = {"episodes": 2} if "episodes" in kind.__dataclass_fields__ else {"horizon": 8}
    before, seen = [0.0], []

    def look(run: clipper.Run) -> None:
        seen.append((run.learner.progress, float(run.policy.head.log_std.progress)))
        before.append(run.steps / 2000)

    clipper.train(
        "Pendulum-v1", short(kind, **size), policy=clipper.PolicyOptions(hidden=(4,), head=head), num_envs=2,
        total_steps=2000, callback=lambda run: look(run) or run.iteration < 3, engine="torch",
    )  # fmt: skip
    assert seen == [(x, x) for x in before[:3]]
    assert 0 < seen[1][0] < seen[2][0]
