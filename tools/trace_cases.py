"""The battery of ``traces.py``: small declarative entries, which the checkouts themselves turn into runs.

A name ``"a|b"`` of a value or of a field means the first of these that a checkout knows. So where something is renamed,
its entry here gets the new name beside the old one, and checkouts from before and after can still be compared.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One run to compare."""

    name: str
    """As the table shows it."""
    env: str = "CartPole-v1"
    """An id, or ``own:NAME`` for a class of ``trace_environments.py``; a recipe brings its own."""
    algorithm: Any = None
    """A ``value``, or for a recipe the fields that are changed."""
    policy: dict[str, Any] = field(default_factory=dict)
    """Fields of ``PolicyOptions``."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Keywords of ``clipper.train``; ``total_steps`` bounds the run beside the number of iterations."""
    scheduled: bool = False
    """Put a ``Linear`` on every field of the algorithm that takes one."""
    recipe: str = ""
    """Instead of ``env``, ``algorithm`` and ``policy``: a function in ``clipper.recipes``."""
    evaluate: bool = True
    """Play two episodes with what was saved; of games with long ones that would take most of the time."""


def value(name: str, *arguments: Any, **fields: Any) -> dict[str, Any]:
    """An instance of the library's class ``name``."""
    return {"value": name, "arguments": list(arguments), "fields": fields}


FEW_VALUE_EPOCHS = {"value_epochs": 2, "value_minibatches": 2}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "Reinforce": {"episodes": 4},
    "ImportanceSampling": {"episodes": 4, "max_steps": 4},
    "VPG": {"horizon": 16, **FEW_VALUE_EPOCHS},
    "A2C": {"horizon": 16},
    "NPG": {"horizon": 16, "cg_iterations": 5, **FEW_VALUE_EPOCHS},
    "TRPO": {"horizon": 16, "cg_iterations": 5, **FEW_VALUE_EPOCHS},
    "PPO": {"horizon": 16, "epochs": 2, "minibatches": 2},
    "PPOApart": {"horizon": 16, "epochs": 3, "minibatches": 2, **FEW_VALUE_EPOCHS},
    "PPOPenalty": {"horizon": 16, "epochs": 2, "minibatches": 2},
}
"""The line, each with the settings that keep a run of it small."""
NATIVE = {"vector": "native"}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "schedules": {"scheduled": True},
    "normalisers": {"policy": {"normalise_obs": True, "normalise_returns": True}},
    "reward scaling": {"env": "Pendulum-v1", "fields": {"scale_rewards": True, "clip_rewards": 2.0}},
    "periodic critic": {"fields": {"target_critic": value("Periodic", 3)}},
    "polyak critic": {"fields": {"target_critic": value("Polyak", 0.2)}},
    "lstm": {"env": "clipper/CartPoleHidden-v0", "policy": {"memory": value("LSTM", 8)}},
    "gru": {"env": "clipper/CartPoleHidden-v0", "policy": {"memory": value("GRU", 8)}},
    "masks": {"env": "clipper/RepeatPreviousMasked-v0"},
    "continuous": {"env": "Pendulum-v1"},
    "hybrid": {"env": "clipper/Platform-v0", "settings": NATIVE},
    "pop art": {"policy": {"critic": value("PopArt")}},
    "two-hot": {"policy": {"critic": value("TwoHot", 31, 8.0)}, "fields": {"value_loss": value("CrossEntropy")}},
}
"""What each algorithm is run with; one without the field is left out, and the table says so."""

