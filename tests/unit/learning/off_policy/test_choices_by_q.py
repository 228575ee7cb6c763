"""P-DQN and MP-DQN: steps beside a double loop over choices, the fixed point of a hybrid MDP, and how they explore."""

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from batches import ACTIONS, OBSERVATIONS, small_policy
from gymnasium.spaces import Box, Discrete, OneOf
from tabular import MDP, bellman
from test_dqn import SGD
from test_sac_of_choices import drawn, legal_in, placed
from torch import Generator, Tensor

import clipper
from clipper.data.trees import each
from clipper.errors import ConfigError
from clipper.functional.q_targets import inverted_gradient
from clipper.learning.learner import Learner
from clipper.learning.off_policy import ascent
from clipper.learning.replay import Transitions
from clipper.networks.heads import BestQ, HeadOptions
from clipper.networks.make_policy import make_policy

B, K, RATE, SLOW, TAU, ARGUMENT_TAU = 8, 3, 0.05, 0.02, 0.3, 0.1
SIZES = 2, 0, 1
STEPS: dict[str, Any] = {
    "learning_rate": RATE, "argument_learning_rate": SLOW, "tau": TAU, "argument_tau": ARGUMENT_TAU, "optimizer": SGD(),
    "max_grad_norm": float("inf"),
}  # fmt: skip
SMALL = clipper.PolicyOptions(hidden=(5,), activation="relu", orthogonal=False)
KINDS = pytest.mark.parametrize("kind", [clipper.PDQN, clipper.MPDQN], ids=lambda kind: kind.__name__)
Weights = dict[str, Tensor]


def made(algorithm: Any, scale: float = 1.0) -> Learner:
    """A learner in float64, whose lagged copy is another network, and some of whose arguments lie beyond the bounds."""
    policy: Any = small_policy("one of", algorithm.policy_options(SMALL)).double()
    with torch.no_grad():
        for layer in (policy.head.arguments.heads[k].raw for k in (0, 2)):
            layer.weight *= 4 * scale
    learner = algorithm.init(policy, seed=1)
    g = Generator().manual_seed(12)
    for p in learner.modules["lagged"].parameters():
        p.add_(0.3 * torch.randn(p.shape, generator=g, dtype=p.dtype))
    return learner


def weights(module: torch.nn.Module) -> Weights:
    return {name: x.detach().clone().requires_grad_() for name, x in module.named_parameters()}


def arguments_of(w: Weights, s: Tensor) -> list[Tensor]:
    """xₖ of one state, without bounds; none of choice 1."""
    h = torch.relu(s @ w["actor.trunk.0.weight"].T + w["actor.trunk.0.bias"])
    layers = [f"head.arguments.heads.{k}.raw" for k in (0, 2)]
    first, last = (h @ w[f"{name}.weight"].T + w[f"{name}.bias"] for name in layers)
    return [first, torch.zeros(0, dtype=s.dtype), last]


def q_of(kind: type, w: Weights, s: Tensor, x: list[Tensor], k: int) -> Tensor:
    """Q of choice k: of all arguments, or of its own alone."""
    rows = [[own] for own in x] if kind is clipper.PDQN else [[own if j == k else 0 * own] for j, own in enumerate(x)]
    inputs = torch.cat([s, *(own for row in rows for own in row)])
    h = torch.relu(inputs @ w["head.q.weights.0"][0] + w["head.q.biases.0"][0, 0])
    return (h @ w["head.q.weights.1"][0] + w["head.q.biases.1"][0, 0])[k]


def split(batch: Transitions, b: int) -> list[Tensor]:
    x = batch.action[1]
    return [x[0][b], x[0][b, :0], x[2][b]]


def moved(w: Weights, names: list[str], gradients: tuple[Tensor, ...], rate: float) -> None:
    with torch.no_grad():
        for name, slope in zip(names, gradients, strict=True):
            w[name] -= rate * slope


