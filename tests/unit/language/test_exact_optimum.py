"""Responses so few that all are enumerated: what is learned is the optimum of E[r] − β KL(π ‖ π_ref)."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig

import clipper
from clipper.functional.returns import gae
from clipper.language.context import make_context, sampled_tokens
from clipper.language.models import copy_of, load_model
from clipper.language.policy import TokenPolicy
from clipper.language.shaping import rewarded
from clipper.language.tasks.sequences import Sequences
from clipper.language.train import train_language

BETA = 0.5


def policies(task: Sequences, dtype: torch.dtype) -> tuple[TokenPolicy, TokenPolicy]:
    """A reference, and a policy that has gone away from it."""
    config = LlamaConfig(
        vocab_size=task.vocabulary, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=None, eos_token_id=None, initializer_range=0.3,
    )  # fmt: skip
    lm = load_model(config, 1).lm
    moved, generator = copy_of(lm), torch.Generator().manual_seed(4)
    for p in moved.parameters():
        p.data += 0.3 * torch.randn(p.shape, generator=generator)
    return TokenPolicy(lm, None).to(dtype), TokenPolicy(moved, None).to(dtype)


def test_the_gradient_of_tokens_is_that_of_the_objective() -> None:
    """Σ_y π(y) Σₜ ∇log π(aₜ) Âₜ with λ = 1 and V = 0, over all responses, is ∇J of autograd; float64."""
    task = Sequences(symbols=3, limit=3)
    task.table = task.table.double()
    reference, policy = policies(task, torch.float64)
    with torch.no_grad():
        log_reference = task.log_probs(reference)
    weights = [p for p in policy.parameters() if p.requires_grad]
    expected = torch.autograd.grad(task.objective(policy, log_reference, BETA), weights)
    pairs = [(x, y) for x in task.prompts for y in task.responses]
    length = torch.tensor([min(len(y) + 1, 3) for _, y in pairs])
    tokens = torch.tensor([[*x, *y, *[task.eos] * (3 - len(y))] for x, y in pairs]).T.contiguous()
    context = make_context(tokens, torch.full_like(length, 2), length, length, 3)
    action = sampled_tokens(context)
    log_prob, log_ref = (each.act(action, context)[0].log_prob(action) for each in (policy, reference))
    score = task.reward(*zip(*pairs, strict=True))  # pyright: ignore[reportArgumentType]
    ended = torch.tensor([len(y) < 3 for _, y in pairs])
    found = rewarded(score, (log_prob - log_ref).detach(), BETA, length, ended, "end")
    zeros = torch.zeros(4, len(pairs), dtype=torch.float64)
    advantage = gae(found.reward, zeros, found.terminated, found.done, found.mask, 1.0, 1.0)
    p = log_prob.masked_fill(~found.mask, 0).sum(0).exp().detach() / len(task.prompts)
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    estimate = torch.autograd.grad((p * (log_prob * advantage).masked_fill(~found.mask, 0)).sum(), weights)
    for x, y in zip(expected, estimate, strict=True):
        assert torch.allclose(x, y, atol=1e-6)  # norms and rotations are float32 inside


def test_sampled_responses_have_the_enumerated_mean() -> None:
    task = Sequences()
    reference, policy = policies(task, torch.float32)
    lm: Any = reference.lm
    run = train_language(
        lm, task.prompts, task.reward, clipper.Reinforce(episodes=4), critic="shared", max_tokens=3, eos=3,
        total_steps=1,
    )  # fmt: skip
    batch = run.rollouts.answer(policy, task.prompts * 4000, 3, torch.Generator().manual_seed(0))  # pyright: ignore[reportAttributeAccessIssue]
    log_p, log_ref = (task.log_probs(each).detach() for each in (policy, reference))
    place = [task.place[tuple(x)] for x in batch.responses]
    value = task.table - BETA * (log_p - log_ref)
    seen = value[[x[-1] for x in batch.prompts], place]
    expected = float(task.objective(policy, log_ref, BETA).detach())
    assert expected == pytest.approx(float(seen.mean()), abs=4 * float(seen.std()) / 8000**0.5)


def test_no_policy_is_better_than_the_optimum() -> None:
    task = Sequences()
    reference, policy = policies(task, torch.float32)
    log_reference = task.log_probs(reference).detach()
    best = float(task.optimum(log_reference, BETA))
    assert float(task.objective(policy, log_reference, BETA).detach()) < best
    log_star = (log_reference + task.table / BETA).log_softmax(1)
    reached = (log_star.exp() * (task.table - BETA * (log_star - log_reference))).sum(1).mean()
    assert float(reached) == pytest.approx(best, abs=1e-5)
