"""From scores of whole responses to rewards of tokens (Ziegler et al. 2019, arXiv:1909.08593, section 2.1)."""

from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clipper.data.values import Count, NonNegative, Positive, Range, value
from clipper.errors import ConfigError
from clipper.functional.sequences import adapt_kl, overlong_penalty
from clipper.language.context import decisions


@value
class AdaptiveKL:
    """β moves so that a response's KL to the reference comes to ``target`` (arXiv:1909.08593, section 2.2)."""

    start: Positive = 0.2
    """β at first."""
    target: Positive = 6.0
    """KL(π ‖ π_ref) of a response, in nats."""
    horizon: Count = 10_000
    """Responses in which β can change by a factor of e^0.2, at most."""

    def after(self, beta: float, kl: float, responses: int) -> float:
        """β after so many responses of this KL."""
        known = torch.tensor([beta, kl], dtype=torch.float64)
        return float(adapt_kl(known[0], known[1], self.target, self.horizon, responses))


@value(kw_only=True)
class Shaping:
    """rₜ = −β (log π(aₜ|sₜ) − log π_ref(aₜ|sₜ)), and the score in the row of the last token."""

    beta: NonNegative | AdaptiveKL = 0.05
    """β, the price of a nat of KL(π ‖ π_ref); adaptive_kl(start,target,horizon) moves it; 0: no price."""
    normalise: Annotated[int, Range(0, 1_000_000)] = 0
    """Responses of the reference, at the start, whose scores are brought to mean 0 and deviation 1, and with them all
    that follow; 0 leaves scores as they are."""
    cut: Literal["bootstrap", "end", "mask"] = "bootstrap"
    """A response that the limit of tokens cut: V behind its last token counts (bootstrap), the limit is the task's own
    and ends it (end), or nothing is learned from it (mask)."""
    cut_score: float | None = None
    """Score of such a response in place of its own, as −1 in arXiv:2009.01325."""
    overlong: Annotated[int, Range(0, 1_000_000)] = 0
    """C, the last tokens before the limit in which a penalty grows from 0 to 1 (arXiv:2503.14476, eq 13); 0: none."""

    @property
    def first_beta(self) -> float:
        """β before the first response."""
        return self.beta.start if isinstance(self.beta, AdaptiveKL) else self.beta

    def scores(
        self, score: Float[Tensor, " N"], length: Int[Tensor, " N"], ended: Bool[Tensor, " N"], limit: int,
        mean: float, std: float,
    ) -> Float[Tensor, " N"]:  # fmt: skip
        """Scores as they are learned from: in standard units, replaced where cut, less the penalty of length."""
        found = (score - mean) / std
        if self.cut_score is not None:
            found = found.masked_fill(~ended, self.cut_score)
        return found + overlong_penalty(length, limit, self.overlong) if self.overlong else found


class Rewarded(NamedTuple):
    """The fields of Steps that depend on how a response ended."""

    reward: Float[Tensor, "T N"]
    terminated: Bool[Tensor, "T N"]
    done: Bool[Tensor, "T N"]
    mask: Bool[Tensor, "T N"]


def rewarded(
    score: Float[Tensor, " N"], log_ratio: Float[Tensor, "T N"], beta: float, length: Int[Tensor, " N"],
    ended: Bool[Tensor, " N"], cut: Literal["bootstrap", "end", "mask"],
) -> Rewarded:  # fmt: skip
    """Rewards of tokens, and where responses end; ``log_ratio`` is log π/π_ref."""
    mask = decisions(length, len(log_ratio))
    last = torch.arange(len(log_ratio), device=length.device)[:, None] == length - 1
    reward = (-beta * log_ratio).masked_fill(~mask, 0) + last * score
    ends = torch.ones_like(ended) if cut == "end" else ended
    return Rewarded(reward, last & ends, last, mask & ended if cut == "mask" else mask)


def moments_of_scores(score: Float[Tensor, " N"]) -> tuple[float, float]:
    """Mean and deviation of the reference's scores; raises ``ConfigError`` where they do not differ."""
    std, mean = torch.std_mean(score.double(), correction=0)
    if not std > 1e-8:
        raise ConfigError(
            f"all {len(score)} responses of the reference score {float(mean):g}, which has no unit: leave out normalise"
        )
    return float(mean), float(std)