@KINDS
@pytest.mark.parametrize("masked", [False, True])
def test_a_step_is_a_double_loop_over_states_and_choices(kind: Any, masked: bool) -> None:
    algorithm = kind(**STEPS)
    learner, batch = made(algorithm), drawn(masked, arguments=True)
    w, slow = weights(learner.policy), weights(learner.modules["lagged"])
    algorithm.gradient_step(learner, batch)

    errors: Any = 0.0
    for b in range(B):
        x = [own.clamp(-1, 1) for own in arguments_of(slow, batch.next_obs[b])]
        best = max(q_of(kind, slow, batch.next_obs[b], x, k) for k in legal_in(batch.next_mask, b))
        y = (batch.reward[b] + batch.discount[b] * best).detach()
        errors = errors + 0.5 * (q_of(kind, w, batch.obs[b], split(batch, b), int(batch.action[0][b])) - y) ** 2
    of_q = [name for name in w if name.startswith("head.q")]
    moved(w, of_q, torch.autograd.grad(errors / B, [w[name] for name in of_q]), RATE)

    climbed: Any = 0.0
    beyond = 0
    for b in range(B):
        found = arguments_of(w, batch.obs[b])
        x = [own.detach().requires_grad_() for own in found]
        total: Any = sum(q_of(kind, w, batch.obs[b], x, k) for k in legal_in(batch.action_mask, b))
        for k in (0, 2):
            slopes = torch.autograd.grad(total, x[k], retain_graph=True, allow_unused=True)[0]
            for i, slope in enumerate([0.0] * SIZES[k] if slopes is None else slopes):
                place = float(x[k][i].detach())
                beyond += abs(place) > 1
                climbed = climbed + float(slope) * ((1 - place) / 2 if slope > 0 else (place + 1) / 2) * found[k][i]
    assert 0 < beyond < 3 * B
    rest = [name for name in w if name not in of_q and "heads.1" not in name]
    moved(w, rest, torch.autograd.grad(-climbed / B, [w[name] for name in rest]), SLOW)

    for name, x in learner.policy.named_parameters():
        torch.testing.assert_close(x.detach(), w[name].detach(), rtol=1e-9, atol=1e-11)
    for name, x in learner.modules["lagged"].named_parameters():
        tau = TAU if name in of_q else ARGUMENT_TAU
        wanted = (1 - tau) * slow[name] + tau * w[name]
        torch.testing.assert_close(x.detach(), wanted.detach(), rtol=1e-9, atol=1e-11)


@KINDS
def test_whose_arguments_q_of_a_choice_sees(kind: Any) -> None:
    policy: Any = small_policy("one of", kind().policy_options(SMALL))
    x = tuple(torch.rand(4, size, requires_grad=True) for size in (2, 1, 1))
    for k in range(K):
        q = policy.head.q(torch.randn(4, 3), x)[..., k].sum()
        slopes = torch.autograd.grad(q, x, allow_unused=True)
        depends = [s is not None and bool((s != 0).any()) for s in slopes]
        assert depends == ([k == 0, False, k == 2] if kind is clipper.MPDQN else [True, False, True])


def test_the_policy_takes_the_best_choice_of_its_own_arguments_and_clips_these() -> None:
    learner = made(clipper.MPDQN(**STEPS), scale=3)
    w, obs = weights(learner.policy), 3 * torch.randn(20, 3, dtype=torch.float64)
    choice, arguments = learner.policy.act(obs)[0].mode
    for b in range(20):
        x = [own.clamp(-1, 1) for own in arguments_of(w, obs[b])]
        scores = torch.stack([q_of(clipper.MPDQN, w, obs[b], x, k) for k in range(K)])
        assert int(choice[b]) == int(scores.argmax())
        torch.testing.assert_close(arguments[0][b], x[0].detach())
        torch.testing.assert_close(arguments[2][b], x[2].detach())
    assert max(x.abs().max() for x in (arguments[0], arguments[2])) == 1


def test_an_inverted_gradient_is_zero_at_the_bound_that_it_would_cross_and_turns_back_beyond() -> None:
    x = torch.tensor([[1.0, -1.0, 0.0, 1.5, -2.0, 1.0]], requires_grad=True)
    slope = torch.tensor([[3.0, -3.0, 2.0, 2.0, -4.0, -1.0]])
    (found,) = torch.autograd.grad(ascent((slope * x).sum(-1), [x]).sum(), x)
    wanted = torch.tensor([[0.0, 0.0, 1.0, -0.5, 2.0, -1.0]])
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(inverted_gradient(slope, x.detach()), wanted)


