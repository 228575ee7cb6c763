"""Settings of a run on prompts: how responses are drawn, and how their scores become rewards."""

from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clipper.data.values import Count, Natural, NonNegative, Positive, Range, value
from clipper.functional.sequences import adapt_kl, overlong_penalty


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


@value(kw_only=True)
class LanguageConfig:
    """How a language model answers and is rewarded, beside what every run has (``Config``, whose ``num_envs`` are the
    responses of an iteration).
    """

    model: str = ""
    """The model's folder, or the name of a task; empty where a model itself was handed over."""
    prompts: str = ""
    """The file of prompts; empty where they were handed over."""
    reward: str = ""
    """The reward's name, MODULE:FUNCTION."""
    critic: Literal["own", "shared"] | None = "own"
    """Where V is: own, a trunk that begins as a copy of the model's; shared, a head on the model's own; none."""
    shaping: Shaping = Shaping()
    """How scores become rewards."""
    responses_per_prompt: Count = 1
    """Responses to each prompt."""
    max_tokens: Count = 64
    """Tokens of a response, at most; the algorithm's horizon."""
    temperature: Positive = 1.0
    """What logits are divided by, of sampler, policy and reference alike."""
    eos: tuple[Natural, ...] = ()
    """Tokens that end a response."""
    micro_batch: Count | None = None
    """Responses in the model at once, at most; it changes no gradient."""

    @property
    def title(self) -> str:
        """The environment's name in the run's settings."""
        return f"<{self.model or 'language model'}>"
