"""The penalised surrogate: its rule for β, its exact KL, its gradient, and β across a resumption."""

from copy import deepcopy

import pytest
import torch
from batches import Kind, make_steps, small_policy

from clipper.algorithms import PPOPenalty
from clipper.errors import ConfigError
from clipper.functional.objectives import adapt_penalty
from clipper.learning.minibatches import minibatches
from clipper.learning.rewards import Raw
from clipper.networks.policy_options import PolicyOptions

KINDS = pytest.mark.parametrize("kind", ["categorical", "gaussian"])


@pytest.mark.parametrize(
    ("kl", "expected"),
    [(0.0, 1.5), (0.0066, 1.5), (0.0067, 3.0), (0.01, 3.0), (0.0149, 3.0), (0.0151, 6.0), (1.0, 6.0)],
)
def test_the_rule(kl: float, expected: float) -> None:
    """d_targ = 0.01: below 0.00667 β = 3 is halved, above 0.015 doubled."""
    assert adapt_penalty(torch.tensor(3.0), torch.tensor(kl), 0.01).item() == expected


@KINDS
def test_the_loss_is_the_surrogate_and_beta_times_the_kl(kind: Kind) -> None:
    """Value and gradient, on one shuffled minibatch after the policy has moved, from two policies held side by side."""
    policy = small_policy(kind, PolicyOptions(hidden=(4,))).double()
    old = deepcopy(policy)
    settings = PPOPenalty(advantages=Raw(), value_coef=0.0)
    learner = settings.init(policy)
    steps, last = make_steps(policy, rows=20, envs=3, seed=0)
    targets = settings.targets(learner, steps, last)
    with torch.no_grad():
        learner.parameters.add_(0.1 * torch.randn(learner.parameters.shape, generator=learner.generator).double())
    batch = next(minibatches(targets, 1, 3, learner.generator))
    learner.extra["beta"] = torch.tensor(2.5, dtype=torch.float64)
    loss, metrics = settings.loss(learner, batch)
    now, before = policy.act(batch.steps.obs)[0], old.act(batch.steps.obs)[0]
    ratio = (now.log_prob(batch.steps.action) - before.log_prob(batch.steps.action).detach()).exp()
    frozen = type(before)(*(p.detach() for p in before.params))
    kl = frozen.kl(now).mean()
    expected = 2.5 * kl - (ratio * batch.advantage).mean()
    assert kl > 1e-3
    assert metrics["policy/kl"].item() == pytest.approx(kl.item(), rel=1e-10)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    ours, theirs = (torch.autograd.grad(x, policy.actor_parameters()) for x in (loss, expected))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-13)


@KINDS
def test_the_hinge_adds_the_square_of_what_is_beyond_twice_the_target(kind: Kind) -> None:
    """DPPO's; value and gradient beside the loss without it, on either side of the hinge."""
    policy = small_policy(kind, PolicyOptions(hidden=(4,))).double()
    old = deepcopy(policy)
    plain = PPOPenalty(hinge=0.0)
    learner = plain.init(policy)
    steps, last = make_steps(policy, rows=20, envs=3, seed=0)
    batch = next(minibatches(plain.targets(learner, steps, last), 1, 3, learner.generator))
    with torch.no_grad():
        learner.parameters.add_(0.1 * torch.randn(learner.parameters.shape, generator=learner.generator).double())
    before = old.act(batch.steps.obs)[0]
    kl = type(before)(*(p.detach() for p in before.params)).kl(policy.act(batch.steps.obs)[0]).mean()
    mean = kl.item()
    for target, beyond in ((mean / 5, 3 / 5 * mean), (mean, 0.0)):
        hinged = PPOPenalty(kl_target=target, hinge=50.0).loss(learner, batch)[0]
        assert hinged.item() == pytest.approx(plain.loss(learner, batch)[0].item() + 50 * beyond**2, rel=1e-9)
        slopes = [
            torch.autograd.grad(x, policy.actor_parameters(), retain_graph=True)
            for x in (hinged, plain.loss(learner, batch)[0] + 50 * 2 * beyond * kl)
        ]
        for a, b in zip(*slopes, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-13)


def test_a_hinge_needs_its_target() -> None:
    with pytest.raises(ConfigError, match="set kl_target"):
        PPOPenalty(hinge=1.0, kl_target=None).init(small_policy("gaussian"))


@KINDS
def test_beta_holds_the_kl_near_its_target(kind: Kind) -> None:
    """From a β that is far too small, updates that overshoot end up within the rule's band or next to it."""
    policy = small_policy(kind)
    settings = PPOPenalty(beta=1e-3, kl_target=0.01, learning_rate=0.01)
    learner = settings.init(policy)
    kl, beta = [], []
    for i in range(40):
        metrics = settings.update(learner, *make_steps(policy, rows=32, envs=4, seed=i))
        kl.append(metrics["policy/kl"].item())
        beta.append(metrics["policy/beta"].item())
    assert max(kl[:4]) > 0.03
    assert sum(kl[-15:]) / 15 < 0.03
    assert beta[-1] > 0.1
    for before, after, d in zip(beta, beta[1:], kl, strict=False):
        assert after / before == pytest.approx(0.5 if d < 0.01 / 1.5 else 2 if d > 0.015 else 1)


def test_a_fixed_beta_stays() -> None:
    policy = small_policy("categorical")
    settings = PPOPenalty(beta=3.0, kl_target=None)
    learner = settings.init(policy)
    for i in range(3):
        assert settings.update(learner, *make_steps(policy, rows=32, envs=4, seed=i))["policy/beta"] == 3.0
