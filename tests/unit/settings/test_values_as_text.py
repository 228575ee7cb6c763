"""What algorithms hold, as the command line says it: read, written, and read again; wrong words are told the forms."""

from typing import Any, get_type_hints

import pytest

from clipper.algorithms import KNOWN, PPO
from clipper.learning.action_parts import Joint, PerPart
from clipper.learning.advantages import Standardised
from clipper.learning.critic_targets import TD0, MonteCarlo, NStep, Periodic, Polyak, TDLambda
from clipper.learning.kl import Exact, KLStop, Sampled
from clipper.learning.optimizers import Adam, RMSProp, RMSPropTF
from clipper.learning.rewards import Normalised, Raw, Scaled
from clipper.learning.schedules import Linear
from clipper.settings.option_text import from_text, to_text

HINTS: dict[str, Any] = get_type_hints(PPO, include_extras=True)
INF = float("inf")

READ: list[tuple[str, str, object]] = [
    ("stop", "klstop", KLStop()),
    ("stop", "klstop(0.02)", KLStop(0.02)),
    ("stop", "klstop(0.02,epoch)", KLStop(0.02, "epoch")),
    ("stop", "KLStop( 0.02 , 'epoch' )", KLStop(0.02, "epoch")),
    ("stop", "klstop(at=epoch)", KLStop(0.01, "epoch")),
    ("stop", "klstop(inf)", KLStop(INF)),
    ("stop", "none", None),
    ("stop", "None", None),
    ("kl", "exact", Exact()),
    ("kl", "exact()", Exact()),
    ("kl", "sampled", Sampled("k3")),
    ("kl", "sampled(k1)", Sampled("k1")),
    ("rewards", "raw", Raw()),
    ("rewards", "scaled", Scaled(10.0)),
    ("rewards", "scaled(5)", Scaled(5.0)),
    ("rewards", "scaled(inf)", Scaled(INF)),
    ("rewards", "normalised(bound=2.5)", Normalised(2.5)),
    ("advantages", "raw", Raw()),
    ("advantages", "standardised", Standardised("minibatch", 1)),
    ("advantages", "standardised(batch)", Standardised("batch", 1)),
    ("advantages", "standardised(batch,0)", Standardised("batch", 0)),
    ("advantages", "standardised(trajectories)", Standardised("trajectories", 1)),
    ("advantages", "standardised(correction=0)", Standardised("minibatch", 0)),
    ("critic_target", "none", None),
    ("critic_target", "monte_carlo", MonteCarlo()),
    ("critic_target", "monte_carlo(periodic(3))", MonteCarlo(Periodic(3))),
    ("critic_target", "td0(polyak)", TD0(Polyak(0.1))),
    ("critic_target", "td0(none)", TD0()),
    ("critic_target", "nstep(3)", NStep(3)),
    ("critic_target", "nstep(lag=polyak(0.5))", NStep(5, Polyak(0.5))),
    ("critic_target", "tdlambda(0.9,polyak(0.1))", TDLambda(0.9, Polyak(0.1))),
    ("critic_target", "tdlambda(0.9,none)", TDLambda(0.9)),
    ("parts", "joint", Joint()),
    ("parts", "per_part", PerPart()),
    ("parts", "per_part({choice: 0.01})", PerPart((("choice", 0.01),))),
    ("parts", "joint({'go.how': 0.01, force: linear(0.1)})", Joint((("go.how", 0.01), ("force", Linear(0.1))))),
    ("parts", "joint(((choice, 0.01), (force, 0)))", Joint((("choice", 0.01), ("force", 0.0)))),
    ("parts", "joint([[choice, 0.01]])", Joint((("choice", 0.01),))),
    ("parts", "per_part({'0': 0.01, '1.choice': 0})", PerPart((("0", 0.01), ("1.choice", 0.0)))),
    ("parts", "joint({'none': 0.1, 'if': 0, \"it's\": 1})", Joint((("none", 0.1), ("if", 0.0), ("it's", 1.0)))),
    ("parts", "joint({})", Joint()),
    ("optimizer", "adam", Adam()),
    ("optimizer", "adam(1e-8)", Adam(1e-8)),
    ("optimizer", "adam(weight_decay=0.01)", Adam(weight_decay=0.01)),
    ("optimizer", "adam(1e-8,(0.5,0.9))", Adam(1e-8, (0.5, 0.9))),
    ("optimizer", "adam(betas=[0.5, 0.9])", Adam(betas=(0.5, 0.9))),
    ("optimizer", "adam(1e-8,(0.5,0.9),0.1)", Adam(1e-8, (0.5, 0.9), 0.1)),
    ("optimizer", "rmsprop(0.9,1e-3)", RMSProp(0.9, 1e-3)),
    ("optimizer", "rmsprop_tf(eps=1e-3)", RMSPropTF(0.99, 1e-3)),
]


@pytest.mark.parametrize(("field", "text", "value"), READ, ids=[f"{field} {text}" for field, text, _ in READ])
def test_text_is_the_value_and_the_value_its_text(field: str, text: str, value: object) -> None:
    assert from_text(text, HINTS[field]) == value
    assert type(from_text(text, HINTS[field])) is type(value)
    assert from_text(to_text(value), HINTS[field]) == value


