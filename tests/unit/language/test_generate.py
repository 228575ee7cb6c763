"""What is drawn depends on the model and the uniforms alone, and from the distribution that the loss reads."""

import pytest
import torch
from small_models import EOS, LIMIT, NAMES, PROMPTS, context_of, policy_of, sample_of

from clipper.errors import ConfigError
from clipper.language.context import sampled_tokens
from clipper.language.generate import Sample, check_sampling, generate
from clipper.language.models import Decoder


def columns(sample: Sample) -> list[list[int]]:
    """Each prompt with its response, as sampled."""
    ends = (sample.prompt_length + sample.length).tolist()
    return [column[:end] for column, end in zip(sample.tokens.T.tolist(), ends, strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_neighbours_and_the_number_at_once_change_nothing(name: str) -> None:
    policy = policy_of(name)
    uniforms = torch.rand(LIMIT, len(PROMPTS), generator=torch.Generator().manual_seed(0))
    whole = columns(sample_of(policy))
    for size in (1, 3, 4):
        parts = [
            columns(generate(policy.lm, PROMPTS[i : i + size], uniforms[:, i : i + size], LIMIT, [EOS]))
            for i in range(0, len(PROMPTS), size)
        ]
        assert [x for part in parts for x in part] == whole


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_that_comes_several_times_is_answered_as_alone(name: str) -> None:
    """It is read once, and each of its responses has uniforms of its own."""
    policy, prompts = policy_of(name), [PROMPTS[i] for i in (0, 1, 0, 2, 1, 1, 3, 0)]
    uniforms = torch.rand(LIMIT, len(prompts), generator=torch.Generator().manual_seed(3))
    together = generate(policy.lm, prompts, uniforms, LIMIT, [EOS])
    alone = [generate(policy.lm, [x], uniforms[:, i : i + 1], LIMIT, [EOS]) for i, x in enumerate(prompts)]
    assert columns(together) == [x for sample in alone for x in columns(sample)]
    assert together.length.tolist() == [int(sample.length) for sample in alone]
    assert len({tuple(columns(together)[i]) for i in (0, 2, 7)}) == 3


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("name", NAMES)
def test_the_sampler_has_the_log_probabilities_that_are_recomputed(name: str, temperature: float) -> None:
    """Log π of the tokens drawn, by the cache at each step, is what the full pass gives the update."""
    policy = policy_of(name, temperature=temperature)
    prompts = [[1, 2, 3], [4, 5, 6], [1, 2, 3], [7, 8, 9]]
    sample = sample_of(policy, prompts)
    context = context_of(sample)
    action = sampled_tokens(context)
    with torch.no_grad():
        recomputed = policy.act(action, context)[0].log_prob(action)
        decode = Decoder(policy.lm, torch.ones(len(prompts), len(sample.tokens), dtype=torch.long))
        read = sample.tokens[:3].T
        for t, token in enumerate(action):
            log_prob = (decode(read) / temperature).log_softmax(-1).gather(1, token[:, None])[:, 0]
            there = t < sample.length
            torch.testing.assert_close(log_prob[there], recomputed[t][there], rtol=0, atol=1e-5)
            read = token[:, None]


@pytest.mark.parametrize("name", NAMES)
def test_the_cache_behind_left_padding_decodes_as_the_full_pass_does(name: str) -> None:
    lm = policy_of(name).lm
    texts = [[1, 2, 3, 4, 5, 6], [7, 8, 9], [4, 4, 1, 2]]
    widest, further = max(map(len, texts)), [[3, 1], [0, 5], [2, 2]]
    mask = torch.tensor([[0] * (widest - len(x)) + [1] * (len(x) + 2) for x in texts])
    with torch.no_grad():
        decode = Decoder(lm, mask)
        seen = [decode(torch.tensor([[0] * (widest - len(x)) + x for x in texts]))]
        seen += [decode(torch.tensor([[x[t]] for x in further])) for t in range(2)]
        for n, text in enumerate(texts):
            full = lm(input_ids=torch.tensor([[*text, *further[n]]])).logits[0, len(text) - 1 :].log_softmax(-1)
            assert torch.allclose(torch.stack([x[n] for x in seen]).log_softmax(-1), full, atol=1e-5)


def test_tokens_are_drawn_as_often_as_the_policy_says_at_its_temperature() -> None:
    policy, count = policy_of("llama", temperature=0.7), 4000
    uniforms = torch.rand(1, count, generator=torch.Generator().manual_seed(2))
    sample = generate(policy.lm, [[1, 2]] * count, uniforms, 1, [EOS], 0.7)
    with torch.no_grad():
        p = (policy.lm(input_ids=torch.tensor([[1, 2]])).logits[0, -1] / 0.7).softmax(-1)
    seen = torch.bincount(sample.tokens[2], minlength=len(p)) / count
    assert ((seen - p).abs() < 4 * (p * (1 - p) / count).sqrt() + 1e-3).all()


def test_the_likeliest_tokens_need_no_uniforms() -> None:
    lm = policy_of("gpt2").lm
    (found,), text = generate(lm, [[1, 2]], None, 4, []).responses(), [1, 2]
    for _ in range(4):
        with torch.no_grad():
            text.append(int(lm(input_ids=torch.tensor([text])).logits[0, -1].argmax()))
    assert found == text[2:]


def test_a_response_ends_with_its_first_end_token_or_at_the_limit() -> None:
    sample = sample_of(policy_of("llama"))
    for n, column in enumerate(columns(sample)):
        response = column[len(PROMPTS[n]) :]
        ended = bool(sample.ended[n])
        assert response.count(EOS) == ended
        assert (response[-1] == EOS) == ended
        assert ended or len(response) == LIMIT
        assert sample.responses()[n] == [x for x in response if x != EOS]
    assert 0 < int(sample.ended.sum()) < len(PROMPTS), "both kinds are there"


def test_what_cannot_be_sampled_is_refused() -> None:
    lm = policy_of("llama").lm
    with pytest.raises(ConfigError, match="top_p draws from another distribution"):
        check_sampling({"top_p": 0.9})
    with pytest.raises(ConfigError, match="from 0 to 10"):
        generate(lm, [[11]], None, 1, [])
    with pytest.raises(ConfigError, match="no token"):
        generate(lm, [[1], []], None, 1, [])
    with pytest.raises(ConfigError, match="the model reads 32"):
        generate(lm, [[1] * 30], None, 3, [])
