"""The gradients that the algorithms climb, in expectation over every trajectory, are those of what they promise."""

import dataclasses
from collections.abc import Callable
from itertools import product

import pytest
import torch
from batches import decisions
from tiny_mdp import CUT_SHORT, UNEQUAL_LENGTHS, TabularPolicy, TinyMDP, Trajectory, recorded
from torch import Tensor

from clipper.algorithms import PPO, Reinforce
from clipper.functional.objectives import policy_gradient
from clipper.functional.reduce import masked_mean
from clipper.learning.rewards import Raw
from clipper.networks.protocol import Policy

Estimate = Callable[[list[Trajectory]], Tensor]
MDPS = pytest.mark.parametrize("mdp", [UNEQUAL_LENGTHS, CUT_SHORT], ids=["unequal lengths", "truncated"])


def true_gradient(mdp: TinyMDP, policy: TabularPolicy, last_values: Tensor) -> Tensor:
    """∇ Σ_τ p(τ) (Σₜ rₜ + V(s_T) where truncated), V held fixed, by autograd through the probabilities."""
    j = sum(t.probability(policy) * t.bootstrapped_return(last_values) for t in mdp.trajectories())
    return torch.autograd.grad(torch.as_tensor(j), policy.logits)[0]


def expectation(mdp: TinyMDP, policy: TabularPolicy, estimate: Estimate, batch_size: int = 1) -> Tensor:
    """E of ``estimate`` over all batches of that many independent trajectories."""
    total = torch.zeros_like(policy.logits)
    for batch in product(mdp.trajectories(), repeat=batch_size):
        probability = torch.stack([t.probability(policy).detach() for t in batch]).prod()
        total += probability * estimate(list(batch))
    return total


def reinforce_estimate(policy: TabularPolicy, algorithm: Reinforce) -> Estimate:
    """−∇ of REINFORCE's whole loss for a batch of episodes, as its ``update`` computes it."""
    learner = algorithm.init(policy)

    def estimate(batch: list[Trajectory]) -> Tensor:
        steps = recorded(batch, policy)
        loss, _ = algorithm.loss(learner, decisions(algorithm.targets(learner, steps, steps.obs[-1])))
        return -torch.autograd.grad(loss, policy.logits)[0]

    return estimate


def ppo_estimate(policy: TabularPolicy, algorithm: PPO) -> Estimate:
    """−∇ of PPO's whole loss at θ_old for one episode, times its length: a mean over decisions becomes their sum."""
    learner = algorithm.init(policy)

    def estimate(batch: list[Trajectory]) -> Tensor:
        steps = recorded(batch, policy)
        loss, _ = algorithm.loss(learner, decisions(algorithm.targets(learner, steps, steps.obs[-1])))
        return -torch.autograd.grad(loss, policy.logits)[0] * steps.mask.sum()

    return estimate


def plain_ppo(lam: float) -> PPO:
    return PPO(gamma=1.0, lam=lam, advantages=Raw(), entropy_coef=0.0, value_coef=0.0)


def plain_reinforce(baseline: bool) -> Reinforce:
    return Reinforce(gamma=1.0, baseline=baseline, advantages=Raw(), value_coef=0.0)


def cosine(a: Tensor, b: Tensor) -> float:
    return torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()


@MDPS
def test_the_enumeration_is_complete(mdp: TinyMDP) -> None:
    policy = TabularPolicy(mdp, seed=0)
    assert isinstance(policy, Policy)
    probabilities = torch.stack([t.probability(policy) for t in mdp.trajectories()])
    assert probabilities.sum().item() == pytest.approx(1, rel=1e-14)
    assert len({len(t.actions) for t in mdp.trajectories()}) > 1
    assert any(not t.terminated for t in mdp.trajectories()) == (mdp is CUT_SHORT)


