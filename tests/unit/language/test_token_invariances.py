"""What must change nothing, of three kinds of model: packing, observations within a response, learning beside a frozen
copy, and who holds which responses.
"""

from copy import deepcopy
from typing import Any

import pytest
import torch
from small_models import EOS, NAMES, context_of, policy_of, sample_of
from test_world import Half, Two, in_threads
from torch import Generator, Tensor

import clipper
from clipper.data.steps import Steps
from clipper.language.context import Context, sampled_tokens
from clipper.language.policy import TokenPolicy
from clipper.language.shaping import rewarded
from clipper.learning.advantages import Raw, Standardised
from clipper.ranks.shared_batch import share_batches

NOTHING = torch.finfo(torch.float64).min


@pytest.mark.parametrize("name", NAMES)
def test_packed_responses_have_the_numbers_of_padded_ones(name: str) -> None:
    """One row of all texts, each of which sees itself alone and counts positions from 0."""
    policy: Any = policy_of(name, critic="own", temperature=0.7).double()
    sample = sample_of(policy)
    context = context_of(sample)
    action = sampled_tokens(context)
    dist, value = policy(action, context)
    ends = (sample.prompt_length + sample.length).tolist()
    texts = [column[:end] for column, end in zip(sample.tokens.T.tolist(), ends, strict=True)]
    owner = torch.tensor([n for n, text in enumerate(texts) for _ in text])
    position = torch.tensor([i for text in texts for i in range(len(text))])
    seen = (owner[:, None] == owner) & (position[:, None] >= position)
    packed = {
        "input_ids": torch.tensor([[token for text in texts for token in text]]),
        "position_ids": position[None],
        "attention_mask": torch.zeros(seen.shape, dtype=torch.float64).masked_fill(~seen, NOTHING)[None, None],
    }
    with torch.no_grad():
        log_probs = (policy.lm(**packed).logits[0] / 0.7).log_softmax(-1)
        values = policy.value_layer(policy.critic(**packed).last_hidden_state[0])[:, 0]
    for n, (prompt, length) in enumerate(zip(sample.prompt_length.tolist(), sample.length.tolist(), strict=True)):
        own = (owner == n).nonzero()[:, 0][prompt - 1 : prompt - 1 + length]
        expected = log_probs[own, action[:length, n]]
        torch.testing.assert_close(dist.log_prob(action)[:length, n], expected, rtol=0, atol=1e-10)
        torch.testing.assert_close(value.mean[:length, n], values[own], rtol=0, atol=1e-10)


PARTS = [
    ([1, 2, 3], [[4, 5], [6]], [[7, 8, 9], []]),
    ([9], [[1], [2, 3, 4]], [[5, EOS], [6]]),
    ([4, 4], [[8, 8, 1], [2]], [[3], []]),
]
"""A prompt; what is sampled, twice; and what a tool answers behind each of both."""


def with_observations() -> tuple[Context, Tensor]:
    """Their context, and how many tokens of each are sampled."""
    texts, positions = [], []
    for prompt, sampled, observed in PARTS:
        text, position = list(prompt), []
        for tokens, answer in zip(sampled, observed, strict=True):
            for token in tokens:
                position.append(len(text) - 1)
                text.append(token)
            text += answer
        texts.append(text)
        positions.append([*position, len(text) - 1])  # V behind what was observed last
    width, rows = max(map(len, texts)), max(map(len, positions))
    tokens = torch.tensor([text + [0] * (width - len(text)) for text in texts]).T
    position = torch.tensor([p + [p[-1]] * (rows - len(p)) for p in positions]).T
    return Context(tokens, position, torch.arange(len(texts))[None]), torch.tensor([len(p) - 1 for p in positions])


