"""What the critic is fitted to: expectations by enumeration, and a critic that lags behind by hand."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from batches import make_steps, small_policy
from tiny_mdp import UNEQUAL_LENGTHS, TabularPolicy, recorded
from torch import Tensor

from clipper.algorithms import A2C, NPG, PPO, TRPO, VPG, PPOPenalty, PPOSeparate
from clipper.learning.critic_targets import TD0, CriticTarget, MonteCarlo, NStep, Periodic, Polyak, TDLambda
from clipper.learning.rewards import Scaled
from clipper.networks.critics import PopArt
from clipper.networks.normalise import ReturnNormaliser
from clipper.networks.policy_options import PolicyOptions

ALGORITHMS = (PPO, PPOSeparate, PPOPenalty, A2C, VPG, NPG, TRPO)


def mean_targets(policy: TabularPolicy, target: CriticTarget) -> Tensor:
    """E[target | s] for the states that are not terminal, over all trajectories."""
    algorithm = PPO(gamma=1.0, critic_target=target)
    learner, sums, weights = algorithm.init(policy), torch.zeros(3).double(), torch.zeros(3).double()
    for trajectory in UNEQUAL_LENGTHS.trajectories():
        chance = trajectory.probability(policy).detach()
        steps = recorded([trajectory], policy)
        targets = algorithm.targets(learner, steps, steps.obs[-1])
        sums.index_add_(0, steps.obs[steps.mask], chance * targets.value_target[steps.mask])
        weights.index_add_(0, steps.obs[steps.mask], chance.expand(int(steps.mask.sum())))
    return sums / weights


@pytest.mark.parametrize("target", [MonteCarlo(), TD0(), NStep(2), TDLambda(0.3)], ids=repr)
def test_the_true_values_are_the_fixed_point(target: CriticTarget) -> None:
    policy = TabularPolicy(UNEQUAL_LENGTHS, seed=0)
    true = UNEQUAL_LENGTHS.exact_values(policy)
    with torch.no_grad():
        policy.values[:3] = true[:3]
    torch.testing.assert_close(mean_targets(policy, target), true[:3], rtol=1e-12, atol=1e-12)


def test_only_monte_carlo_does_not_care_what_the_critic_says() -> None:
    policy = TabularPolicy(UNEQUAL_LENGTHS, seed=0)
    true = UNEQUAL_LENGTHS.exact_values(policy)[:3]
    bias = [(mean_targets(policy, t) - true).abs().max().item() for t in (MonteCarlo(), TDLambda(0.5), TD0())]
    assert bias[0] < 1e-12
    assert 0.01 < bias[1] < bias[2]


def test_td0_iterated_finds_the_true_values() -> None:
    """V ← E[target] from wrong values: as many sweeps as an episode has decisions."""
    policy = TabularPolicy(UNEQUAL_LENGTHS, seed=0)
    for _ in range(UNEQUAL_LENGTHS.time_limit):
        with torch.no_grad():
            policy.values[:3] = mean_targets(policy, TD0())
    true = UNEQUAL_LENGTHS.exact_values(policy)[:3]
    torch.testing.assert_close(policy.values.detach()[:3], true, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_every_actor_critic_has_them_beside_an_advantage_that_stays(kind: type[PPO]) -> None:
    policy = small_policy("categorical").double()
    steps, last = make_steps(policy, rows=20, envs=3, seed=0)
    found = []
    for target in (None, TDLambda(kind().lam), TD0(), NStep(1), TDLambda(0.0)):
        algorithm = kind(critic_target=target)
        found.append(algorithm.targets(algorithm.init(deepcopy(policy)), steps, last))
    mask = steps.mask
    own, same, td0, one, zero = (x.value_target[mask] for x in found)
    assert torch.equal(own, same)
    torch.testing.assert_close(td0, one, rtol=0, atol=0)
    torch.testing.assert_close(td0, zero, rtol=1e-12, atol=1e-12)
    assert (own - td0).abs().max() > 0.1
    assert all(torch.equal(x.advantage[mask], found[0].advantage[mask]) for x in found)


def test_a_periodic_copy_is_as_old_as_it_should_be() -> None:
    """k = 3: updates 0, 1, 2 bootstrap from the first critic, 3, 4, 5 from that before update 3."""
    policy = small_policy("categorical").double()
    algorithm = PPO(epochs=1, gamma=0.9, critic_target=TD0(lag=Periodic(3)))
    learner = algorithm.init(policy)
    judges = []
    for i in range(7):
        if i % 3 == 0:
            judges.append(deepcopy(policy))
        steps, last = make_steps(policy, rows=8, envs=2, seed=i)
        with torch.no_grad():
            value = judges[-1].value(torch.cat([steps.obs, last[None]])).mean
        expected = steps.reward + 0.9 * value[1:] * ~steps.terminated
        seen = algorithm.targets(deepcopy(learner), steps, last).value_target
        torch.testing.assert_close(seen[steps.mask], expected[steps.mask], rtol=1e-12, atol=1e-12)
        algorithm.update(learner, steps, last)
    assert len(judges) == 3


def test_an_averaged_copy_is_the_weighted_sum_of_the_past() -> None:
    """τ = 1/4: θ⁻ = Σ τ (1 − τ)ʲ θ of j updates ago, and the rest of the first; statistics are those of now."""
    policy = small_policy("categorical", PolicyOptions(hidden=(5,), normalise_obs=True)).double()
    algorithm = A2C(critic_target=TDLambda(1.0, lag=Polyak(0.25)))
    learner = algorithm.init(policy)
    past = [learner.parameters.detach().clone()]
    slow = past[0]
    for i in range(5):
        steps, last = make_steps(policy, rows=8, envs=2, seed=i)
        statistics = [b.clone() for b in policy.buffers()]
        past.append(learner.parameters.detach().clone())
        algorithm.update(learner, steps, last)
        average = 0.75 ** (i + 1) * past[0]
        for j, parameters in enumerate(reversed(past[1:])):
            average = average + 0.25 * 0.75**j * parameters
        slow = torch.cat([p.flatten() for p in learner.lagged.parameters()])
        torch.testing.assert_close(slow, average, rtol=1e-12, atol=1e-14)
        assert all(map(torch.equal, learner.lagged.buffers(), statistics))
    assert (slow - learner.parameters).abs().max() > 1e-4


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_a_copy_that_never_lags_changes_nothing(kind: type[PPO]) -> None:
    ends = []
    for target in (None, Periodic(1), Polyak(1.0), Polyak(0.1)):
        policy = small_policy("categorical").double()
        algorithm = kind(critic_target=TDLambda(0.95, lag=target))
        learner = algorithm.init(policy)
        for i in range(3):
            algorithm.update(learner, *make_steps(policy, rows=8, envs=2, seed=i))
        ends.append(learner.parameters.detach())
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])
    assert not torch.equal(ends[0], ends[3])


@pytest.mark.parametrize("target", [Periodic(3), Polyak(0.2)], ids=repr)
def test_a_resumed_learner_goes_on_as_if_nothing_had_been(target: Periodic | Polyak) -> None:
    algorithm = PPO(epochs=2, critic_target=TDLambda(0.95, lag=target), rewards=Scaled())
    policies = [small_policy("gaussian", seed=seed) for seed in (0, 1)]
    first, second = (algorithm.init(policy) for policy in policies)
    batches = [make_steps(policies[0], rows=8, envs=2, seed=i) for i in range(5)]
    for batch in batches[:2]:
        algorithm.update(first, *batch)
    second.load_state_dict({name: x.clone() for name, x in first.state_dict().items()})
    for batch in batches[2:]:
        algorithm.update(first, *batch)
        algorithm.update(second, *batch)
    ours, theirs = first.state_dict(), second.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("options", [{"critic": PopArt(0.5)}, {"normalise_returns": True}], ids=["pop-art", "running"])
@torch.no_grad()
def test_an_averaged_copy_has_the_units_of_the_present(options: dict[str, Any]) -> None:
    """Where units move and nothing is learned, the copy's V stays; where it follows, its layer is averaged in one unit.

    With one linear layer the average of weights in one unit is the average of values.
    """
    for tau in (0.0, 0.3):
        policy = small_policy("categorical", PolicyOptions(hidden=(), **options)).double()
        learner = A2C(critic_target=TDLambda(1.0, lag=Polyak(tau))).init(policy)
        x, expected = torch.randn(50, 3, dtype=torch.float64), None
        for i in range(4):
            steps, _ = make_steps(policy, rows=8, envs=4, seed=i)
            expected = policy.value(x).mean if expected is None else expected
            expected = expected + tau * (policy.value(x).mean - expected)
            learner.lagged_value(steps.obs, (), again=False)
            torch.testing.assert_close(learner.lagged.value(x).mean, expected, rtol=1e-9, atol=1e-7)
            policy.absorb(steps.obs[steps.mask], 500 + 100 * torch.randn(int(steps.mask.sum()), dtype=torch.float64))
        assert isinstance(policy.returns, ReturnNormaliser)
        assert policy.returns.moments.mean > 100
