"""Natural gradients and trust regions keep their promises: in KL, under rescaling, on tables, and in exact returns."""

import math
from itertools import pairwise

import pytest
import torch
from batches import Kind, decisions, make_steps, small_policy
from tiny_mdp import UNEQUAL_LENGTHS, TabularPolicy, TinyMDP
from torch import Tensor, nn

from clipper.algorithms import NPG, TRPO
from clipper.data.steps import Steps, Targets
from clipper.data.trees import each
from clipper.errors import ConfigError
from clipper.learning.rewards import Raw
from clipper.networks.policy_options import PolicyOptions

KINDS = pytest.mark.parametrize("kind", ["categorical", "gaussian"])


@KINDS
@pytest.mark.parametrize("delta", [0.001, 0.01, 0.1])
def test_no_step_of_trpo_leaves_the_trust_region_or_worsens_the_surrogate(kind: Kind, delta: float) -> None:
    """Measured again, from two policies that are held side by side."""
    policy, old = (small_policy(kind, PolicyOptions(hidden=(8,))) for _ in range(2))
    algorithm = TRPO(delta=delta)
    learner = algorithm.init(policy)
    accepted = 0
    for i in range(8):
        steps, last = make_steps(policy, rows=64, envs=4, seed=i)
        old.load_state_dict(policy.state_dict())
        targets = algorithm.targets(learner, steps, last)
        metrics = algorithm.update(learner, steps, last)
        obs, action = steps.obs[steps.mask], steps.action[steps.mask]
        with torch.no_grad():
            before, after = old.act(obs)[0], policy.act(obs)[0]
            kl = before.kl(after).mean().item()
            ratio = (after.log_prob(action) - before.log_prob(action)).exp()
        assert kl <= delta * (1 + 1e-4)
        assert metrics["policy/kl"].item() == pytest.approx(kl, rel=1e-3, abs=1e-7)
        if metrics["policy/step_scale"] > 0:
            accepted += 1
            assert (ratio * targets.advantage[steps.mask]).mean() > targets.advantage[steps.mask].mean()
        else:
            assert kl == 0
    assert accepted >= 6


def test_a_step_that_nothing_accepts_is_taken_back() -> None:
    policy = small_policy("categorical")
    algorithm = TRPO(delta=50.0, damping=0.0, tries=1, value_epochs=1)  # the quadratic model holds nowhere near there
    learner = algorithm.init(policy)
    steps, last = make_steps(policy, rows=64, envs=4, seed=0)
    before = learner.actor.detach().clone()
    assert algorithm.update(learner, steps, last)["policy/step_scale"] == 0
    assert torch.equal(learner.actor, before)


class Rescaled(nn.Module):
    """The same policies as ``inner``'s, at other parameters: weights θ / c and biases c θ."""

    def __init__(self, kind: Kind, c: float) -> None:
        super().__init__()
        self.inner = small_policy(kind, PolicyOptions(hidden=())).double()  # so that F has no null directions but π's
        for i, p in enumerate(self.inner.actor_parameters()):
            nn.utils.parametrize.register_parametrization(*owner(self.inner, p), Times(c if i % 2 else 1 / c))

    def act(self, obs, memory=(), action_mask=()):
        return self.inner.act(obs)

    def value(self, obs, memory=()):
        return self.inner.value(obs)

    def forward(self, obs, memory=(), action_mask=()):
        return self.inner(obs)

    def actor_parameters(self):
        return self.inner.actor_parameters()

    def critic_parameters(self):
        return self.inner.critic_parameters()

    def to_env(self, action, action_mask=()):
        return self.inner.to_env(action)

    def absorb(self, obs, returns) -> None:
        pass


class Times(nn.Module):
    """θ = c θ′."""

    def __init__(self, c: float) -> None:
        super().__init__()
        self.c = c

    def forward(self, x: Tensor) -> Tensor:
        return self.c * x

    def right_inverse(self, x: Tensor) -> Tensor:
        return x / self.c


def rows(decisions: Targets) -> Targets:
    """``[D]`` → ``[D, 1]``, as rows of one environment."""
    return each(lambda x: x[:, None], decisions)


def owner(module: nn.Module, parameter: nn.Parameter) -> tuple[nn.Module, str]:
    return next((m, n) for m in module.modules() for n, p in m.named_parameters(recurse=False) if p is parameter)


@KINDS
@pytest.mark.parametrize("algorithm", [NPG, TRPO], ids=lambda a: a.__name__)
def test_the_step_does_not_depend_on_how_the_policy_is_parametrised(kind: Kind, algorithm: type[NPG | TRPO]) -> None:
    """Without damping and with exact solves, rescaled layers learn the same distributions; plain gradients do not."""
    settings = algorithm(damping=0.0, cg_iterations=400, delta=0.002, value_epochs=1)
    after, plain = [], []
    for c in (1.0, 3.0):
        policy = Rescaled(kind, c)
        steps, last = make_steps(policy.inner, rows=60, envs=4, seed=1)
        learner = settings.init(policy)
        batch = decisions(settings.targets(learner, steps, last))
        start = learner.actor.detach().clone()
        loss, _ = settings.loss(learner, batch)
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, policy.actor_parameters())])
        with torch.no_grad():
            learner.actor.sub_(0.1 * gradient)
            plain.append(torch.cat([x.flatten() for x in policy.act(batch.steps.obs)[0].params]))
            learner.actor.copy_(start)
        settings.improve(learner, rows(batch))
        with torch.no_grad():
            after.append(torch.cat([x.flatten() for x in policy.act(batch.steps.obs)[0].params]))
    if kind == "categorical":  # logits count up to a constant per state
        after, plain = ([x.view(-1, 3).softmax(-1) for x in pair] for pair in (after, plain))
    torch.testing.assert_close(after[0], after[1], rtol=1e-4, atol=1e-6)
    assert (plain[0] - plain[1]).abs().max() > 1e-3


