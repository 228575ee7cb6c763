"""The gradients that algorithms of responses climb, in expectation over all groups of responses, by enumeration."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from math import factorial, prod

import pytest
import tiny_language as tiny
import torch
from tiny_language import EVERY, PROMPTS, Response, Table, cosine
from torch import Tensor

from clipper import language_presets as presets
from clipper.algorithms import GRPO, PPO, PairwisePPO
from clipper.data.sequences import flat_decisions
from clipper.functional.sequences import lengths
from clipper.learning.baselines import GroupMean, GroupStandardised, LeaveOneOut
from clipper.learning.reductions import ConstantLength, Reduction, SequenceMean, SequenceSum, TokenMean
from clipper.learning.reference_kl import InLoss, InReward
from clipper.learning.rewards import Raw

Algorithm = GRPO | PairwisePPO | PPO
Batch = list[tuple[Response, float]]
SCORES, REFERENCE, BETA = tiny.scores(0), Table(1), 0.5


def estimate(algorithm: Algorithm, policy: Table, reference: Table | None = None) -> Callable[[Batch], Tensor]:
    """−∇ of an algorithm's whole loss for one group of responses, as its ``update`` computes it before a step."""
    learner = algorithm.init(policy)

    def gradient(batch: Batch) -> Tensor:
        steps = tiny.recorded(batch, policy, reference)
        loss, _ = algorithm.loss(learner, flat_decisions(algorithm.targets(learner, steps, steps.obs[-1])))
        return -torch.autograd.grad(loss, policy.logits)[0]

    return gradient


def expectation(
    gradient: Callable[[Batch], Tensor], policy: Table, size: int, score: Sequence[Tensor] = SCORES
) -> Tensor:
    """E over a prompt and ``size`` responses to it, by their sum over all groups; one that differs in its order alone
    has the same gradient (tests of losses), and is counted with it.
    """
    total = torch.zeros_like(policy.logits)
    for x in range(PROMPTS):
        probability = tiny.log_probs(policy, x).detach().exp()
        for chosen in combinations_with_replacement(range(len(EVERY[x])), size):
            orders = factorial(size) // prod(map(factorial, Counter(chosen).values()))
            batch = [(EVERY[x][i], float(score[x][i])) for i in chosen]
            total += orders * probability[list(chosen)].prod() / PROMPTS * gradient(batch)
    return total


def true_gradient(policy: Table, beta: float = 0.0, reference: Table | None = None) -> Tensor:
    return torch.autograd.grad(tiny.objective(policy, SCORES, beta, reference), policy.logits)[0]


def same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


def plain(reduction: Reduction) -> GRPO:
    return GRPO(baseline=LeaveOneOut(), reduction=reduction, reference_kl=None)


def test_the_enumeration_is_complete() -> None:
    for x in range(PROMPTS):
        assert tiny.log_probs(REFERENCE, x).exp().sum().item() == pytest.approx(1, rel=1e-12)
        assert {len(y.tokens) for y in EVERY[x]} == {1, 2}
    best = tiny.optimum(SCORES, BETA, REFERENCE)
    for x, r in enumerate(SCORES):
        tilted = (tiny.log_probs(REFERENCE, x) + r / BETA).log_softmax(0)
        torch.testing.assert_close(tiny.log_probs(best, x), tilted)
    assert true_gradient(best, BETA, REFERENCE).abs().max() < 1e-12


@pytest.mark.parametrize("size", [2, 3])
def test_leave_one_out_is_unbiased(size: int) -> None:
    """With the KL in the reward it climbs E[r − β KL], whose only fixed point is π_ref exp(r/β)."""
    policy = Table(0)
    gradient = estimate(presets.rloo(reference_kl=InReward(BETA)), policy, REFERENCE)
    same(expectation(gradient, policy, size), true_gradient(policy, BETA, REFERENCE))


@pytest.mark.parametrize("clipping", ["joint", "separate"])
def test_pairs_are_unbiased_and_leave_one_out_with_two(clipping: str) -> None:
    policy = Table(0)
    pairwise = PairwisePPO(beta=BETA, clipping=clipping)  # pyright: ignore[reportArgumentType]
    gradient = estimate(pairwise, policy, REFERENCE)
    same(expectation(gradient, policy, 2), true_gradient(policy, BETA, REFERENCE))
    rloo = estimate(presets.rloo(reference_kl=InReward(BETA)), policy, REFERENCE)
    for size in (2, 4):
        group = [(EVERY[0][i], float(SCORES[0][i])) for i in (3, 5, 6, 1)[:size]]
        same(gradient(group), rloo(group))


