"""From scores of whole responses to rewards of tokens (Ziegler et al. 2019, arXiv:1909.08593, section 2.1)."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clipper.errors import ConfigError
from clipper.language.context import decisions
from clipper.settings.language import AdaptiveKL, Shaping

__all__ = ["AdaptiveKL", "Rewarded", "Shaping", "moments_of_scores", "rewarded"]


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
