"""Off-policy gradients: exact in expectation where they promise it, biased where they say so, and gated by the KL."""

import math
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from batches import Kind, make_steps, small_policy
from tiny_mdp import CUT_SHORT, UNEQUAL_LENGTHS, TabularPolicy, TinyMDP, recorded
from torch import Tensor

from clipper.algorithms import ImportanceSampling
from clipper.data.steps import Steps, Targets
from clipper.distributions import Categorical
from clipper.functional.importance import effective_sample_size, weighted_cross_entropy
from clipper.functional.objectives import policy_gradient
from clipper.learning.importance_weights import (
    CausalProduct,
    FirstOrder,
    ImportanceWeights,
    SelfNormalised,
    WholeTrajectory,
)

MDPS = pytest.mark.parametrize("mdp", [UNEQUAL_LENGTHS, CUT_SHORT], ids=["unequal lengths", "truncated"])


def moved(mu: TabularPolicy, by: float) -> TabularPolicy:
    """π′, ``by`` away from μ in a fixed direction."""
    policy = deepcopy(mu)
    noise = torch.randn(mu.logits.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    with torch.no_grad():
        policy.logits.add_(by * noise)
    return policy


def true_gradient(mdp: TinyMDP, policy: TabularPolicy) -> Tensor:
    j = sum(t.probability(policy) * sum(t.rewards) for t in mdp.trajectories())
    return torch.autograd.grad(torch.as_tensor(j), policy.logits)[0]


def estimates(mdp: TinyMDP, mu: TabularPolicy, policy: TabularPolicy, **options: Any) -> tuple[Tensor, Tensor]:
    """Each trajectory's probability under μ, and −∇ of the whole loss for π′ from it."""
    settings = ImportanceSampling(gamma=1.0, value_coef=0.0, **options)
    learner, other = settings.init(mu), settings.init(policy)
    chances, gradients = [], []
    for t in mdp.trajectories():
        steps = recorded([t], mu)
        loss, _ = settings.loss(other, settings.targets(learner, steps, steps.obs[-1]))
        chances.append(t.probability(mu).detach())
        gradients.append(-torch.autograd.grad(loss, policy.logits)[0])
    return torch.stack(chances), torch.stack(gradients)


@MDPS
@pytest.mark.parametrize("weights", [WholeTrajectory(), CausalProduct()])
@pytest.mark.parametrize("baseline", [False, True])
def test_products_are_unbiased_wherever_the_policy_is(mdp: TinyMDP, weights: ImportanceWeights, baseline: bool) -> None:
    mu = TabularPolicy(mdp, seed=0)
    for by in (0.0, 0.3, 1.0):
        policy = moved(mu, by)
        chance, gradient = estimates(mdp, mu, policy, weights=weights, baseline=baseline)
        expected = true_gradient(mdp, policy)
        torch.testing.assert_close(torch.einsum("t,tsa->sa", chance, gradient), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("weights", [WholeTrajectory(), CausalProduct(), FirstOrder()])
def test_credit_is_the_sum_as_it_is_written(weights: ImportanceWeights) -> None:
    """The baseline with its sign, too: in expectation its part is 0, whatever it is."""
    generator = torch.Generator().manual_seed(3)
    log_ratio, reward, baseline = 0.5 * torch.randn(3, 6, 2, generator=generator, dtype=torch.float64)
    done, mask, gamma = torch.zeros(6, 2, dtype=torch.bool), torch.ones(6, 2, dtype=torch.bool), 0.9
    done[2, 0] = done[3, 1] = done[-1] = True
    log_weight = weights.log_weight(log_ratio, done, mask)
    found = weights.credit(log_weight, reward, baseline, done, mask, gamma)
    ratio = log_ratio.exp().numpy()
    for column, starts in enumerate(([0, 3, 6], [0, 4, 6])):
        for first, end in pairwise(starts):
            r, g, b = (x[first:end, column] for x in (ratio, reward.numpy(), baseline.numpy()))
            for t in range(end - first):
                later = range(t, end - first)
                if isinstance(weights, CausalProduct):
                    expected = (
                        sum(gamma ** (k - t) * r[: k + 1].prod() * g[k] for k in later) - r[: t + 1].prod() * b[t]
                    )
                else:
                    w = r.prod() if isinstance(weights, WholeTrajectory) else r[t]
                    expected = w * (sum(gamma ** (k - t) * g[k] for k in later) - b[t])
                assert found[first + t, column].item() == pytest.approx(expected, rel=1e-12)


@MDPS
def test_one_ratio_a_step_is_exact_at_theta_and_its_bias_grows_with_the_kl(mdp: TinyMDP) -> None:
    mu = TabularPolicy(mdp, seed=0)
    biases, kls = [], []
    for by in (0.0, 0.1, 0.2, 0.4, 0.8):
        policy = moved(mu, by)
        chance, gradient = estimates(mdp, mu, policy, weights=FirstOrder(), baseline=False)
        biases.append((torch.einsum("t,tsa->sa", chance, gradient) - true_gradient(mdp, policy)).norm().item())
        kls.append(Categorical(mu.logits.detach()).kl(Categorical(policy.logits.detach())).mean().item())
    assert biases[0] < 1e-13
    assert biases == sorted(biases)
    assert kls == sorted(kls)
    assert biases[1] > 1e-3
    assert biases[-1] > 3 * biases[1]


@MDPS
def test_the_causal_product_has_the_smaller_variance(mdp: TinyMDP) -> None:
    mu = TabularPolicy(mdp, seed=0)
    variances = []
    for weights in (WholeTrajectory(), CausalProduct()):
        chance, gradient = estimates(mdp, mu, moved(mu, 0.7), weights=weights, baseline=False)
        mean = torch.einsum("t,tsa->sa", chance, gradient)
        variances.append((chance * (gradient - mean).square().sum((1, 2))).sum().item())
    assert variances[1] < 0.97 * variances[0]


@MDPS
@pytest.mark.parametrize("regulariser", [0.0, 0.3])
def test_self_normalised_weights_climb_their_objective(mdp: TinyMDP, regulariser: float) -> None:
    """−∇loss is the slope of Σ wᵢ Rᵢ / Z + λ log Z by central differences, of a batch in which trajectories recur."""
    mu = TabularPolicy(mdp, seed=0)
    policy = moved(mu, 0.6)
    batch = [t for i, t in enumerate(mdp.trajectories()) for _ in range(1 + i % 3)]
    settings = ImportanceSampling(gamma=1.0, value_coef=0.0, weights=SelfNormalised(regulariser))
    steps = recorded(batch, mu)
    loss, _ = settings.loss(settings.init(policy), settings.targets(settings.init(mu), steps, steps.obs[-1]))
    found = -torch.autograd.grad(loss, policy.logits)[0]

    def objective() -> float:
        weights = [float((t.probability(policy) / t.probability(mu)).detach()) for t in batch]
        mean = sum(w * sum(t.rewards) for w, t in zip(weights, batch, strict=True)) / sum(weights)
        return mean + regulariser * math.log(sum(weights))

    for place in torch.cartesian_prod(*map(torch.arange, policy.logits.shape)).tolist():
        values = []
        for by in (1e-5, -1e-5):
            with torch.no_grad():
                policy.logits[tuple(place)] += by
                values.append(objective())
                policy.logits[tuple(place)] -= by
        assert found[tuple(place)].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6, abs=1e-9)


def long_episode(ratio: float, length: int) -> tuple[ImportanceSampling, Any, Targets]:
    """An episode of that many decisions, each of which π′ takes ``ratio`` times as often as μ did."""
    settings = ImportanceSampling(weights=WholeTrajectory())
    policy = small_policy("categorical")
    steps, last = make_steps(policy, rows=length, envs=1, seed=0)
    no, yes = torch.zeros(length, 1, dtype=torch.bool), torch.ones(length, 1, dtype=torch.bool)
    ends = no.clone()
    ends[-1] = True
    steps = steps._replace(reward=torch.ones(length, 1), terminated=ends, done=ends, mask=yes)
    learner = settings.init(policy)
    targets = settings.targets(learner, steps, last)
    shifted = steps._replace(log_prob=steps.log_prob - math.log(ratio))
    return settings, learner, targets._replace(steps=shifted)


@pytest.mark.parametrize(("length", "underflow"), [(100, 0.0), (1500, 1.0)])
def test_a_product_over_a_long_episode_underflows_and_says_so(length: int, underflow: float) -> None:
    """0.9¹⁵⁰⁰ ≈ 2 · 10⁻⁶⁹ is 0 in float32: the batch teaches nothing any more."""
    settings, learner, targets = long_episode(0.9, length)
    loss, metrics = settings.loss(learner, targets)
    assert loss.isfinite()
    assert metrics["importance/underflow"].item() == underflow
    assert metrics["loss/policy"].item() == 0 if underflow else metrics["loss/policy"].item() != 0


def test_a_huge_product_stays_finite() -> None:
    settings, learner, targets = long_episode(1.5, 1500)
    loss, _ = settings.loss(learner, targets)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in learner.policy.parameters() if p.grad is not None)