def test_ppo_s_first_step_is_unbiased() -> None:
    """λ = 1 and any V; a mean over tokens, times the tokens."""
    policy = Table(0)
    algorithm = PPO(gamma=1.0, lam=1.0, advantages=Raw(), value_coef=0.0)
    first = estimate(algorithm, policy)
    actual = expectation(lambda batch: first(batch) * sum(len(y.tokens) for y, _ in batch), policy, 1)
    same(actual, true_gradient(policy))


def mean_length(policy: Table) -> float:
    own = [(tiny.log_probs(policy, x).detach().exp(), EVERY[x]) for x in range(PROMPTS)]
    return sum(float(p[i]) * len(y.tokens) for p, ys in own for i, y in enumerate(ys)) / PROMPTS


def test_what_reductions_climb() -> None:
    """The sequence sum ∇J, a constant length ∇J divided by it; the sequence mean another direction."""
    policy = Table(0)
    exact = true_gradient(policy)
    of = {r: expectation(estimate(plain(r), policy), policy, 2) for r in (SequenceSum(), ConstantLength(7))}
    same(of[SequenceSum()], exact)
    same(of[ConstantLength(7)] * 7, exact)
    assert cosine(expectation(estimate(plain(SequenceMean()), policy), policy, 2), exact) < 0.99


def test_the_token_mean_of_large_batches_has_the_direction() -> None:
    """With the expected number of tokens as the denominator; that of a small batch is random, and biases."""
    policy = Table(0)
    exact = true_gradient(policy)
    by_token = estimate(plain(TokenMean()), policy)

    def with_expected_length(batch: Batch) -> Tensor:
        tokens = sum(len(y.tokens) for y, _ in batch)
        return by_token(batch) * tokens / (2 * mean_length(policy))

    same(expectation(with_expected_length, policy, 2) * mean_length(policy), exact)
    assert cosine(expectation(by_token, policy, 2), exact) < 0.999


def test_a_response_in_its_own_baseline_shrinks_the_gradient() -> None:
    policy = Table(0)
    algorithm = GRPO(baseline=GroupMean(), reduction=SequenceSum(), reference_kl=None)
    same(expectation(estimate(algorithm, policy), policy, 2) * 2, true_gradient(policy))


def norm(x: Tensor) -> float:
    return float(x.norm())


def test_fixed_points() -> None:
    """At π_ref exp(r/β) leave-one-out with the KL in the reward stays, and so does a KL of whole responses in the loss;
    GRPO as published goes away, also without k3, without the deviation, or with the KL of tokens in the loss.
    """
    best = tiny.optimum(SCORES, BETA, REFERENCE)
    scale = norm(true_gradient(Table(0), BETA, REFERENCE))

    def pull(algorithm: Algorithm) -> float:
        return norm(expectation(estimate(algorithm, best, REFERENCE), best, 2)) / scale

    summed = SequenceSum()
    assert pull(presets.rloo(reference_kl=InReward(BETA))) < 1e-10
    assert pull(PairwisePPO(beta=BETA)) < 1e-10
    for term in ("k2", "weighted_k3"):
        whole = InLoss(BETA, term, of="response")
        assert pull(GRPO(baseline=LeaveOneOut(), reduction=summed, reference_kl=whole)) < 1e-10
        by_token = InLoss(BETA, term)
        assert pull(GRPO(baseline=LeaveOneOut(), reduction=summed, reference_kl=by_token)) > 0.01
    assert pull(presets.grpo(reference_kl=InLoss(BETA, "k3"))) > 0.05
    assert pull(GRPO(baseline=LeaveOneOut(), reduction=summed, reference_kl=InLoss(BETA, "k3", "response"))) > 0.05
    standardised = GRPO(baseline=GroupStandardised(), reduction=summed, reference_kl=InLoss(BETA, "k2", of="response"))
    assert pull(standardised) > 0.05


def test_lengths_are_those_of_the_tokens() -> None:
    batch = [(y, 0.0) for y in EVERY[0]]
    steps = tiny.recorded(batch, Table(0))
    assert lengths(steps.mask.nonzero()[:, 1], len(batch)).tolist() == [len(y.tokens) for y in EVERY[0]]
