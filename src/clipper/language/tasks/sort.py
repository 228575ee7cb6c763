"""Sort digits: a score of 1 for what is exactly right, and 0 otherwise."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Generator, nn

from clipper.language.models import hidden_states, load_model, output_layer, tiny_llama, trunk_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Sort:
    """The prompt is ``digits`` digits and the token ``=``; the response is the same digits in order, and the end."""

    def __init__(self, digits: int = 6) -> None:
        self.digits, self.equals, self.eos, self.vocabulary = digits, 10, 11, 12
        self.max_tokens = digits + 1

    def prompts(self, count: int, generator: Generator) -> list[list[int]]:
        """Random digits, uniformly."""
        found = torch.randint(10, (count, self.digits), generator=generator).tolist()
        return [[*digits, self.equals] for digits in found]

    def answer(self, prompt: Sequence[int]) -> list[int]:
        """The right response."""
        return sorted(prompt[: self.digits])

    def reward(self, prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]) -> list[float]:
        """1 where the response is exactly right."""
        pairs = zip(prompts, responses, strict=True)
        return [float(list(response) == self.answer(prompt)) for prompt, response in pairs]

    def model(self, seed: int = 0, steps: int = 70) -> "PreTrainedModel":
        """A small Llama after so many steps on right responses: sampled, some two thirds of its own are right."""
        lm = load_model(tiny_llama(self.vocabulary), seed).lm
        self.fit(lm, steps, seed=seed)
        return lm

    def fit(self, lm: nn.Module, steps: int, batch: int = 128, learning_rate: float = 3e-3, seed: int = 0) -> None:
        """So many steps down the cross-entropy of right responses, from where reinforcement can begin."""
        generator, optimizer = Generator().manual_seed(seed), torch.optim.Adam(lm.parameters(), learning_rate)
        for _ in range(steps):
            prompts = self.prompts(batch, generator)
            texts = torch.tensor([[*prompt, *self.answer(prompt), self.eos] for prompt in prompts])
            hidden = hidden_states(trunk_of(lm), texts[:, :-1])[:, self.digits :]
            logits = output_layer(lm)(hidden)
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), texts[:, self.digits + 1 :].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
