"""What must change nothing in a language model's loss: padding, garbage in it, micro-batches, names of one weight."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_models import EOS, LIMIT, NAMES, PROMPTS, context_of, policy_of, sample_of
from torch import Tensor

import clipper
from clipper.data.steps import Steps
from clipper.errors import ConfigError
from clipper.language.context import Context, decisions, sampled_tokens
from clipper.language.policy import TokenPolicy
from clipper.language.shaping import rewarded
from clipper.learning.advantages import Raw


def steps_of(policy: TokenPolicy, context: Context, length: Tensor, ended: Tensor, cut: str = "bootstrap") -> Steps:
    """Responses with scores 0, 1, 2 …, as rollouts record them."""
    action = sampled_tokens(context)
    with torch.no_grad():
        log_prob = policy.act(action, context)[0].log_prob(action)
    score = torch.arange(len(length), dtype=log_prob.dtype)
    found = rewarded(score, torch.zeros_like(log_prob), 0.0, length, ended, cut)  # pyright: ignore[reportArgumentType]
    return Steps(action, action, log_prob, found.reward, found.terminated, found.done, found.mask, context)


def last_of(steps: Steps) -> Tensor:
    return steps.memory.tokens.gather(0, steps.memory.position[-1:])[0]


def gradient(policy: TokenPolicy, steps: Steps, seed: int = 3, **options: object) -> Tensor:
    """Of PPO's loss in the second of two minibatches, whose ratios are not 1."""
    algorithm = clipper.PPO(gamma=1.0, advantages=Raw(), minibatches=2, epochs=1, learning_rate=1e-2, **options)  # pyright: ignore[reportArgumentType]
    learner = algorithm.init(policy, seed=seed)
    algorithm.update(learner, steps, last_of(steps))
    return learner.parts[""].gradients[0].clone()


@pytest.mark.parametrize("name", NAMES)
def test_log_probs_and_values_are_those_of_each_response_alone(name: str) -> None:
    policy: Any = policy_of(name, critic="own", temperature=0.7)
    sample = sample_of(policy)
    context = context_of(sample)
    action = sampled_tokens(context)
    dist, value = policy(action, context)
    log_prob = dist.log_prob(action)
    after = policy.value(torch.cat([action, action[:1]]), context).mean
    assert set(sample.length.tolist()) > {LIMIT}, "some responses end early, some are cut"
    for n, response in enumerate(sample.responses()):
        prompt, whole = PROMPTS[n], [*PROMPTS[n], *response, *[EOS] * bool(sample.ended[n])]
        length = len(whole) - len(prompt)
        with torch.no_grad():
            logits = policy.lm(input_ids=torch.tensor([whole])).logits[0, len(prompt) - 1 :] / 0.7
            hidden = policy.critic(input_ids=torch.tensor([whole])).last_hidden_state[0, len(prompt) - 1 :]
            values = policy.value_layer(hidden)[:, 0]
        expected = logits.log_softmax(-1)[torch.arange(length), torch.tensor(whole[len(prompt) :])]
        assert torch.allclose(log_prob[:length, n], expected, atol=1e-5)
        assert torch.allclose(value.mean[:length, n], values[:-1], atol=1e-5)
        assert torch.allclose(after[length, n], values[-1], atol=1e-5), "V behind the last token"


@pytest.mark.parametrize("name", NAMES)
def test_padding_and_what_stands_in_it_change_nothing(name: str) -> None:
    sample = sample_of(policy_of(name))
    context = context_of(sample)
    there = torch.arange(len(context.tokens))[:, None] < sample.prompt_length + sample.length
    garbage = torch.randint(0, EOS, context.tokens.shape, generator=torch.Generator().manual_seed(9))
    other = context._replace(tokens=F.pad(torch.where(there, context.tokens, garbage), (0, 0, 0, 5), value=4))
    grads = []
    for each in (context, other):
        policy = policy_of(name, critic="shared")
        grads.append(gradient(policy, steps_of(policy, each, sample.length, sample.ended)))
    assert grads[0].abs().max() > 1e-3
    assert torch.equal(*grads)


