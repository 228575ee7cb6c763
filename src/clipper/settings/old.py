"""Files of earlier versions: names that have changed, and fields that now travel together as one value."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

RENAMED = {"PPOApart": "PPOSeparate"}
"""Classes by their name in the file."""
ALGORITHMS = {"PPO", "PPOSeparate", "PPOPenalty", "Reinforce", "ImportanceSampling", "VPG", "A2C", "NPG", "TRPO"}
Fields = dict[str, Any]
WORDS: dict[str, tuple[bool | str, ...]] = {
    "standardise": (True, False, "minibatch", "batch", "none"), "standardise_over": ("trajectories", "decisions"),
    **dict.fromkeys(("scale_rewards", "normalise_rewards", "exact_kl"), (True, False)), "ratio": ("joint", "per_part"),
}  # fmt: skip
"""What stood in former fields that decide which value they are now; all else is checked as a part of that value."""


def stood(name: str, given: object) -> bool:
    """Could ``given`` have stood in a former field? Else that stays where it is, as a field that there is not."""
    return name not in WORDS or any(type(given) is type(word) and given == word for word in WORDS[name])


def as_now(data: object) -> object:
    """A value's JSON as today's class has it; what is no such value stays as it is."""
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        return data
    data = data | {"type": RENAMED.get(data["type"], data["type"])}
    if data["type"] in ALGORITHMS:
        for names, change in CHANGES:
            former = {name: data.pop(name) for name in names if name in data and stood(name, data[name])}
            if former:
                change(data, former)
    return data


def value(name: str, **fields: object) -> Fields:
    """JSON of one of Clipper's values."""
    return {"type": name, **fields}


def advantages(data: Fields, former: Fields) -> None:
    """``standardise`` with its ``correction``, and REINFORCE's ``standardise_over``: without it, over decisions."""
    kind = data["type"]
    over = former.get("standardise", {"PPO": "minibatch", "PPOPenalty": "minibatch", "A2C": False}.get(kind, True))
    if over is True:
        trajectories = kind == "Reinforce" and former.get("standardise_over") == "trajectories"
        over = "trajectories" if trajectories else "batch"
    correction = 0 if kind == "Reinforce" else former.get("correction", 0 if kind == "PPOSeparate" else 1)
    off = over in ("none", False)
    data["advantages"] = value("Raw") if off else value("Standardised", over=over, correction=correction)


def rewards(data: Fields, former: Fields) -> None:
    """``scale_rewards`` or ``normalise_rewards``, with ``clip_rewards``."""
    kinds = {"Scaled": former.get("scale_rewards"), "Normalised": former.get("normalise_rewards")}
    chosen = [kind for kind, on in kinds.items() if on is True]
    data["rewards"] = value(chosen[-1], bound=former.get("clip_rewards", 10.0)) if chosen else value("Raw")


def stop(data: Fields, former: Fields) -> None:
    """``target_kl`` with ``kl_stop``."""
    target = former.get("target_kl", 0.01 if data["type"] == "PPOSeparate" else None)
    at = former.get("kl_stop", "minibatch")
    data["stop"] = None if target is None else value("KLStop", target=target, at=at)


def kl(data: Fields, former: Fields) -> None:
    """``exact_kl`` or ``kl_estimate``."""
    estimate = former.get("kl_estimate", "k3")
    data["kl"] = value("Exact") if former.get("exact_kl") is True else value("Sampled", estimate=estimate)


def lag(data: Fields, former: Fields) -> None:
    """``target_critic``, which is the ``lag`` of the critic's target now."""
    lag, target = former["target_critic"], data.get("critic_target")
    if lag is None:
        return
    if target is None:
        default = {"A2C": 1.0, "VPG": 0.97, "PPOSeparate": 0.97}.get(data["type"], 0.95)
        target = value("TDLambda", lam=data.get("lam", default))
        if data["type"] == "PPOSeparate" and "critic_target" not in data:
            target = value("MonteCarlo")
    data["critic_target"] = target | {"lag": lag} if isinstance(target, dict) else target


def parts(data: Fields, former: Fields) -> None:
    """``ratio`` with ``entropy_coefs``."""
    kind = "PerPart" if former.get("ratio") == "per_part" else "Joint"
    data["parts"] = value(kind, entropy=former.get("entropy_coefs", []))


def optimizer(data: Fields, former: Fields) -> None:
    """``adam_eps``."""
    data["optimizer"] = value("Adam", eps=former["adam_eps"])


def learning_rate(data: Fields, former: Fields) -> None:
    """``learning_rate`` of NPG and TRPO, which was the critic's."""
    data["value_learning_rate" if data["type"] in ("NPG", "TRPO") else "learning_rate"] = former["learning_rate"]


CHANGES: list[tuple[tuple[str, ...], Callable[[Fields, Fields], None]]] = [
    (("standardise", "correction", "standardise_over"), advantages),
    (("scale_rewards", "normalise_rewards", "clip_rewards"), rewards),
    (("target_kl", "kl_stop"), stop),
    (("exact_kl", "kl_estimate"), kl),
    (("target_critic",), lag),
    (("ratio", "entropy_coefs"), parts),
    (("adam_eps",), optimizer),
    (("learning_rate",), learning_rate),
]
"""Former fields, and what puts today's in their place."""


def checkpoint_as_now(
    tensors: dict[str, Tensor], values: dict[str, object]
) -> tuple[dict[str, Tensor], dict[str, object]]:
    """A checkpoint's tensors and JSON by their names of today: what rollouts keep was once the run's own."""
    if "rollouts" in values:
        return tensors, values
    before = {"collect.": "rollouts.", "env.": "rollouts.env."}
    named = dict(tensors)
    for old, new in before.items():
        named |= {new + k.removeprefix(old): named.pop(k) for k in tensors if k.startswith(old)}
    own = {key: values[key] for key in ("steps", "fresh", "environments") if key in values}
    return named, values | {"rollouts": own}
