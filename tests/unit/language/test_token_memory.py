"""No tensor has a number for every token of the batch and every word: not in sampling, scoring or learning."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig

import clipper

VOCABULARY, RESPONSES, TOKENS = 50_000, 32, 6


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that any operation gives, those of backpropagation among them."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, tuple | list) else [out]:
            if isinstance(x, torch.Tensor):
                self.numbers = max(self.numbers, x.untyped_storage().nbytes() // x.element_size())
        return out


@pytest.mark.parametrize("algorithm", [clipper.PPO(gamma=1.0, epochs=1, minibatches=1), clipper.PairwisePPO(epochs=1)])
def test_a_large_vocabulary(algorithm: Any) -> None:
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    critic = "shared" if isinstance(algorithm, clipper.PPO) else None
    with Largest() as seen:
        run = clipper.train_language(
            config, [[1], [2]], lambda prompts, responses: [float(len(set(x))) for x in responses], algorithm,
            critic=critic, responses=RESPONSES, responses_per_prompt=1 if critic else 2, max_tokens=TOKENS, eos=(),
            total_steps=1,
        )  # fmt: skip
    states = int(run.steps)
    assert states == RESPONSES * TOKENS
    weights = run.learner.parameters.numel()
    assert weights < seen.numbers <= 1 << 22 < states * VOCABULARY