def test_rows_that_are_no_decisions_may_hold_anything() -> None:
    found = []
    for filling in (0.0, float("nan")):
        policy = policy_of("llama", critic="shared")
        sample = sample_of(policy)
        steps = steps_of(policy, context_of(sample), sample.length, sample.ended)
        reward, log_prob = (x.masked_fill(~steps.mask, filling) for x in (steps.reward, steps.log_prob))
        steps = steps._replace(reward=reward, log_prob=log_prob)
        gradient(policy, steps)
        found.append(torch.cat([p.detach().flatten() for p in policy.parameters()]))
    assert torch.equal(*found)
    assert found[0].isfinite().all()


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("critic", ["own", "shared"])
def test_micro_batches_leave_the_gradient_as_it_is(size: int, critic: str) -> None:
    grads, counts = [], []
    for micro_batch in (None, size):
        policy = policy_of("gpt2", critic=critic, micro_batch=micro_batch)
        sample = sample_of(policy)
        steps = steps_of(policy, context_of(sample), sample.length, sample.ended)
        algorithm = clipper.PPO(gamma=1.0, minibatches=2, epochs=2, learning_rate=0.0, advantages=Raw())
        learner = algorithm.init(policy, seed=1)
        algorithm.update(learner, steps, last_of(steps))
        grads.append(learner.parts[""].gradients[0].clone())
        counts.append(int(learner.optimizer.state[learner.parts[""].parameters[0]]["step"]))
    assert (grads[0] - grads[1]).abs().max() < 1e-5 * grads[0].abs().max()
    assert counts == [4, 4], "epochs x minibatches"


def test_a_first_minibatch_has_ratios_of_1_and_minibatches_are_whole_responses() -> None:
    policy = policy_of("llama", critic="shared")
    sample = sample_of(policy)
    steps = steps_of(policy, context_of(sample), sample.length, sample.ended)
    algorithm = clipper.PPO(gamma=1.0)
    targets = algorithm.targets(algorithm.init(policy), steps, last_of(steps))
    seen = 0
    for batch in steps.memory.minibatches(targets, 1, 3, torch.Generator().manual_seed(0)):
        log_ratio = (
            policy.act(batch.steps.obs, batch.steps.memory)[0].log_prob(batch.steps.action) - batch.steps.log_prob
        )
        assert log_ratio.abs().max() < 1e-5
        assert int(batch.steps.done.sum()) == batch.steps.memory.tokens.shape[1]
        seen += len(log_ratio)
    assert seen == int(sample.length.sum())


@pytest.mark.parametrize("cut", ["bootstrap", "end", "mask"])
def test_v_counts_behind_a_response_that_was_cut(cut: str) -> None:
    """With V = c everywhere and γ = 1, Â is the score less c, and c more where V counts behind the last token."""
    c, policy = 2.5, policy_of("llama", critic="shared")
    layer = policy.value_layer
    assert layer is not None
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.constant_(layer.bias, c)
    sample = sample_of(policy)
    steps = steps_of(policy, context_of(sample), sample.length, sample.ended, cut)
    for lam in (0.0, 0.95, 1.0):
        algorithm = clipper.PPO(gamma=1.0, lam=lam, advantages=Raw())
        advantage = algorithm.targets(algorithm.init(policy), steps, last_of(steps)).advantage
        for n, (length, ended) in enumerate(zip(sample.length.tolist(), sample.ended.tolist(), strict=True)):
            bootstraps = not ended and cut == "bootstrap"
            delta = n - c + c * bootstraps
            expected = [0.0 if not ended and cut == "mask" else delta * lam ** (length - 1 - t) for t in range(length)]
            assert advantage[:length, n].tolist() == pytest.approx(expected, abs=1e-5)


def test_which_rows_are_decisions_never_comes_of_ids() -> None:
    """The end token in a prompt, and as padding, ends nothing."""
    policy = policy_of("llama", critic="shared")
    sample = sample_of(policy, [[EOS, EOS, 1], [1]])
    padded = sample._replace(tokens=F.pad(sample.tokens, (0, 0, 0, 3), value=EOS))
    for each in (sample, padded):
        steps = steps_of(policy, context_of(each), each.length, each.ended)
        assert torch.equal(steps.mask, decisions(sample.length, len(steps.mask)))
        assert steps.done.sum(0).tolist() == [1, 1]


def test_tied_embeddings_are_one_parameter_and_saved_once() -> None:
    policy: Any = policy_of("tied", critic=None)
    assert policy.lm.lm_head.weight is policy.lm.model.embed_tokens.weight
    clipper.Reinforce().init(policy)  # parameters become views of one vector
    state = policy.state_dict()
    assert sum(x.numel() for x in state.values()) == sum(p.numel() for p in policy.parameters())
    other: Any = policy_of("tied", critic=None)
    for p in other.parameters():
        torch.nn.init.zeros_(p)
    other.load_state_dict(state)
    assert torch.equal(other.lm.lm_head.weight, policy.lm.lm_head.weight)
    assert other.lm.lm_head.weight is other.lm.model.embed_tokens.weight


def test_what_cannot_work_is_said() -> None:
    policy = policy_of("llama", critic=None)
    context = context_of(sample_of(policy))
    with pytest.raises(ConfigError, match="no V"):
        policy.value(torch.zeros(1), context)
    with pytest.raises(ConfigError, match=r"Steps\.memory"):
        policy_of("llama").act(torch.zeros(1), ())
    with pytest.raises(ConfigError, match="share parameters"):
        clipper.PPOSeparate().init(policy_of("llama", critic="shared"))
