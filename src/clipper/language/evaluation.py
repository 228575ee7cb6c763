"""Scores of fresh responses, apart from training."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from clipper.language.context import Context, decisions, make_context, sampled_tokens
from clipper.language.policy import TokenPolicy
from clipper.language.prompts import Prompt, anew
from clipper.language.rollouts import LanguageRollouts, Response


@dataclass(frozen=True)
class Scored:
    """Responses, what they answer, and how good they are; numbers are ``[N]``."""

    prompts: list[Prompt]
    responses: list[Response]
    score: Tensor
    kl: Tensor
    """Log π(y|x) − log π_ref(y|x), whose mean over sampled responses is KL(π ‖ π_ref), in nats."""
    length: Tensor
    """Tokens, the one that ends the response included."""
    cut: Tensor
    """Did the limit of tokens end it?"""

    def means(self) -> dict[str, float]:
        """The mean of each number, and the score's standard error."""
        count = len(self.score)
        error = float(self.score.std()) / count**0.5 if count > 1 else float("nan")
        numbers = {"score": self.score, "kl": self.kl, "length": self.length, "cut": self.cut}
        return {name: float(x.double().mean()) for name, x in numbers.items()} | {"score_error": error}


@torch.no_grad()
def evaluate_responses(
    rollouts: LanguageRollouts,
    policy: TokenPolicy,
    prompts: Sequence[Prompt] | None = None,
    *,
    responses: int = 256,
    seed: int = 0,
    greedy: bool = False,
) -> Scored:
    """Responses to fresh prompts, or to these, and their scores by the rollouts' reward; training's draws stay as they
    are. ``greedy`` takes the likeliest token each time.
    """
    generator = Generator().manual_seed(seed)
    chosen = anew(rollouts.prompts).take(responses, generator) if prompts is None else list(prompts)
    batch = rollouts.answer(policy, chosen, rollouts.max_tokens, None if greedy else generator)
    sample = batch.sample
    rows = int(sample.length.amax())
    context = make_context(sample.tokens, sample.prompt_length, sample.length, torch.zeros_like(sample.length), rows)
    ratio = log_prob_of(policy, context) - log_prob_of(rollouts.reference, context)
    kl = ratio.masked_fill(~decisions(sample.length, rows), 0).sum(0)
    return Scored(batch.prompts, batch.responses, rollouts.score(batch), kl, sample.length, ~sample.ended)


def log_prob_of(policy: TokenPolicy, context: Context) -> Tensor:
    """Log π of the sampled tokens, ``[T, N]``."""
    action = sampled_tokens(context)
    return policy.act(action, context)[0].log_prob(action)
