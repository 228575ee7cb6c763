"""PPO's surrogates as values that it holds: (log-ratio, Â, ε_low, ε_high) → losses ``[*batch]``, to be minimised.

ε is the algorithm's ``clip``. Those that ``need_kl`` take KL(π_old ‖ π) of each state as a fifth argument.
"""

from typing import Annotated, Any, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from clipper.data.values import NonNegative, Positive, Range, value
from clipper.functional.objectives import (
    cispo,
    clip,
    conservative,
    dual_clip,
    rollback,
    spo,
    trust_region,
    trust_region_rollback,
)


@value
class Clip:
    """−min(r Â, clip(r, 1−ε, 1+ε) Â): the paper's (eq 7)."""

    needs_kl = False
    __call__ = staticmethod(clip)


@value
class DualClip:
    """``Clip``, and never worse than c Â where Â < 0: bounds the pull of bad actions that became likely."""

    c: Annotated[float, Range(1, open_below=True)] = 3.0
    """More than 1."""
    needs_kl = False

    def __call__(self, *batch: Any) -> Float[Tensor, "*batch"]:
        return dual_clip(*batch, c=self.c)


@value
class Unclipped:
    """−r Â, the unclipped surrogate (CPI, eq 6); ε is used only to report the clip fraction."""

    needs_kl = False

    def __call__(self, log_ratio: Tensor, advantage: Tensor, low: float, high: float) -> Tensor:
        return conservative(log_ratio, advantage)


@value
class Rollback:
    """PPO-RB: where ``Clip`` lets go, a slope of α leads back."""

    alpha: NonNegative = 0.3
    """α."""
    needs_kl = False

    def __call__(self, *batch: Any) -> Float[Tensor, "*batch"]:
        return rollback(*batch, alpha=self.alpha)


@value
class SPO:
    """−(r Â − |Â| (r − 1)² / 2ε): simple policy optimisation, smooth, with its best ratio at ε."""

    needs_kl = False
    __call__ = staticmethod(spo)


@value
class TrustRegion:
    """TR-PPO: lets go of a state whose KL has reached δ, whatever its ratio; ε is used only to report."""

    delta: Positive = 0.03
    """δ, in nats."""
    needs_kl = True

    def __call__(self, log_ratio: Tensor, advantage: Tensor, low: float, high: float, kl: Tensor) -> Tensor:
        return trust_region(log_ratio, advantage, kl, self.delta)


@value
class TrustRegionRollback:
    """Truly PPO (TR-PPO-RB): pulls a state whose KL has reached δ back by α KL; ε is used only to report."""

    delta: Positive = 0.03
    """δ, in nats."""
    alpha: NonNegative = 5.0
    """α, weight of that KL."""
    needs_kl = True

    def __call__(self, log_ratio: Tensor, advantage: Tensor, low: float, high: float, kl: Tensor) -> Tensor:
        return trust_region_rollback(log_ratio, advantage, kl, self.delta, self.alpha)


@value
class CISPO:
    """−sg(min(r, 1+ε_high)) Â log π: the weight is clipped, so that no decision loses its gradient."""

    needs_kl = False
    __call__ = staticmethod(cispo)


@runtime_checkable
class OwnObjective(Protocol):
    """A surrogate of your own: a function will do. With ``needs_kl = True`` it takes each state's KL, too."""

    def __call__(
        self, log_ratio: Float[Tensor, "*batch"], advantage: Float[Tensor, "*batch"], low: float, high: float
    ) -> Float[Tensor, "*batch"]:
        """Losses, to be minimised."""
        ...


RatioObjective: TypeAlias = Clip | DualClip | Unclipped | Rollback | SPO | CISPO | OwnObjective
"""Those that ask for no exact KL."""
Objective: TypeAlias = (
    Clip | DualClip | Unclipped | Rollback | SPO | CISPO | TrustRegion | TrustRegionRollback | OwnObjective
)
