"""Files of earlier versions: each field that is a part of a value now gives the value that means the same."""

from typing import Any

import pytest

from clipper.algorithms import (
    A2C,
    NPG,
    ON_POLICY,
    PPO,
    TRPO,
    VPG,
    Algorithm,
    ImportanceSampling,
    PPOPenalty,
    PPOSeparate,
    Reinforce,
)
from clipper.errors import ConfigError
from clipper.learning.action_parts import Joint, PerPart
from clipper.learning.advantages import Standardised
from clipper.learning.critic_targets import TD0, MonteCarlo, NStep, Periodic, Polyak, TDLambda
from clipper.learning.kl import Exact, KLStop, Sampled
from clipper.learning.optimizers import Adam, RMSProp
from clipper.learning.rewards import Normalised, Raw, Scaled
from clipper.learning.schedules import KLAdaptive, Linear
from clipper.settings.config import Config
from clipper.settings.config_json import from_json, read_settings, to_json

POLYAK = {"type": "Polyak", "tau": 0.2}
PERIODIC = {"type": "Periodic", "updates": 3}

# All fields that the classes had which are others now, as a file of that time gives them where nobody has set any.
SCALE = {"scale_rewards": False, "clip_rewards": 10.0}
CRITIC = {"critic_target": None, "target_critic": None}
ADVANTAGES = {"standardise": True, "correction": 1}
UNTOUCHED: list[tuple[str, dict[str, Any], Algorithm]] = [
    (
        "PPO",
        {
            "standardise": "minibatch", "correction": 1, "target_kl": None, "kl_stop": "minibatch", "exact_kl": False,
            "ratio": "joint", "entropy_coefs": [], "adam_eps": 1e-5, "normalise_rewards": False, **SCALE, **CRITIC,
        },
        PPO(),
    ),
    (
        "PPOApart",
        {
            "standardise": True, "correction": 0, "target_kl": 0.01, "kl_estimate": "k1", "adam_eps": 1e-8, **SCALE,
            "critic_target": {"type": "MonteCarlo"}, "target_critic": None,
        },
        PPOSeparate(),
    ),
    (
        "PPOPenalty",
        {"standardise": "minibatch", "correction": 1, "adam_eps": 1e-5, **SCALE, **CRITIC},
        PPOPenalty(),
    ),
    ("Reinforce", {"standardise": True, "standardise_over": "trajectories", "adam_eps": 1e-5}, Reinforce()),
    ("ImportanceSampling", {"adam_eps": 1e-5}, ImportanceSampling()),
    ("VPG", {"adam_eps": 1e-5, **ADVANTAGES, **SCALE, **CRITIC}, VPG()),
    ("A2C", {"standardise": False, "correction": 1, **SCALE, **CRITIC}, A2C()),
    ("NPG", {"learning_rate": 1e-3, "adam_eps": 1e-5, **ADVANTAGES, **SCALE, **CRITIC}, NPG()),
    ("TRPO", {"learning_rate": 1e-3, "adam_eps": 1e-5, **ADVANTAGES, **SCALE, **CRITIC}, TRPO()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "fields", "expected"), UNTOUCHED, ids=[name for name, *_ in UNTOUCHED])
def test_what_was_the_default_is_the_default(name: str, fields: dict[str, Any], expected: Algorithm) -> None:
    """Given whole, and each field alone, as in a file that somebody has written."""
    assert from_json({"type": name, **fields}, Algorithm) == expected
    for field, given in fields.items():
        old = (name, field) == ("Reinforce", "standardise")  # from before there was a choice: over decisions
        meant = Reinforce(advantages=Standardised("batch", 0)) if old else expected
        assert from_json({"type": name, field: given}, Algorithm) == meant, field


def test_no_class_is_left_out() -> None:
    assert tuple(type(expected) for *_, expected in UNTOUCHED) == tuple(
        kind
        for kind in ON_POLICY
        if kind.__name__ != "PPOEWMA"  # which came later
    )


def said(name: str, fields: dict[str, Any], *_: Any) -> str:
    return " ".join([name, *(f"{field}={given!r}" for field, given in fields.items())])