PLATFORM = {"env": "clipper/Platform-v0", "settings": NATIVE}
PENDULUM = {"env": "Pendulum-v1"}
OTHERS: dict[str, dict[str, dict[str, Any]]] = {
    "PPO": {
        "recompute": {"fields": {"recompute": True}},
        "kl adaptive": {"fields": {"learning_rate": value("KLAdaptive", 0.01)}},
        "normalised rewards": {**PENDULUM, "fields": {"normalise_rewards": True}},
        "dual clip": {"fields": {"objective": value("DualClip")}},
        "unclipped": {"fields": {"objective": value("Unclipped")}},
        "rollback": {"fields": {"objective": value("Rollback")}},
        "spo": {"fields": {"objective": value("SPO")}},
        "trust region": {"fields": {"objective": value("TrustRegion")}},
        "trust region rollback": {"fields": {"objective": value("TrustRegionRollback"), "exact_kl": True}},
        "two bounds": {"fields": {"clip": [0.1, 0.3], "standardise": "batch", "correction": 0}},
        "huber": {"fields": {"value_loss": value("Huber"), "standardise": "none"}},
        "value clip": {"fields": {"value_loss": value("ClippedMSE", 0.1), "adam_eps": 1e-8}},
        "kl stop": {"fields": {"target_kl": 1e-4, "learning_rate": 0.01}},
        "kl stop by epoch": {"fields": {"target_kl": 1e-4, "learning_rate": 0.01, "kl_stop": "epoch"}},
        "monte carlo": {"fields": {"critic_target": value("MonteCarlo")}},
        "td0 polyak": {"fields": {"critic_target": value("TD0"), "target_critic": value("Polyak", 0.2)}},
        "n-step": {"fields": {"critic_target": value("NStep", 4)}},
        "td lambda": {"fields": {"critic_target": value("TDLambda", 0.5)}},
        "transformer": {
            "env": "clipper/RepeatPrevious-v0", "policy": {"memory": value("Transformer", 8, 4, 2)},
        },
        "lstm, masks, burn-in, normalisers": {
            "env": "clipper/RepeatPreviousMasked-v0",
            "policy": {"memory": value("LSTM", 8, 2), "normalise_obs": True, "normalise_returns": True},
        },
        "tanh gaussian, σ of the state": {
            **PENDULUM,
            "policy": {"head": value("HeadOptions", distribution=value("TanhGaussian"), std=value("ExpOfState"))},
        },
        "beta": {**PENDULUM, "policy": {"head": value("HeadOptions", distribution=value("Beta"))}},
        "gsde": {**PENDULUM, "policy": {"head": value("HeadOptions", distribution=value("GSDE", 4))}},
        "planned σ": {**PENDULUM, "policy": {"head": value("HeadOptions", std=value("LinearStd", 0.1))}},
        "planned log σ": {**PENDULUM, "policy": {"head": value("HeadOptions", std=value("LinearLogStd", -2.0))}},
        "fixed σ": {**PENDULUM, "policy": {"head": value("HeadOptions", std=value("Fixed"))}},
        "ratio by part": {
            **PLATFORM,
            "fields": {"ratio": "per_part", "entropy_coefs": [["choice", value("Linear", 0.02, 0.01)]]},
        },
        "parts in order": {"env": "own:Crane", "policy": {"head": value("HeadOptions", autoregressive=True)}},
        "tree of actions": {"env": "own:Crane", "fields": {"exact_kl": True}},
        "tree of observations": {
            "env": "own:Locks",
            "policy": {"encoder": value("EncoderOptions", embedding=3), "normalise_obs": True, "shared": True},
        },
        "critic sees more": {
            "env": "own:Locks", "policy": {"encoder": value("EncoderOptions", critic_only=["switch"])},
        },
        "image": {"env": "own:Side", "policy": {"encoder": value("EncoderOptions", cnn_features=8)}},
        "masks in observations": {"env": "own:Forbidding", "policy": {"normalise_obs": True}},
        "masks of several choices": {"env": "own:Wheels"},
        "masked grid": {"env": "clipper/MaskedGrid-v0", "settings": NATIVE},
        "moving": {"env": "clipper/Moving-v0", "settings": NATIVE},
        "shared trunk": {"policy": {"shared": True, "activation": "relu"}},
        "other widths": {"policy": {"critic_hidden": [12], "activation": "silu", "orthogonal": False}},
        "worker processes": {"settings": {"vector": "workers"}},
        "evaluated": {"settings": {"eval_every": 200, "eval_episodes": 2}},
        "two threads": {"settings": {"threads": 2}},
    },
    "A2C": {
        "adam": {"fields": {"optimizer": value("Adam"), "standardise": True}},
        "tensorflow's rmsprop": {"fields": {"optimizer": value("RMSPropTF"), "lam": 0.9}},
        "image": {"env": "own:Side", "policy": {"encoder": value("EncoderOptions", cnn_features=8)}},
    },
    "Reinforce": {
        "whole returns": {"fields": {"causal": False, "baseline": False, "standardise": False}},
        "value clip": {"fields": {"value_loss": value("ClippedMSE", 0.1), "gamma": 0.9}},
    },
    "ImportanceSampling": {
        "causal product": {"fields": {"weights": value("CausalProduct")}},
        "whole trajectory": {"fields": {"weights": value("WholeTrajectory"), "baseline": False}},
    },
    "TRPO": {"image": {"env": "own:Side", "policy": {"encoder": value("EncoderOptions", cnn_features=8)}}},
    "PPOApart": {
        "critic first": {"fields": {"critic_first": True, "kl_estimate": "k3"}},
        "image": {"env": "own:Side", "policy": {"encoder": value("EncoderOptions", cnn_features=8)}},
    },
    "PPOPenalty": {
        "hinge": {"fields": {"hinge": 10.0, "kl_target": 0.001}},
        "fixed β": {"fields": {"kl_target": None}},
    },
}  # fmt: skip
"""What only one of them knows, or what is the same for all."""

