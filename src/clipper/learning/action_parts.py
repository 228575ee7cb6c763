"""An action under π and the μ that took it: ratio, entropy and KL, of the whole and of the parts of a hybrid one.

How the parts enter a loss is a value that an algorithm holds: together (``Joint``), or each for itself (``PerPart``).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from clipper.data.steps import Targets
from clipper.data.trees import Tree, each, leaves, names, total
from clipper.data.values import value
from clipper.distributions import Composite
from clipper.errors import ConfigError
from clipper.functional.objectives import kl_estimates
from clipper.learning.kl import ESTIMATES, KL, Sampled
from clipper.learning.schedules import Schedule, at


class ActionPart(NamedTuple):
    """An action, or one part of it, under μ and π; 0 in decisions that do not use the part."""

    log_ratio: Float[Tensor, "*batch"]
    """log π/μ."""
    entropy: Float[Tensor, "*batch"]
    """Times the probability that the part is used."""
    kl: Float[Tensor, "*batch"]
    """KL(μ‖π): exact where μ is known, otherwise estimated."""


class Action(NamedTuple):
    """Actions that were taken, under μ and π."""

    whole: ActionPart
    parts: dict[str, ActionPart]
    """By name, ``kick.choice`` or ``0``; empty where an action has one part."""
    weight: Tree = ()
    """What the surrogate is multiplied by; () for 1."""


def compare(dist: Any, batch: Targets, kl: KL) -> Action:
    """π = ``dist`` beside the μ that took the batch's actions; parts' KLs are k3 where μ is not known."""
    steps, old = batch.steps, type(dist)(*batch.old) if batch.old else None
    if isinstance(dist, Composite):  # what is the whole action's is the sum of its parts'
        log_probs, entropies = dist.log_probs(steps.action), dist.entropies()
        log_ratio, entropy = total(log_probs) - steps.log_prob, total(entropies)
    else:
        log_probs, entropies = (), ()
        log_ratio, entropy = dist.log_prob(steps.action) - steps.log_prob, dist.entropy()
    estimate = ESTIMATES.index(kl.estimate) if isinstance(kl, Sampled) else 2
    divergence = kl_estimates(log_ratio.detach())[estimate] if old is None else old.kl(dist)
    several = steps.log_probs and log_probs
    kls = old.kls(dist) if several and old is not None else ()
    parts = parts_of(log_probs, steps.log_probs, entropies, kls) if several else {}
    return Action(ActionPart(log_ratio, entropy, divergence), parts, batch.weight)


def parts_of(log_probs: Tree, before: Tree, entropies: Tree, kls: Tree = ()) -> dict[str, ActionPart]:
    """The parts by name, of which π says ``log_probs`` and μ said those ``before``; ``kls`` where μ is known."""
    ratios = leaves(each(torch.sub, log_probs, before))
    divergences = leaves(kls) or [kl_estimates(ratio.detach())[2] for ratio in ratios]
    return dict(zip(names(log_probs), map(ActionPart, ratios, leaves(entropies), divergences), strict=True))


@value
class Joint:
    """One ratio π/μ for the whole action."""

    entropy: tuple[tuple[str, Schedule], ...] = ()
    """Entropy coefficients of parts by name, as in (("choice", 0.01),) or {"choice": 0.01}; a name's coefficient holds
    for the parts below it, too; ``entropy_coef`` weighs the others."""

    def surrogate(
        self, objective: Callable[..., Tensor], action: Action, advantage: Float[Tensor, "*batch"],
        low: float, high: float,
    ) -> Float[Tensor, "*batch"]:  # fmt: skip
        """The objective of the whole action's ratio, and of its KL where it needs that, times the action's weight."""
        kl = [action.whole.kl] if getattr(objective, "needs_kl", False) else []
        surrogate = objective(action.whole.log_ratio, advantage, low, high, *kl)
        return surrogate * action.weight if isinstance(action.weight, Tensor) else surrogate

    def bonus(self, entropy_coef: Schedule, action: Action, progress: float) -> Float[Tensor, "*batch"]:
        """C H(π), or Σᵢ cᵢ H(πᵢ) where parts have coefficients of their own."""
        if self.entropy:
            return entropy_bonus(action.parts, self.entropy, entropy_coef, progress)
        return at(entropy_coef, progress) * action.whole.entropy


@value
class PerPart(Joint):
    """One ratio, and so one surrogate, for each part of a hybrid action (H-PPO: Fan et al. 2019, arXiv:1903.01344)."""

    def surrogate(
        self, objective: Callable[..., Tensor], action: Action, advantage: Float[Tensor, "*batch"],
        low: float, high: float,
    ) -> Float[Tensor, "*batch"]:  # fmt: skip
        """Σ over the parts of their own surrogate (eqs 9 and 10).

        Where all ratios are 1 it equals −Â, as the joint surrogate does: Â is counted once, not once for each part.
        """
        parts = action.parts.values() or [action.whole]
        terms = [Joint.surrogate(self, objective, Action(part, {}), advantage, low, high) for part in parts]
        surrogate = torch.stack(terms).sum(0) + (len(terms) - 1) * advantage
        return surrogate * action.weight if isinstance(action.weight, Tensor) else surrogate


Parts: TypeAlias = Joint | PerPart


def entropy_bonus(
    parts: dict[str, ActionPart], coefs: Sequence[tuple[str, Schedule]], otherwise: Schedule, progress: float
) -> Float[Tensor, "*batch"]:
    """Σᵢ cᵢ H(πᵢ)."""
    weights = entropy_coefs(list(parts), coefs, otherwise)
    return torch.stack([at(weights[name], progress) * part.entropy for name, part in parts.items()]).sum(0)


def entropy_coefs(
    parts: Sequence[str], coefs: Sequence[tuple[str, Schedule]], otherwise: Schedule
) -> dict[str, Schedule]:
    """The coefficient of each part by name; a name's holds for the parts below it too, unless they have their own."""
    unknown = [name for name, _ in coefs if not any(is_below(part, name) for part in parts)]
    if unknown or not parts:
        raise ConfigError(
            f"parts.entropy names {', '.join(unknown) or 'parts'}, but the action's parts are: {', '.join(parts)}"
            if parts
            else "parts.entropy is for hybrid actions, whose parts have names: this action has one part"
        )
    longest_first = sorted(coefs, key=lambda pair: -len(pair[0]))
    return {part: next((coef for name, coef in longest_first if is_below(part, name)), otherwise) for part in parts}


def is_below(part: str, name: str) -> bool:
    """Is ``part`` what ``name`` says, or a part of it?"""
    return part == name or part.startswith(f"{name}.")