CHANGED: list[tuple[str, dict[str, Any], Algorithm]] = [
    # PPO: units of advantages
    ("PPO", {"standardise": "batch"}, PPO(advantages=Standardised("batch", 1))),
    ("PPO", {"standardise": "none"}, PPO(advantages=Raw())),
    ("PPO", {"correction": 0}, PPO(advantages=Standardised("minibatch", 0))),
    ("PPO", {"standardise": "batch", "correction": 0}, PPO(advantages=Standardised("batch", 0))),
    ("PPO", {"standardise": "none", "correction": 0}, PPO(advantages=Raw())),
    # rewards
    ("PPO", {"scale_rewards": True}, PPO(rewards=Scaled(10.0))),
    ("PPO", {"scale_rewards": True, "clip_rewards": 4.0}, PPO(rewards=Scaled(4.0))),
    ("PPO", {"scale_rewards": True, "clip_rewards": float("inf")}, PPO(rewards=Scaled(float("inf")))),
    ("PPO", {"scale_rewards": True, "normalise_rewards": False}, PPO(rewards=Scaled(10.0))),
    ("PPO", {"normalise_rewards": True}, PPO(rewards=Normalised(10.0))),
    ("PPO", {"normalise_rewards": True, "clip_rewards": 2}, PPO(rewards=Normalised(2.0))),
    ("PPO", {"clip_rewards": 4.0}, PPO(rewards=Raw())),
    # KL
    ("PPO", {"target_kl": 0.02}, PPO(stop=KLStop(0.02, "minibatch"))),
    ("PPO", {"target_kl": 0.02, "kl_stop": "epoch"}, PPO(stop=KLStop(0.02, "epoch"))),
    ("PPO", {"target_kl": None, "kl_stop": "epoch"}, PPO(stop=None)),
    ("PPO", {"kl_stop": "epoch"}, PPO(stop=None)),
    ("PPO", {"exact_kl": True}, PPO(kl=Exact())),
    # the lagging critic
    ("PPO", {"target_critic": POLYAK}, PPO(critic_target=TDLambda(0.95, Polyak(0.2)))),
    ("PPO", {"target_critic": POLYAK, "lam": 0.8}, PPO(lam=0.8, critic_target=TDLambda(0.8, Polyak(0.2)))),
    (
        "PPO",
        {"target_critic": PERIODIC, "critic_target": None, "lam": 1},
        PPO(lam=1.0, critic_target=TDLambda(1.0, Periodic(3))),
    ),
    (
        "PPO",
        {"target_critic": PERIODIC, "critic_target": {"type": "NStep", "n": 3}},
        PPO(critic_target=NStep(3, Periodic(3))),
    ),
    ("PPO", {"target_critic": None, "critic_target": {"type": "TD0"}}, PPO(critic_target=TD0())),
    ("PPO", {"critic_target": {"type": "TDLambda", "lam": 0.5}}, PPO(critic_target=TDLambda(0.5))),
    # parts of hybrid actions
    ("PPO", {"ratio": "per_part"}, PPO(parts=PerPart())),
    ("PPO", {"entropy_coefs": [["choice", 0.01]]}, PPO(parts=Joint((("choice", 0.01),)))),
    (
        "PPO",
        {"ratio": "per_part", "entropy_coefs": [["a", {"type": "Linear", "start": 0.1, "end": 0.0}], ["b", 0]]},
        PPO(parts=PerPart((("a", Linear(0.1)), ("b", 0.0)))),
    ),
    # the optimizer, and what keeps its name
    ("PPO", {"adam_eps": 1e-7}, PPO(optimizer=Adam(1e-7))),
    ("PPO", {"learning_rate": 1e-4}, PPO(learning_rate=1e-4)),
    (
        "PPO",
        {"learning_rate": {"type": "KLAdaptive", "kl": 0.02}, "adam_eps": 0},
        PPO(learning_rate=KLAdaptive(0.02), optimizer=Adam(0.0)),
    ),
    # PPOSeparate, which was PPOApart
    ("PPOApart", {}, PPOSeparate()),
    ("PPOApart", {"standardise": False}, PPOSeparate(advantages=Raw())),
    ("PPOApart", {"correction": 1}, PPOSeparate(advantages=Standardised("batch", 1))),
    ("PPOApart", {"target_kl": None}, PPOSeparate(stop=None)),
    ("PPOApart", {"target_kl": 0.05}, PPOSeparate(stop=KLStop(0.05))),
    ("PPOApart", {"kl_estimate": "k2"}, PPOSeparate(kl=Sampled("k2"))),
    ("PPOApart", {"target_critic": POLYAK}, PPOSeparate(critic_target=MonteCarlo(Polyak(0.2)))),
    (
        "PPOApart",
        {"target_critic": POLYAK, "critic_target": {"type": "MonteCarlo"}},
        PPOSeparate(critic_target=MonteCarlo(Polyak(0.2))),
    ),
    (
        "PPOApart",
        {"target_critic": POLYAK, "critic_target": None},
        PPOSeparate(critic_target=TDLambda(0.97, Polyak(0.2))),
    ),
    ("PPOApart", {"adam_eps": 1e-5, "scale_rewards": True}, PPOSeparate(optimizer=Adam(1e-5), rewards=Scaled())),
    # the others
    ("PPOPenalty", {"standardise": "none"}, PPOPenalty(advantages=Raw())),
    ("PPOPenalty", {"standardise": "batch", "correction": 0}, PPOPenalty(advantages=Standardised("batch", 0))),
    ("PPOPenalty", {"target_critic": POLYAK}, PPOPenalty(critic_target=TDLambda(0.95, Polyak(0.2)))),
    ("PPOPenalty", {"scale_rewards": True, "adam_eps": 1e-8}, PPOPenalty(rewards=Scaled(), optimizer=Adam(1e-8))),
    ("Reinforce", {"standardise": False}, Reinforce(advantages=Raw())),
    ("Reinforce", {"standardise": False, "standardise_over": "decisions"}, Reinforce(advantages=Raw())),
    ("Reinforce", {"standardise_over": "decisions"}, Reinforce(advantages=Standardised("batch", 0))),
    (
        "Reinforce",
        {"standardise": True, "standardise_over": "decisions", "adam_eps": 1e-3},
        Reinforce(advantages=Standardised("batch", 0), optimizer=Adam(1e-3)),
    ),
    ("ImportanceSampling", {"adam_eps": 1e-3}, ImportanceSampling(optimizer=Adam(1e-3))),
    ("VPG", {"standardise": False}, VPG(advantages=Raw())),
    ("VPG", {"correction": 0}, VPG(advantages=Standardised("batch", 0))),
    (
        "VPG",
        {"target_critic": POLYAK, "learning_rate": 0.1},
        VPG(learning_rate=0.1, critic_target=TDLambda(0.97, Polyak(0.2))),
    ),
    ("A2C", {"standardise": True}, A2C(advantages=Standardised("batch", 1))),
    ("A2C", {"standardise": True, "correction": 0}, A2C(advantages=Standardised("batch", 0))),
    ("A2C", {"correction": 0}, A2C(advantages=Raw())),
    ("A2C", {"target_critic": POLYAK}, A2C(critic_target=TDLambda(1.0, Polyak(0.2)))),
    (
        "A2C",
        {"optimizer": {"type": "RMSProp", "decay": 0.9, "eps": 1e-3}, "scale_rewards": True},
        A2C(optimizer=RMSProp(0.9, 1e-3), rewards=Scaled()),
    ),
    ("NPG", {"standardise": False, "learning_rate": 0.1}, NPG(advantages=Raw(), value_learning_rate=0.1)),
    ("NPG", {"target_critic": PERIODIC}, NPG(critic_target=TDLambda(0.95, Periodic(3)))),
    (
        "TRPO",
        {"learning_rate": {"type": "Linear", "start": 0.1, "end": 0.0}, "correction": 0},
        TRPO(value_learning_rate=Linear(0.1), advantages=Standardised("batch", 0)),
    ),
    ("TRPO", {"scale_rewards": True, "clip_rewards": 5.0}, TRPO(rewards=Scaled(5.0))),
]  # fmt: skip


