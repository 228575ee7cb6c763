"""Responses drawn from a language model, token by token, with a cache."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clipper.distributions.categorical import possible
from clipper.errors import ConfigError
from clipper.language.models import Decoder, longest, output_layer, vocabulary_of

TRUNCATING = ("top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
"""Settings of other samplers that draw from another distribution than the policy."""


class Sample(NamedTuple):
    """Prompts and their responses, a column each, padded on the right."""

    tokens: Int[Tensor, "L N"]
    prompt_length: Int[Tensor, " N"]
    length: Int[Tensor, " N"]
    """Tokens sampled, the one that ends the response included."""
    ended: Bool[Tensor, " N"]
    """The response ended itself; otherwise the limit cut it."""

    def responses(self) -> list[list[int]]:
        """The tokens of each response, without the one that ended it."""
        ends = (self.prompt_length + self.length - self.ended.long()).tolist()
        starts = self.prompt_length.tolist()
        return [x[a:b] for x, a, b in zip(self.tokens.T.tolist(), starts, ends, strict=True)]


@torch.no_grad()
def generate(
    lm: nn.Module,
    prompts: Sequence[Sequence[int]],
    uniforms: Float[Tensor, "R N"] | None,
    limit: int,
    eos: Collection[int],
    temperature: float = 1.0,
) -> Sample:
    """A response to each prompt, of at most ``limit`` tokens, from softmax(logits / temperature).

    Token t of response n is the first whose cumulative probability exceeds ``uniforms[t, n]``, so what is drawn
    depends on nothing else: not on neighbours, nor on how many are drawn at once. Without ``uniforms`` the likeliest.
    The model reads a prompt that comes several times once.
    """
    each: dict[tuple[int, ...], int] = {}
    places = [each.setdefault(tuple(x), len(each)) for x in prompts]  # equal prompts are read once
    check_prompts(lm, list(each), limit)
    device, widest = output_layer(lm).weight.device, max(map(len, each))
    lengths = torch.tensor([len(x) for x in each], device=device)
    padded = torch.tensor([[0] * (widest - len(x)) + list(x) for x in each], device=device)
    mask = (torch.arange(widest + limit, device=device) >= (widest - lengths)[:, None]).long()
    decode, ends = Decoder(lm, mask), torch.tensor(sorted(eos), device=device)
    index = torch.tensor(places, device=device)
    read, lengths, padded = padded, lengths[index], padded[index]
    drawn = padded.new_zeros(len(prompts), limit)
    length, ended = torch.full_like(lengths, limit), torch.zeros_like(lengths, dtype=torch.bool)
    for t in range(limit):
        logits = decode(read) / temperature
        if t == 0 and len(each) < len(prompts):
            logits = logits[index]
            decode.select(index)
        token = logits.argmax(-1) if uniforms is None else inverse_transform(logits.softmax(-1), uniforms[t, :, None])
        drawn[:, t] = token
        now = torch.isin(token, ends) & ~ended
        length, ended = length.where(~now, t + 1), ended | now
        if bool(ended.all()):
            break
        read = token[:, None]
    place = torch.arange(widest + limit, device=device)[None] + (widest - lengths)[:, None]
    tokens = torch.cat([padded, drawn], 1).gather(1, place.clamp(max=widest + limit - 1))
    return Sample(tokens[:, : int((lengths + length).amax())].T.contiguous(), lengths, length, ended)


def inverse_transform(p: Float[Tensor, "N V"], u: Float[Tensor, "N 1"]) -> Int[Tensor, " N"]:
    """The first token whose cumulative probability exceeds u, scaled by the total, as ``Categorical.sample`` has it."""
    cumulative = p.cumsum(-1)
    return possible((cumulative <= u * cumulative[:, -1:]).sum(-1), p)


def check_prompts(lm: nn.Module, prompts: Sequence[Sequence[int]], limit: int) -> None:
    """Raise ``ConfigError`` for prompts without tokens, of unknown ones, or too long for the model."""
    if not prompts or not all(len(x) for x in prompts):
        raise ConfigError("a prompt has no token: give each at least one, as a token that begins every text")
    known = vocabulary_of(lm)
    if any(not 0 <= token < known for x in prompts for token in x):
        raise ConfigError(f"a prompt has tokens that the model does not know: they must be from 0 to {known - 1}")
    bound, needed = longest(lm), max(map(len, prompts)) + limit
    if bound is not None and needed > bound:
        raise ConfigError(
            f"the longest prompt and {limit} further tokens are {needed}, and the model reads {bound}: shorten the "
            "prompts, or lower max_tokens"
        )


def check_sampling(settings: Collection[str]) -> None:
    """Raise ``ConfigError`` for settings that truncate the distribution: responses would not be the policy's."""
    for name in TRUNCATING:
        if name in settings:
            raise ConfigError(
                f"{name} draws from another distribution than the policy whose log-probabilities the loss reads: leave "
                "it out, and lower temperature for likelier responses, which divides the logits of both"
            )
