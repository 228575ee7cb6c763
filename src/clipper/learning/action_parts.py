"""The parts of a hybrid action in a loss: a choice and its arguments, each with its own ratio, entropy and KL."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clipper.data.steps import Steps
from clipper.data.trees import each, leaves, names
from clipper.distributions import Composite
from clipper.errors import ConfigError
from clipper.functional.objectives import kl_estimates
from clipper.learning.schedules import Schedule, at
from clipper.learning.world import ALONE, World


class ActionPart(NamedTuple):
    """One part of an action under μ and π; 0 in decisions that do not use it."""

    log_ratio: Float[Tensor, "*batch"]
    """Log π/μ."""
    entropy: Float[Tensor, "*batch"]
    """Times the probability that the part is used."""
    kl: Float[Tensor, "*batch"]
    """KL(μ‖π): exact where μ is known, else estimated (k3)."""


def parts_of(dist: Any, steps: Steps, old: Any = None) -> dict[str, ActionPart]:
    """The parts by name, ``kick.choice`` or ``0``; ``old`` is μ where it is known. Empty for an undivided action."""
    if not isinstance(dist, Composite):
        return {}
    log_probs = dist.log_probs(steps.action)
    ratios = leaves(each(torch.sub, log_probs, steps.log_probs))
    kls = [kl_estimates(ratio.detach())[2] for ratio in ratios] if old is None else leaves(old.kls(dist))
    return dict(zip(names(log_probs), map(ActionPart, ratios, leaves(dist.entropies()), kls), strict=True))


def per_part(
    objective: Callable[..., Tensor], parts: dict[str, ActionPart], advantage: Tensor, low: float, high: float,
    with_kl: bool,
) -> Float[Tensor, "*batch"]:  # fmt: skip
    """Σ over the parts of their own surrogate (H-PPO: Fan et al. 2019, arXiv:1903.01344, eqs 9 and 10).

    Where all ratios are 1 it equals −Â, as the joint surrogate does: Â is counted once, not once for each part.
    """
    terms = [objective(p.log_ratio, advantage, low, high, *([p.kl] if with_kl else [])) for p in parts.values()]
    return torch.stack(terms).sum(0) + (len(terms) - 1) * advantage


def entropy_bonus(
    parts: dict[str, ActionPart], coefs: Sequence[tuple[str, Schedule]], otherwise: Schedule, progress: float
) -> Float[Tensor, "*batch"]:
    """Σᵢ cᵢ H(πᵢ), where the coefficient of a name holds for the parts below it too, unless they have their own."""
    unknown = [name for name, _ in coefs if not any(is_below(part, name) for part in parts)]
    if unknown or not parts:
        raise ConfigError(
            f"entropy_coefs names {', '.join(unknown) or 'parts'}, but the action's parts are: {', '.join(parts)}"
            if parts
            else "entropy_coefs is for hybrid actions, whose parts have names: this action has one part"
        )
    longest_first = sorted(coefs, key=lambda pair: -len(pair[0]))
    weights = {part: next((coef for name, coef in longest_first if is_below(part, name)), otherwise) for part in parts}
    return torch.stack([at(weights[name], progress) * part.entropy for name, part in parts.items()]).sum(0)


def is_below(part: str, name: str) -> bool:
    """Is ``part`` what ``name`` says, or a part of it?"""
    return part == name or part.startswith(f"{name}.")


@torch.no_grad()
def watch(
    parts: dict[str, ActionPart], mask: Bool[Tensor, "*batch"], low: float, high: float, world: World = ALONE
) -> dict[str, Tensor]:
    """Entropy, KL and clip fraction of each part, in the mean over decisions."""
    metrics: dict[str, Tensor] = {}
    for name, part in parts.items():
        change = part.log_ratio.expm1()
        outside = ((change < -low) | (change > high)).to(change.dtype)
        means = world.mean(torch.stack([part.entropy, part.kl, outside]), mask)
        metrics |= dict(
            zip((f"policy/{kind}/{name}" for kind in ("entropy", "kl", "clip_fraction")), means, strict=True)
        )
    return metrics