def test_npg_on_a_table_is_the_multiplicative_update() -> None:
    """π′(a|s) ∝ π(a|s) exp(η A(s, a)) (Agarwal et al. 2021, arXiv:1908.00261, lemma 15), η = √(2δ / Σ d π A²).

    Every state's actions appear as often as π takes them, so that the batch's averages are exact.
    """
    policy = TabularPolicy(UNEQUAL_LENGTHS, seed=0)
    probability = torch.tensor([[0.25, 0.75], [0.5, 0.5], [0.75, 0.25], [0.5, 0.5]], dtype=torch.float64)
    with torch.no_grad():
        policy.logits.copy_(probability.log())
    state = torch.arange(3).repeat_interleave(4)
    action = torch.tensor([0, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1])
    q = torch.tensor([[1.0, -0.5], [0.3, 2.0], [-1.0, 0.7], [0.0, 0.0]], dtype=torch.float64)
    advantages = q - (probability * q).sum(-1, keepdim=True)
    no, yes = torch.zeros(12, dtype=torch.bool), torch.ones(12, dtype=torch.bool)
    zero = torch.zeros(12, dtype=torch.float64)
    steps = Steps(state, action, probability.log()[state, action], zero, no, no, yes)
    settings = NPG(delta=0.05, damping=0.0, cg_iterations=50, value_epochs=1)
    learner = settings.init(policy)
    settings.improve(learner, rows(Targets(steps, advantages[state, action], zero, zero)))
    eta = math.sqrt(2 * 0.05 / float((probability[:3] * advantages[:3] ** 2).sum() / 3))
    expected = (probability * (eta * advantages).exp())[:3]
    expected /= expected.sum(-1, keepdim=True)
    torch.testing.assert_close(policy.logits.detach()[:3].softmax(-1), expected, rtol=1e-9, atol=1e-12)


def exact_batch(mdp: TinyMDP, policy: TabularPolicy) -> tuple[float, Targets]:
    """J, and one row per (s, a) with Â = d(s) π(a|s) A(s, a) · rows, whose mean surrogate is exact up to d's shift."""
    with torch.no_grad():
        values, chosen = mdp.exact_values(policy), policy.logits.softmax(-1)
        visits = torch.zeros(len(values), dtype=torch.float64)
        for t in mdp.trajectories():
            for s in t.states[:-1]:
                visits[s] += t.probability(policy)
        pairs = sorted(mdp.dynamics)
        state, action = torch.tensor(pairs).unbind(1)
        q = torch.tensor([sum(p * (r + float(values[s])) for p, r, s in mdp.dynamics[k]) for k in pairs]).double()
        advantage = visits[state] * chosen[state, action] * (q - values[state]) * len(pairs)
        log_prob = chosen.log()[state, action]
    no, zero = torch.zeros(len(pairs), dtype=torch.bool), torch.zeros(len(pairs), dtype=torch.float64)
    j = float(sum(p * values[s] for s, p in mdp.start.items()))
    return j, Targets(Steps(state, action, log_prob, zero, no, no, ~no), advantage, zero, zero)


@pytest.mark.parametrize("seed", range(4))
def test_trpo_with_exact_advantages_never_worsens_the_return(seed: int) -> None:
    policy = TabularPolicy(UNEQUAL_LENGTHS, seed)
    algorithm = TRPO(delta=0.01, advantages=Raw(), value_epochs=1, value_minibatches=1)
    learner = algorithm.init(policy)
    returns = []
    for _ in range(120):
        j, batch = exact_batch(UNEQUAL_LENGTHS, policy)
        returns.append(j)
        algorithm.improve(learner, rows(batch))
    assert all(b >= a - 1e-12 for a, b in pairwise(returns))
    # The best that any policy reaches, by backward induction over states that are never met twice.
    best = [0.0] * 4
    for s in (2, 1, 0):
        best[s] = max(sum(p * (r + best[n]) for p, r, n in UNEQUAL_LENGTHS.dynamics[s, a]) for a in (0, 1))
    optimum = sum(p * best[s] for s, p in UNEQUAL_LENGTHS.start.items())
    assert optimum - returns[0] > 0.2
    assert returns[-1] > optimum - 0.05 * (optimum - returns[0])


@KINDS
@pytest.mark.parametrize("algorithm", [NPG, TRPO], ids=lambda a: a.__name__)
def test_the_critic_learns_apart_from_the_actor(kind: Kind, algorithm: type[NPG | TRPO]) -> None:
    policy = small_policy(kind)
    settings = algorithm(delta=1e-12, value_learning_rate=0.01, value_epochs=200, lam=1.0)
    learner = settings.init(policy)
    steps, last = make_steps(policy, rows=16, envs=2, seed=0)
    before = [p.detach().clone() for p in policy.actor_parameters()]
    target = settings.targets(learner, steps, last).value_target[steps.mask]
    errors = []
    for rounds in range(2):
        errors.append((policy.value(steps.obs[steps.mask]).mean - target).square().mean().item())
        settings.update(learner, steps, last) if rounds == 0 else None
    assert errors[1] < 0.5 * errors[0]
    moved = max((p - b).abs().max().item() for p, b in zip(policy.actor_parameters(), before, strict=True))
    assert moved < 1e-4


@pytest.mark.parametrize("algorithm", [NPG, TRPO], ids=lambda a: a.__name__)
def test_shared_trunks_are_refused(algorithm: type[NPG | TRPO]) -> None:
    with pytest.raises(ConfigError, match="separate trunks"):
        algorithm().init(small_policy("categorical", PolicyOptions(hidden=(4,), shared=True)))