SLOPES = torch.tensor([1.5, -0.7], dtype=torch.float64)


def hybrid_bellman() -> Tensor:
    """Q* ``[S, K]`` at the best arguments, ±1, of rewards r(s, k) + vₖ x, where the last choice has no x."""
    q = torch.zeros(MDP.states, K, dtype=torch.float64)
    bonus = torch.tensor([*(max(v * x for x in (-1, 1)) for v in SLOPES.tolist()), 0.0], dtype=torch.float64)
    for _ in range(300):
        v = torch.stack([max(q[s, k] for k in range(K) if MDP.legal[s, k]) for s in range(MDP.states)])
        q = MDP.reward + bonus + MDP.gamma * torch.where(MDP.terminal, 0, v[MDP.after])
    return q


@KINDS
def test_linear_q_and_arguments_find_the_fixed_point_of_a_hybrid_mdp(kind: Any) -> None:
    """Rewards are linear in the arguments, so that the best ones are bounds, and Q* by enumeration of these."""
    space = OneOf([Box(-1, 1, (1,)), Box(-1, 1, (1,)), Discrete(1)])
    algorithm = kind(
        gamma=MDP.gamma, learning_rate=1.5, argument_learning_rate=1.0, tau=0.5, argument_tau=0.5, optimizer=SGD(),
        max_grad_norm=float("inf"),
    )  # fmt: skip
    options = algorithm.policy_options(clipper.PolicyOptions(hidden=(), orthogonal=False))
    learner = algorithm.init(make_policy(Discrete(MDP.states), space, options, Generator().manual_seed(0)).double())
    grid = torch.meshgrid(torch.arange(MDP.states), torch.arange(K), *[torch.tensor([-1, 1])] * 2, indexing="ij")
    state, choice, *x = (part.flatten() for part in grid)
    x = [own.double() for own in x]
    reward = MDP.reward[state, choice] + sum((choice == k) * SLOPES[k] * x[k] for k in (0, 1))
    after, ends = MDP.after[state, choice], MDP.terminal[state, choice]
    discount = torch.where(ends, 0.0, MDP.gamma).double()
    nothing = torch.zeros_like(state)
    masks = [(MDP.legal[s], ((), (), ())) for s in (state, after)]
    batch = Transitions(state, (choice, (x[0][:, None], x[1][:, None], nothing)), reward, discount, after, *masks)
    for _ in range(600):
        algorithm.gradient_step(learner, batch)
    states = torch.arange(MDP.states)
    dist = learner.policy.act(states)[0]
    legal = MDP.legal  # arguments of what is illegal nobody moves
    torch.testing.assert_close(dist.choice.logits[legal].detach(), hybrid_bellman()[legal], atol=1e-3, rtol=0)
    for k, slope in enumerate(SLOPES):
        mean = dist.branches[k].mean[legal[:, k]].detach()
        torch.testing.assert_close(mean, slope.sign().expand_as(mean), atol=1e-3, rtol=0)


@KINDS
def test_choices_without_arguments_find_the_fixed_point_of_q_iteration(kind: Any) -> None:
    algorithm = kind(gamma=MDP.gamma, learning_rate=4.0, tau=0.5, optimizer=SGD(), max_grad_norm=float("inf"))
    options = algorithm.policy_options(clipper.PolicyOptions(hidden=()))
    policy = make_policy(Discrete(MDP.states), OneOf([Discrete(1)] * 3), options, Generator().manual_seed(0))
    learner = algorithm.init(policy.double())
    state, choice = (x.flatten() for x in torch.meshgrid(torch.arange(5), torch.arange(K), indexing="ij"))
    after, ends = MDP.after[state, choice], MDP.terminal[state, choice]
    masks = [(MDP.legal[s], ((),) * 3) for s in (state, after)]
    discount = torch.where(ends, 0.0, MDP.gamma).double()
    action = choice, (torch.zeros_like(choice),) * 3
    batch = Transitions(state, action, MDP.reward[state, choice], discount, after, *masks)
    for _ in range(500):
        algorithm.gradient_step(learner, batch)
    logits = learner.policy.act(torch.arange(MDP.states))[0].choice.logits.detach()
    torch.testing.assert_close(logits, bellman(masked=True, alpha=0), atol=1e-3, rtol=0)


