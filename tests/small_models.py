"""Language models made at random: a Llama, a GPT-2 (absolute positions), a Llama whose embeddings are tied."""

import torch
from torch import nn
from transformers import GPT2Config, LlamaConfig, PreTrainedConfig

from clipper.language.context import Context, make_context
from clipper.language.generate import Sample, generate
from clipper.language.models import load_model
from clipper.language.policy import TokenPolicy

NAMES = ["llama", "gpt2", "tied"]
VOCABULARY, EOS = 11, 10


def config_of(name: str, vocabulary: int = VOCABULARY, spread: float = 0.3) -> PreTrainedConfig:
    none = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, "initializer_range": spread}
    if name == "gpt2":
        return GPT2Config(vocab_size=vocabulary, n_embd=16, n_layer=2, n_head=2, n_positions=32, **none)
    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=32, tie_word_embeddings=name == "tied", **none,
    )  # fmt: skip


def policy_of(name: str, **options: object) -> TokenPolicy:
    """Weights differ from seed to seed, and so does V from state to state."""
    policy = TokenPolicy(load_model(config_of(name), 5).lm, **options)  # pyright: ignore[reportArgumentType]
    if policy.value_layer is not None:
        nn.init.normal_(policy.value_layer.weight, generator=torch.Generator().manual_seed(1))
    return policy


PROMPTS = [[1, 2, 3, 4, 5], [6], [7, EOS, 8], [9, 1], [2, 2, 2, 2], [3, 5], [4], [8, 8, 1]]
LIMIT = 6


def sample_of(policy: TokenPolicy, prompts: list[list[int]] = PROMPTS, seed: int = 0) -> Sample:
    uniforms = torch.rand(LIMIT, len(prompts), generator=torch.Generator().manual_seed(seed))
    return generate(policy.lm, prompts, uniforms, LIMIT, [EOS], policy.temperature)


def context_of(sample: Sample) -> Context:
    group = torch.arange(len(sample.length))
    return make_context(sample.tokens, sample.prompt_length, sample.length, group, int(sample.length.max()))