@pytest.mark.parametrize(("name", "fields", "expected"), CHANGED, ids=[said(*x) for x in CHANGED])
def test_former_fields_are_the_values_that_mean_the_same(
    name: str, fields: dict[str, Any], expected: Algorithm
) -> None:
    found = from_json({"type": name, **fields}, Algorithm)
    assert found == expected
    assert type(found) is type(expected)
    config = from_json({"type": "Config", "env": "CartPole-v1", "algorithm": {"type": name, **fields}}, Config)
    assert config == Config(env="CartPole-v1", algorithm=expected)
    assert read_settings(to_json(config)) == config


HOSTILE: list[tuple[str, dict[str, Any]]] = [
    *(("PPO", {"standardise": x}) for x in ("sometimes", 1, 0.0, None, [], ["batch"], {}, {"type": "Raw"})),
    *(("VPG", {"standardise": x}) for x in ("sometimes", 1, 0, None, [], {}, "trajectories")),
    *(("PPO", {"correction": x}) for x in (2, "1", [1], None, {})),
    *(("Reinforce", {"standardise_over": x}) for x in ("sometimes", ["trajectories"], 1, None, {})),
    *(("PPO", {"scale_rewards": x}) for x in (1, "yes", [True], {}, None)),
    *(("PPO", {"normalise_rewards": x}) for x in (1, "yes", [True], {}, None)),
    *(("PPO", {"scale_rewards": True, "clip_rewards": x}) for x in ("x", 0, -1.0, [10.0], None, True)),
    *(("PPO", {"target_kl": x}) for x in ("x", 0, -0.01, [0.01], {}, True)),
    *(("PPO", {"target_kl": 0.01, "kl_stop": x}) for x in ("later", 1, ["epoch"], None, {})),
    *(("PPO", {"exact_kl": x}) for x in (1, "yes", [True], {}, None)),
    *(("PPOApart", {"kl_estimate": x}) for x in ("k4", 1, ["k1"], None, {})),
    *(("PPO", {"target_critic": x}) for x in ("polyak", 1, [POLYAK], {}, {"type": "Clip"}, {"type": ["Polyak"]})),
    *(("PPO", {"target_critic": POLYAK, "critic_target": x}) for x in ("td0", 1, [1], {}, {"type": "Clip"})),
    *(("PPO", {"target_critic": POLYAK, "lam": x}) for x in ("x", 2.0, [1], None)),
    *(("PPO", {"ratio": x}) for x in ("sometimes", 1, ["per_part"], None, {})),
    *(("PPO", {"entropy_coefs": x}) for x in ("x", 1, [1], [["a"]], [["a", "b"]], [[1, 0.1]], {"a": 0.1}, None)),
    *(("PPO", {"adam_eps": x}) for x in ("x", -1e-9, [1e-5], None, True, {})),
    *(("NPG", {"learning_rate": x}) for x in ("x", -1e-9, [1e-5], None, True, {"type": "KLAdaptive"})),
    ("TRPO", {"target_kl": 0.01}),
    ("ImportanceSampling", {"standardise": True}),
]


