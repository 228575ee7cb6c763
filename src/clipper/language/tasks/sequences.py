"""Responses so few that all can be enumerated, with random scores: the optimum of E[r] − β KL is known exactly."""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from clipper.language.context import decisions, make_context, sampled_tokens
from clipper.language.policy import TokenPolicy


class Sequences:
    """Tokens 0 … ``symbols`` − 1, and ``symbols``, which ends a response of at most ``limit`` tokens.

    Prompt i is the token that ends responses, and the token i. Each response to each prompt has a score ~ N(0, 1).
    The first token is there for models whose attention knows relative positions alone: it has one output for i, for
    i i and for i i i, an average of equal values, and the optimum would be out of their reach.
    """

    def __init__(self, symbols: int = 3, limit: int = 3, prompts: int = 2, seed: int = 0) -> None:
        self.symbols, self.limit, self.eos = symbols, limit, symbols
        self.prompts = [[self.eos, i] for i in range(prompts)]
        words = [list(x) for n in range(limit + 1) for x in itertools.product(range(symbols), repeat=n)]
        self.responses = words
        """All of them, without the token that ends those of fewer than ``limit`` tokens."""
        self.table = torch.randn(prompts, len(words), generator=Generator().manual_seed(seed))
        self.place = {tuple(word): i for i, word in enumerate(words)}

    @property
    def vocabulary(self) -> int:
        """V."""
        return self.symbols + 1

    def reward(self, prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]) -> Float[Tensor, " N"]:
        """The table's scores."""
        place = [self.place[tuple(response)] for response in responses]
        return self.table[[prompt[-1] for prompt in prompts], place]

    def log_probs(self, policy: TokenPolicy) -> Float[Tensor, "prompts responses"]:
        """Log π(y|x) of every response to every prompt."""
        pairs = [(prompt, response) for prompt in self.prompts for response in self.responses]
        length = torch.tensor([min(len(response) + 1, self.limit) for _, response in pairs])
        columns = [[*prompt, *response, *[self.eos] * (self.limit - len(response))] for prompt, response in pairs]
        prompt_length = torch.full_like(length, len(self.prompts[0]))
        context = make_context(torch.tensor(columns).T.contiguous(), prompt_length, length, length, self.limit)
        action = sampled_tokens(context)
        log_prob = policy.act(action, context)[0].log_prob(action)
        return log_prob.masked_fill(~decisions(length, self.limit), 0).sum(0).view(len(self.prompts), -1)

    def objective(
        self, policy: TokenPolicy, reference: Float[Tensor, "prompts responses"], beta: float
    ) -> Float[Tensor, ""]:
        """J = E[r] − β KL(π ‖ π_ref), the mean over prompts; ``reference`` are log-probabilities."""
        log_p = self.log_probs(policy)
        return (log_p.exp() * (self.table - beta * (log_p - reference))).sum(1).mean()

    def optimum(self, reference: Float[Tensor, "prompts responses"], beta: float) -> Float[Tensor, ""]:
        """J* = β log Σ π_ref exp(r / β), which π* ∝ π_ref exp(r / β) reaches."""
        return beta * (reference + self.table / beta).logsumexp(1).mean()