WRITTEN: list[tuple[object, str]] = [
    (None, "None"),
    (Raw(), "raw"),
    (Exact(), "exact"),
    (Sampled("k1"), "sampled(k1)"),
    (Scaled(INF), "scaled(inf)"),
    (KLStop(0.02), "klstop(0.02)"),
    (KLStop(0.02, "epoch"), "klstop(0.02,epoch)"),
    (Standardised("batch", 0), "standardised(batch,0)"),
    (TDLambda(0.9, Polyak(0.1)), "tdlambda(0.9,polyak(0.1))"),
    (TDLambda(0.9), "tdlambda(0.9)"),
    (MonteCarlo(), "monte_carlo"),
    (MonteCarlo(Periodic(3)), "monte_carlo(periodic(3))"),
    (Joint(), "joint"),
    (PerPart(), "per_part"),
    (Adam(1e-8), "adam(1e-08)"),
]


@pytest.mark.parametrize(("value", "text"), WRITTEN, ids=[text for _, text in WRITTEN])
def test_values_are_written_as_people_type_them(value: object, text: str) -> None:
    assert to_text(value) == text


WRONG: list[tuple[str, str, str]] = [
    ("stop", "klstopp(0.1)", "klstop(target,at)|none"),
    ("stop", "0.02", "klstop(target,at)|none"),
    ("stop", "klstop(epoch)", "klstop(target,at)|none"),
    ("stop", "klstop(0.02,later)", "klstop(target,at)|none"),
    ("stop", "klstop(0.02,epoch,3)", "klstop(target,at)|none"),
    ("stop", "klstop(goal=0.02)", "klstop(target,at)|none"),
    ("kl", "exact(1)", "sampled(estimate)|exact"),
    ("kl", "k1", "sampled(estimate)|exact"),
    ("kl", "none", "sampled(estimate)|exact"),
    ("rewards", "yes", "raw|scaled(bound)|normalised(bound)|MODULE:NAME"),
    ("rewards", "scaled(x)", "raw|scaled(bound)|normalised(bound)|MODULE:NAME"),
    ("advantages", "batch", "standardised(over,correction)|raw"),
    ("advantages", "standardised(batches)", "standardised(over,correction)|raw"),
    ("advantages", "standardised(batch,2)", "standardised(over,correction)|raw"),
    ("advantages", "standardised(0)", "standardised(over,correction)|raw"),
    ("critic_target", "tdlambda(0.9,0.1)", "tdlambda(lam,lag)"),
    ("critic_target", "td0(clip)", "td0(lag)"),
    ("critic_target", "polyak(0.1)", "monte_carlo(lag)|td0(lag)|nstep(n,lag)|tdlambda(lam,lag)|MODULE:NAME|none"),
    ("parts", "per_part(0.01)", "joint(entropy)|per_part(entropy)"),
    ("parts", "per_part({choice: x})", "joint(entropy)|per_part(entropy)"),
    ("parts", "per_part({choice})", "joint(entropy)|per_part(entropy)"),
    ("parts", "per_part({**choice})", "joint(entropy)|per_part(entropy)"),
    ("parts", "apart", "joint(entropy)|per_part(entropy)"),
    ("optimizer", "adam(betas=0.9)", "adam(eps,betas,weight_decay)"),
    ("optimizer", "adam(1e-8,0.9,0.99)", "adam(eps,betas,weight_decay)"),
    ("optimizer", "sgd", "adam(eps,betas,weight_decay)|rmsprop(decay,eps)|rmsprop_tf(decay,eps)|MODULE:NAME"),
    ("optimizer", "adam(**{})", "adam(eps,betas,weight_decay)"),
]


@pytest.mark.parametrize(("field", "text", "forms"), WRONG, ids=[f"{field} {text}" for field, text, _ in WRONG])
def test_wrong_words_are_told_the_forms(field: str, text: str, forms: str) -> None:
    with pytest.raises(ValueError, match="is none of") as told:
        from_text(text, HINTS[field])
    assert repr(text) in str(told.value)
    assert forms in str(told.value)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("stop", "klstop(0)"), ("stop", "klstop(-0.1)"), ("rewards", "scaled(0)"), ("rewards", "normalised(-1)"),
        ("critic_target", "tdlambda(1.5)"), ("critic_target", "td0(polyak(2))"), ("critic_target", "nstep(0)"),
        ("optimizer", "adam(-1)"), ("optimizer", "adam(betas=(0.9,1))"), ("optimizer", "adam(weight_decay=inf)"),
        ("parts", "joint({choice: inf})"),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(field: str, text: str) -> None:
    """By the value, which says the range."""
    with pytest.raises(ValueError, match="must be"):
        from_text(text, HINTS[field])


FIELDS = [
    pytest.param(kind, name, id=f"{kind.__name__}.{name}")
    for kind in KNOWN
    for name in ("rewards", "advantages", "stop", "kl", "critic_target", "parts", "optimizer", "alpha")
    if name in get_type_hints(kind)
]


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_each_algorithm_s_default_is_read_as_it_is_shown(kind: type, name: str) -> None:
    default = getattr(kind(), name)
    assert from_text(to_text(default), get_type_hints(kind, include_extras=True)[name]) == default