SMALL_POLICY = {"hidden": [16, 16]}
SMALL_SETTINGS = {"num_envs": 4, "total_steps": 3000, "vector": "serial"}
LONG_SETTINGS = {"total_steps": 20_000}
"""Of algorithms that collect whole episodes, which may take 200 steps each."""


NAMES = {"PPOApart": "PPOApart|PPOSeparate"}


def make_case(algorithm: str, variant: str, entry: dict[str, Any]) -> Case:
    """The case of an entry above."""
    settings = SMALL_SETTINGS | (LONG_SETTINGS if "episodes" in ALGORITHMS[algorithm] else {})
    return Case(
        f"{algorithm.lower()}/{variant}",
        entry.get("env", Case.env),
        value(
            {"PPOApart": "PPOApart|PPOSeparate"}.get(algorithm, algorithm),
            **ALGORITHMS[algorithm] | entry.get("fields", {}),
        ),
        SMALL_POLICY | entry.get("policy", {}),
        settings | entry.get("settings", {}),
        entry.get("scheduled", False),
    )


SHORT = {"horizon": 16, "epochs": 4}
RECIPES: dict[str, dict[str, Any]] = {
    "pong": {"settings": {"num_envs": 2}, "evaluate": False},
    "breakout": {"settings": {"num_envs": 2}, "evaluate": False},
} | {
    name: {"settings": NATIVE}
    for name in (
        "catching_point",
        "chase_and_attack",
        "drone_fly",
        "goal",
        "half_field_football",
        "hard_goal",
        "hardmove",
        "moving",
        "platform",
        "rooms",
        "sliding",
        "spread",
    )
}
"""What differs for a recipe from the few environments and short segments that all are cut down to."""


def make_recipe(name: str) -> Case:
    """The case of one of ``clipper.recipes``."""
    entry = RECIPES.get(name, {})
    # Never vector="auto": that measures how fast the environment is, and may choose otherwise in the other checkout.
    settings = {"num_envs": 8, "total_steps": 3000, "vector": "serial"} | entry.get("settings", {})
    return Case(
        f"recipes/{name}", algorithm=SHORT, settings=settings, recipe=name, evaluate=entry.get("evaluate", True)
    )


PROBE = make_case("PPO", "plain", {})
"""What must run on the cpu engine, or no case can be compared there."""


def battery(recipes: list[str]) -> list[Case]:
    """All cases."""
    cases = [make_recipe(name) for name in recipes]
    for algorithm in ALGORITHMS:
        entries = VARIANTS | OTHERS.get(algorithm, {})
        cases += [make_case(algorithm, variant, entry) for variant, entry in entries.items()]
    return cases