@pytest.mark.parametrize("lam", [0.0, 0.95, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_observations_within_a_response_are_states_and_no_decisions(name: str, lam: float) -> None:
    """Advantages are those of the sequence of decisions alone, and states those of the texts before them."""
    policy: Any = policy_of(name, critic="shared").double()
    context, length = with_observations()
    rows, columns = int(length.max()), len(length)
    there = torch.arange(rows)[:, None] < length
    done = torch.arange(rows)[:, None] == length - 1
    ended = torch.tensor([True, False, True])
    action = sampled_tokens(context)
    reward = torch.randn(rows, columns, generator=Generator().manual_seed(1), dtype=torch.float64)
    log_prob = policy.act(action, context)[0].log_prob(action).detach()
    steps = Steps(action, action, log_prob, reward.masked_fill(~there, torch.nan), done & ended, done, there, context)
    algorithm = clipper.PPO(gamma=1.0, lam=lam, advantages=Raw())
    last = context.tokens.gather(0, context.position[-1:])[0]
    targets = algorithm.targets(algorithm.init(policy), steps, last)
    for n, (prompt, sampled, observed) in enumerate(PARTS):
        text, value, expected = list(prompt), [], []
        for tokens, answer in zip(sampled, observed, strict=True):
            for token in tokens:
                with torch.no_grad():
                    found = policy.lm(input_ids=torch.tensor([text]), output_hidden_states=True)
                    value.append(float(policy.value_layer(found.hidden_states[-1][0, -1])))
                    expected.append(float(found.logits[0, -1].log_softmax(-1)[token]))
                text.append(token)
            text += answer
        with torch.no_grad():
            found = policy.lm(input_ids=torch.tensor([text]), output_hidden_states=True)
            after = float(policy.value_layer(found.hidden_states[-1][0, -1]))
        assert steps.log_prob[: len(expected), n].tolist() == pytest.approx(expected, abs=1e-10)
        value.append(0.0 if ended[n] else after)
        advantage = 0.0
        for t in reversed(range(len(expected))):
            advantage = float(reward[t, n]) + value[t + 1] - value[t] + lam * advantage
            assert float(targets.advantage[t, n]) == pytest.approx(advantage, abs=1e-10)


def recorded(policy: TokenPolicy) -> tuple[Steps, Tensor]:
    """Responses of unequal lengths, as rollouts record them, in float64."""
    sample = sample_of(policy)
    context = context_of(sample)
    action = sampled_tokens(context)
    log_prob = policy.act(action, context)[0].log_prob(action).detach()
    score = torch.randn(len(sample.length), generator=Generator().manual_seed(2), dtype=torch.float64)
    found = rewarded(score, torch.zeros_like(log_prob), 0.0, sample.length, sample.ended, "bootstrap")
    last = context.tokens.gather(0, context.position[-1:])[0]
    return Steps(action, action, log_prob, found.reward, found.terminated, found.done, found.mask, context), last


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_copy_stays_as_it_is_beside_one_that_learns(name: str) -> None:
    policy = policy_of(name, critic="shared").double()
    reference = deepcopy(policy).requires_grad_(False)
    steps, last = recorded(policy)
    before = reference.act(steps.obs, steps.memory)[0].log_prob(steps.action)
    algorithm = clipper.PPO(gamma=1.0, epochs=3, minibatches=2, learning_rate=0.05, clip=float("inf"))
    algorithm.update(algorithm.init(policy), steps, last)
    with torch.no_grad():
        moved = policy.act(steps.obs, steps.memory)[0].log_prob(steps.action) - before
    assert moved[steps.mask].abs().max() > 1.0, "nats"
    assert torch.equal(reference.act(steps.obs, steps.memory)[0].log_prob(steps.action), before)


ALGORITHMS: dict[str, Any] = {
    "ppo": clipper.PPO(gamma=1.0, epochs=2, minibatches=1, learning_rate=0.01),
    "separate": clipper.PPOSeparate(
        gamma=1.0, epochs=2, value_epochs=2, stop=None, advantages=Standardised("batch"), learning_rate=0.01
    ),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("which", ALGORITHMS)
def test_two_who_hold_halves_of_the_responses_learn_as_one_who_holds_all(name: str, which: str) -> None:
    """Their lengths differ, and so do the numbers of tokens that the two have."""
    first, algorithm = policy_of(name, critic="own" if which == "separate" else "shared").double(), ALGORITHMS[which]
    steps, last = recorded(first)
    order = steps.mask.sum(0).argsort()  # the shorter ones are one's, the longer ones the other's
    parts = [order[:3], order[3:]]
    assert steps.mask[:, parts[0]].sum() * 2 <= steps.mask[:, parts[1]].sum()
    alone = algorithm.init(deepcopy(first), seed=1)
    expected = algorithm.update(alone, steps, last)
    two, told, failed = Two(), [{}, {}], []
    learners = [algorithm.init(deepcopy(first), seed=1) for _ in range(2)]

    def learn(who: int) -> None:
        share_batches(learners[who], Half(two, who))
        try:
            told[who] = algorithm.update(learners[who], of_columns(steps, parts[who]), last[parts[who]])
        except BaseException as error:
            failed.append(error)
            two.barrier.abort()

    in_threads(learn)
    assert not failed, failed
    assert not torch.equal(alone.parameters, algorithm.init(deepcopy(first)).parameters)
    for learner in learners:
        torch.testing.assert_close(learner.parameters, alone.parameters, rtol=0, atol=1e-10)
    for key in ("loss/policy", "loss/value", "policy/kl"):
        assert float(told[0][key]) == float(told[1][key]) == pytest.approx(float(expected[key]), abs=1e-10)


def of_columns(steps: Steps, columns: Tensor) -> Steps:
    """Some of the responses."""
    fields = (x[:, columns] if isinstance(x, Tensor) else x for x in steps._replace(memory=()))
    context = Context(*(x[:, columns] for x in steps.memory[:3]))
    return Steps(*fields)._replace(memory=context)
