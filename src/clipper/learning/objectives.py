"""PPO's surrogates as values that it holds: (log-ratio, Â, ε_low, ε_high) → losses ``[*batch]``, to be minimised.

ε is the algorithm's ``clip``. Those that ``need_kl`` take KL(π_old ‖ π) of each state as a fifth argument.
"""

from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from clipper.functional.objectives import (
    clip,
    conservative,
    dual_clip,
    rollback,
    spo,
    trust_region,
    trust_region_rollback,
)


@dataclass(frozen=True, slots=True)
class Clip:
    """min(r Â, clip(r, 1−ε, 1+ε) Â): the paper's."""

    needs_kl = False
    __call__ = staticmethod(clip)


@dataclass(frozen=True, slots=True)
class DualClip:
    """``Clip``, and never worse than c Â where Â < 0: bounds the pull of bad actions that became likely."""

    c: float = 3.0
    """More than 1."""
    needs_kl = False

    def __call__(
        self, log_ratio: Float[Tensor, "*batch"], advantage: Float[Tensor, "*batch"], low: float, high: float
    ) -> Float[Tensor, "*batch"]:
        return dual_clip(log_ratio, advantage, low, high, self.c)


@dataclass(frozen=True, slots=True)
class Unclipped:
    """R Â, the conservative policy iteration surrogate; ε only counts what lies outside."""

    needs_kl = False

    def __call__(
        self, log_ratio: Float[Tensor, "*batch"], advantage: Float[Tensor, "*batch"], low: float, high: float
    ) -> Float[Tensor, "*batch"]:
        return conservative(log_ratio, advantage)


@dataclass(frozen=True, slots=True)
class Rollback:
    """PPO-RB: where ``Clip`` lets go, a slope of α leads back."""

    alpha: float = 0.3
    """α."""
    needs_kl = False

    def __call__(
        self, log_ratio: Float[Tensor, "*batch"], advantage: Float[Tensor, "*batch"], low: float, high: float
    ) -> Float[Tensor, "*batch"]:
        return rollback(log_ratio, advantage, low, high, self.alpha)


@dataclass(frozen=True, slots=True)
class SPO:
    """R Â − |Â| (r − 1)² / 2ε: simple policy optimisation, smooth, with its best ratio at ε."""

    needs_kl = False
    __call__ = staticmethod(spo)


@dataclass(frozen=True, slots=True)
class TrustRegion:
    """TR-PPO: lets go of a state whose KL has reached δ, whatever its ratio; ε only counts."""

    delta: float = 0.03
    """δ, in nats."""
    needs_kl = True

    def __call__(
        self, log_ratio: Float[Tensor, "*batch"], advantage: Float[Tensor, "*batch"], low: float, high: float,
        kl: Float[Tensor, "*batch"],
    ) -> Float[Tensor, "*batch"]:  # fmt: skip
        return trust_region(log_ratio, advantage, kl, self.delta)


@dataclass(frozen=True, slots=True)
class TrustRegionRollback:
    """Truly PPO (TR-PPO-RB): pulls a state whose KL has reached δ back by α KL; ε only counts."""

    delta: float = 0.03
    """δ, in nats."""
    alpha: float = 5.0
    """α, weight of that KL."""
    needs_kl = True

    def __call__(
        self, log_ratio: Float[Tensor, "*batch"], advantage: Float[Tensor, "*batch"], low: float, high: float,
        kl: Float[Tensor, "*batch"],
    ) -> Float[Tensor, "*batch"]:  # fmt: skip
        return trust_region_rollback(log_ratio, advantage, kl, self.delta, self.alpha)


Objective: TypeAlias = Clip | DualClip | Unclipped | Rollback | SPO | TrustRegion | TrustRegionRollback