@pytest.mark.parametrize(("name", "fields"), HOSTILE, ids=[said(*x) for x in HOSTILE])
def test_what_never_stood_there_is_refused_with_its_path(name: str, fields: dict[str, Any]) -> None:
    data = {"type": "Config", "env": "CartPole-v1", "algorithm": {"type": name, **fields}}
    with pytest.raises(ConfigError, match=r"^config\.algorithm"):
        from_json(data, Config)


@pytest.mark.parametrize("kind", ["Clip", "PolicyOptions", "Config", "mine:PPO"])
def test_only_algorithms_had_those_fields(kind: str) -> None:
    """A value of the user's own that has a field of such a name keeps it."""
    data = {"type": kind, "standardise": True, "adam_eps": 1e-5}
    found = from_json(data, Algorithm) if ":" in kind else None
    if found is None:
        with pytest.raises(ConfigError):
            from_json(data, Algorithm)
    else:
        assert to_json(found) == data


def test_the_data_that_is_read_stays_as_it_is() -> None:
    data = {"type": "PPO", "target_kl": 0.02, "critic_target": {"type": "TD0"}, "target_critic": dict(POLYAK)}
    kept = {**data, "critic_target": {"type": "TD0"}, "target_critic": dict(POLYAK)}
    assert from_json(data, PPO) == PPO(stop=KLStop(0.02), critic_target=TD0(Polyak(0.2)))
    assert data == kept