@KINDS
def test_what_is_illegal_is_never_chosen(kind: Any) -> None:
    for decisions, progress in ((0, 0.0), (5_000, 0.0), (5_000, 1.0)):
        learner = kind(epsilon=0.5).init(small_policy("one of", kind().policy_options(SMALL)))
        learner.extra["decisions"] += decisions
        learner.advance(progress)
        g = Generator().manual_seed(3)
        legal = torch.rand(500, K, generator=g) < 0.5
        legal[:, 1] |= ~legal.any(1)
        obs, mask = torch.randn(500, 3, generator=g), (legal, ((), (), ()))
        dist = learner.behaviour.act(obs, action_mask=mask)[0]
        for choice in (dist.sample(g)[0], learner.policy.act(obs, action_mask=mask)[0].mode[0]):
            assert legal[torch.arange(500), choice].all()
            assert len(choice.unique()) == K


def test_with_probability_epsilon_all_is_uniform_and_else_near_the_policy_s() -> None:
    n, epsilon = 4_000, 0.3
    learner = clipper.PDQN(epsilon=epsilon, learning_starts=1).init(
        small_policy("one of", clipper.PDQN().policy_options(SMALL))
    )
    learner.extra["decisions"] += 1
    g = Generator().manual_seed(4)
    obs = torch.randn(1, 3, generator=g).expand(n, -1)
    dist = learner.behaviour.act(obs)[0]
    choice, arguments = dist.sample(g)
    arguments = tuple(x.detach() for x in arguments)
    best, (mean, _, _) = each(torch.detach, learner.policy.act(obs[:1])[0].mode)
    shares = torch.bincount(choice, minlength=K) / n
    wanted = torch.full((K,), epsilon / K)
    wanted[best] += 1 - epsilon
    np.testing.assert_allclose(shares, wanted, atol=4 * (0.25 / n) ** 0.5)
    elsewhere = arguments[0][choice != best][:, 0]
    assert scipy.stats.kstest(elsewhere.numpy(), "uniform", (-1, 2)).pvalue > 0.01
    near = ((arguments[0] - mean).abs() < 0.35).all(-1).float().mean()  # 3.5 σ of the policy's noise
    assert 0.7 < near < 0.7 + epsilon * 0.35**2 + 0.03
    density = dist.log_prob((choice, arguments)).detach()
    assert density.shape == (n,)
    noise = torch.distributions.Normal(mean[0], 0.1)
    inside = (arguments[0].abs() < 1).all(-1) & (choice == 0)
    of_best = (1 - epsilon) * noise.log_prob(arguments[0]).sum(-1).exp() * float(best == 0)
    torch.testing.assert_close(density.exp()[inside], (epsilon / K / 4 + of_best)[inside])


def test_a_choice_by_q_of_another_kind_is_refused() -> None:
    options = clipper.PolicyOptions(head=HeadOptions(one_of=BestQ(passes=False)))
    with pytest.raises(ConfigError, match="leave out one_of"):
        clipper.MPDQN().policy_options(options)
    policy = make_policy(OBSERVATIONS, ACTIONS["one of"], clipper.HybridSAC().policy_options(SMALL), Generator())
    with pytest.raises(ConfigError, match="by a BestHead"):
        clipper.PDQN().init(policy)


def test_a_choice_s_own_arguments_are_all_that_a_pass_holds() -> None:
    x = (torch.ones(2, 2, dtype=torch.float64), torch.zeros(2, 1), 2 * torch.ones(2, 1, dtype=torch.float64))
    assert [placed(x, k, 0).tolist() for k in range(K)] == [[1, 1, 0], [0, 0, 0], [0, 0, 2]]