@MDPS
@pytest.mark.parametrize("baseline", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_reinforce_is_unbiased(mdp: TinyMDP, baseline: bool, seed: int) -> None:
    """With and without a baseline, whatever the baseline's values: the objective is the rewards of whole episodes."""
    policy = TabularPolicy(mdp, seed)
    exact = true_gradient(mdp, policy, torch.zeros_like(policy.values))
    actual = expectation(mdp, policy, reinforce_estimate(policy, plain_reinforce(baseline)))
    torch.testing.assert_close(actual, exact, rtol=1e-12, atol=1e-14)


@MDPS
def test_the_total_return_is_unbiased_too(mdp: TinyMDP) -> None:
    policy = TabularPolicy(mdp, seed=0)
    exact = true_gradient(mdp, policy, torch.zeros_like(policy.values))
    algorithm = dataclasses.replace(plain_reinforce(baseline=False), causal=False)
    torch.testing.assert_close(
        expectation(mdp, policy, reinforce_estimate(policy, algorithm)), exact, rtol=1e-12, atol=1e-14
    )


def variance(mdp: TinyMDP, policy: TabularPolicy, estimate: Estimate) -> float:
    """E|g − E g|² of one trajectory's estimate g, exactly."""
    mean = expectation(mdp, policy, estimate)
    spread = expectation(mdp, policy, lambda batch: (estimate(batch) - mean).square().sum().expand_as(mean))
    return spread[0, 0].item()


@MDPS
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_causality_and_then_a_baseline_lower_the_variance(mdp: TinyMDP, seed: int) -> None:
    """The same expectation, less noise: total return, reward-to-go, reward-to-go minus V. Exact, by enumeration."""
    policy = TabularPolicy(mdp, seed)
    with torch.no_grad():
        policy.values.copy_(mdp.exact_values(policy))
    plain = plain_reinforce(baseline=False)
    total, to_go, baseline = (
        variance(mdp, policy, reinforce_estimate(policy, algorithm))
        for algorithm in (dataclasses.replace(plain, causal=False), plain, plain_reinforce(baseline=True))
    )
    assert total > to_go > 1.2 * baseline


def test_reinforce_is_unbiased_for_batches() -> None:
    mdp, policy = UNEQUAL_LENGTHS, TabularPolicy(UNEQUAL_LENGTHS, seed=3)
    exact = true_gradient(mdp, policy, torch.zeros_like(policy.values))
    actual = expectation(mdp, policy, reinforce_estimate(policy, plain_reinforce(baseline=True)), batch_size=2)
    torch.testing.assert_close(actual, exact, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("mdp", "batch_size"),
    [(UNEQUAL_LENGTHS, 1), (UNEQUAL_LENGTHS, 2), (CUT_SHORT, 1)],
    ids=["unequal lengths", "unequal lengths, in pairs", "truncated"],
)
def test_a_mean_over_decisions_would_be_biased(mdp: TinyMDP, batch_size: int) -> None:
    """Of the same terms: it climbs in another direction than ∇J, not only at another speed."""
    policy = TabularPolicy(mdp, seed=0)
    algorithm = plain_reinforce(baseline=False)
    learner = algorithm.init(policy)

    def mean_over_decisions(batch: list[Trajectory]) -> Tensor:
        steps = recorded(batch, policy)
        targets = decisions(algorithm.targets(learner, steps, steps.obs[-1]))
        log_prob = policy.act(targets.steps.obs)[0].log_prob(targets.steps.action)
        loss = masked_mean(policy_gradient(log_prob, targets.advantage), targets.steps.mask)
        return -torch.autograd.grad(loss, policy.logits)[0]

    exact = true_gradient(mdp, policy, torch.zeros_like(policy.values))
    wrong = expectation(mdp, policy, mean_over_decisions, batch_size)
    assert cosine(wrong, exact) < 0.999


@MDPS
@pytest.mark.parametrize("seed", [0, 1])
def test_ppo_at_theta_old_climbs_the_bootstrapped_return(mdp: TinyMDP, seed: int) -> None:
    """λ = 1 and any critic: a truncated episode counts as its rewards plus the critic's value of where it was cut."""
    policy = TabularPolicy(mdp, seed)
    exact = true_gradient(mdp, policy, policy.values.detach().clone())
    actual = expectation(mdp, policy, ppo_estimate(policy, plain_ppo(lam=1.0)))
    torch.testing.assert_close(actual, exact, rtol=1e-12, atol=1e-14)


def test_truncation_taken_for_termination_would_be_biased() -> None:
    policy = TabularPolicy(CUT_SHORT, seed=0)
    algorithm = plain_ppo(lam=1.0)
    right = ppo_estimate(policy, algorithm)

    def as_terminated(batch: list[Trajectory]) -> Tensor:
        return right([t._replace(terminated=True) for t in batch])

    exact = true_gradient(CUT_SHORT, policy, policy.values.detach().clone())
    assert cosine(expectation(CUT_SHORT, policy, as_terminated), exact) < 0.999


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_ppo_with_an_exact_critic_is_unbiased_for_every_lambda(lam: float, seed: int) -> None:
    policy = TabularPolicy(UNEQUAL_LENGTHS, seed)
    values = UNEQUAL_LENGTHS.exact_values(policy)
    with torch.no_grad():
        policy.values[:-1] = values[:-1]  # the terminal state keeps its nonsense
    exact = true_gradient(UNEQUAL_LENGTHS, policy, torch.zeros_like(values))
    actual = expectation(UNEQUAL_LENGTHS, policy, ppo_estimate(policy, plain_ppo(lam)))
    torch.testing.assert_close(actual, exact, rtol=1e-12, atol=1e-14)


def test_a_wrong_critic_biases_lambda_below_one() -> None:
    """The other side of the test above: it is the exact critic that makes it pass."""
    policy = TabularPolicy(UNEQUAL_LENGTHS, seed=0)
    exact = true_gradient(UNEQUAL_LENGTHS, policy, torch.zeros_like(policy.values))
    actual = expectation(UNEQUAL_LENGTHS, policy, ppo_estimate(policy, plain_ppo(lam=0.5)))
    assert cosine(actual, exact) < 0.999


def test_expected_advantages_are_exact() -> None:
    """E[Â | s, a] = Σ p(s′, r | s, a)(r + V(s′)) − V(s) when the critic is exact, for λ = 1 over all trajectories."""
    mdp = UNEQUAL_LENGTHS
    policy = TabularPolicy(mdp, seed=0)
    values = mdp.exact_values(policy)
    with torch.no_grad():
        policy.values[:-1] = values[:-1]
    algorithm = plain_ppo(lam=1.0)
    learner = algorithm.init(policy)
    weighted, weights = torch.zeros_like(policy.logits), torch.zeros_like(policy.logits)
    for t in mdp.trajectories():
        p = t.probability(policy).detach()
        steps = recorded([t], policy)
        advantage = algorithm.targets(learner, steps, steps.obs[-1]).advantage[:-1, 0]
        for state, action, a in zip(t.states, t.actions, advantage, strict=False):
            weighted[state, action] += p * a
            weights[state, action] += p
    for (state, action), outcomes in mdp.dynamics.items():
        q = sum(p * (r + float(values[s])) for p, r, s in outcomes)
        assert float(weighted[state, action] / weights[state, action]) == pytest.approx(q - float(values[state]))
    means = (policy.logits.detach().softmax(-1) * weighted / weights)[:-1].sum(-1)
    assert means.numpy() == pytest.approx(0, abs=1e-12), "V(s) = Σₐ π(a|s) Q(s, a)"