def test_effective_sample_size_by_hand() -> None:
    for weights, expected in (([1.0] * 5, 5.0), ([1.0, 0.0, 0.0], 1.0), ([3.0, 1.0], 1.6), ([2e-30, 1e-30], 1.8)):
        log_weight = torch.tensor(weights, dtype=torch.float64).log()
        assert effective_sample_size(log_weight).item() == pytest.approx(expected, rel=1e-12)


def test_the_classifiers_loss_is_the_policy_gradients() -> None:
    """Cross-entropy with the action as label, weighed by the credit; against torch's weighted sum too."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    action = torch.randint(4, (7, 3), generator=generator)
    credit = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    ours = weighted_cross_entropy(logits, action, credit)
    theirs = policy_gradient(Categorical(logits).log_prob(action), credit)
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)
    onehot = -(F.one_hot(action, 4) * logits.log_softmax(-1)).sum(-1) * credit
    torch.testing.assert_close(ours, onehot, rtol=1e-13, atol=1e-13)
    for form in (theirs, onehot):
        for a, b in zip(*(torch.autograd.grad(x.sum(), logits, retain_graph=True) for x in (ours, form)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


def episodes(kind: Kind) -> tuple[Any, Steps, Tensor]:
    policy = small_policy(kind)
    steps, last = make_steps(policy, rows=40, envs=6, seed=0)
    return policy, steps, last


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_the_gate_closes_when_the_kl_has_passed_sigma(kind: Kind) -> None:
    """As many steps as it took, no more: one fewer leaves the KL within σ, the last one passed it."""
    sigma = 0.002
    settings = ImportanceSampling(sigma=sigma, max_steps=50, learning_rate=3e-3)
    policy, steps, last = episodes(kind)
    metrics = settings.update(settings.init(policy), steps, last)
    taken = int(metrics["importance/reuses"]) + 1
    assert 2 < taken < 50
    assert metrics["importance/discarded"] == 1
    for count, within in ((taken - 1, True), (taken, False)):
        policy, steps, last = episodes(kind)
        old = deepcopy(policy)
        fewer = ImportanceSampling(sigma=sigma, max_steps=count, learning_rate=3e-3)
        metrics = fewer.update(fewer.init(policy), steps, last)
        assert metrics["importance/discarded"] == 0
        with torch.no_grad():
            kl = old.act(steps.obs)[0].kl(policy.act(steps.obs)[0])[steps.mask].mean().item()
        assert (kl <= sigma) == within


def test_an_open_gate_uses_the_batch_to_the_end() -> None:
    settings = ImportanceSampling(sigma=1e9, max_steps=4)
    policy, steps, last = episodes("categorical")
    metrics = settings.update(settings.init(policy), steps, last)
    assert metrics["importance/reuses"] == 3
    assert metrics["importance/discarded"] == 0
    assert 0 < metrics["importance/effective_fraction"] <= 1
