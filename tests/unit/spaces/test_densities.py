"""Log-probabilities, entropies and divergences of every space: by enumeration where it is finite, else by sampling."""

import itertools

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Tuple
from spaces.matrix import BOXES, CHOICES, HYBRID, SPACES, AnySpace, observations, policy_for
from spaces.test_masks import random_mask
from torch import Generator

from clipper.algorithms import PPO
from clipper.data.trees import each
from clipper.environments import make
from clipper.learning.action_parts import Joint, Parts, PerPart
from clipper.learning.advantages import Standardised
from clipper.learning.minibatches import minibatches
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.spaces.action_masks import action_masks

STATES = 5


def actions_of(space: gymnasium.Space) -> list:
    """All actions of a finite space, as a policy draws them; unused arguments are 0."""
    match space:
        case Discrete():
            return [torch.tensor(k) for k in range(int(space.n))]
        case MultiDiscrete():
            return [torch.tensor(x) for x in itertools.product(*map(range, space.nvec.reshape(-1)))]
        case MultiBinary():
            return [torch.tensor(x) for x in itertools.product((0, 1), repeat=int(np.prod(space.shape)))]
        case Dict():
            return [dict(zip(space, x, strict=True)) for x in itertools.product(*map(actions_of, space.values()))]
        case Tuple():
            return list(itertools.product(*map(actions_of, space)))
        case OneOf():
            branches = [actions_of(branch) for branch in space.spaces]
            idle = [branch[0] for branch in branches]
            return [
                (torch.tensor(k), (*idle[:k], x, *idle[k + 1 :])) for k, branch in enumerate(branches) for x in branch
            ]
    raise AssertionError(space)


def two_distributions(space: gymnasium.Space, states: int, masked: bool):
    """π and π′ of two policies in some states, in float64, under the same masks."""
    rng = np.random.default_rng(1)
    every = np.ones(states, dtype=bool)
    mask = action_masks(space, [random_mask(space, rng) for _ in every], states, every) if masked else ()
    obs = observations(states).double()
    with torch.no_grad():
        return [policy_for(space, seed).double().act(obs, action_mask=mask)[0] for seed in (0, 1)]


@pytest.mark.parametrize("masked", [False, True], ids=["free", "masked"])
@pytest.mark.parametrize("space", CHOICES.values(), ids=CHOICES)
def test_by_enumeration(space: gymnasium.Space, masked: bool) -> None:
    pi, other = two_distributions(space, STATES, masked)
    every = [each(lambda x: x.expand(STATES, *x.shape), action) for action in actions_of(space)]
    log_p = torch.stack([pi.log_prob(action) for action in every])
    log_q = torch.stack([other.log_prob(action) for action in every])
    p = log_p.exp()
    torch.testing.assert_close(p.sum(0), torch.ones(STATES, dtype=torch.float64))
    safe = p > 0
    assert safe.all() or masked
    torch.testing.assert_close(pi.entropy(), -torch.where(safe, p * log_p, 0).sum(0))
    torch.testing.assert_close(pi.kl(other), torch.where(safe, p * (log_p - log_q), 0).sum(0))
    assert (pi.kl(pi) == 0).all()


@pytest.mark.parametrize("space", (BOXES | HYBRID).values(), ids=BOXES | HYBRID)
def test_by_sampling(space: gymnasium.Space) -> None:
    """Within five standard errors: E[π′/π] = 1, E[−log π] = H and E[log π − log π′] = KL."""
    n = 20_000
    pi, other = two_distributions(space, 1, masked=False)
    # One state, drawn from n times.
    pi, other = (
        type(d)(*each(lambda p: p.expand(n, *p.shape[1:]) if p.ndim > 1 else p, d.params)) for d in (pi, other)
    )
    action = pi.sample(Generator().manual_seed(0))
    log_p, log_q = pi.log_prob(action), other.log_prob(action)
    for drawn, expected in (
        (-log_p, pi.entropy()[0]),
        (log_p - log_q, pi.kl(other)[0]),
        # π′/π has heavy tails; (π+π′)/2π is bounded below and has the same mean.
        ((1 + (log_q - log_p).exp().clamp(max=1e6)) / 2, torch.tensor(1.0, dtype=torch.float64)),
    ):
        error = drawn.std() / n**0.5
        assert (drawn.mean() - expected).abs() < 5 * error + 1e-9


@pytest.mark.parametrize("parts", [Joint(), PerPart()], ids=["joint", "per_part"])
@pytest.mark.parametrize("name", [*HYBRID, "dict of tuple of one-of", "multi-discrete 2-d"])
def test_gradients_by_finite_differences(name: str, parts: Parts) -> None:
    """Of the whole loss, entropy bonus included, along three directions, away from μ."""
    algorithm = PPO(horizon=20, parts=parts, entropy_coef=0.1, advantages=Standardised("batch"), clip=0.5)
    env, policy = make(lambda: AnySpace(SPACES[name]), 2), policy_for(SPACES[name]).double()
    learner = algorithm.init(policy)
    state = VectorRollouts(env, 0)
    steps, _ = state.collect(policy, horizon=20)
    batch = next(minibatches(algorithm.targets(learner, steps, state.obs), 1, 1, Generator()))
    generator = Generator().manual_seed(3)
    theta = learner.parameters.data
    theta.add_(0.02 * torch.randn(theta.shape, generator=generator, dtype=theta.dtype))
    gradient = learner.parameters.grad
    assert gradient is not None
    gradient.zero_()
    algorithm.loss(learner, batch)[0].backward()
    h = 1e-6
    for _ in range(3):
        direction = torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
        slope = (gradient * direction).sum().item()
        values = []
        with torch.no_grad():
            for sign in (1, -1):
                theta.add_(sign * h * direction)
                values.append(algorithm.loss(learner, batch)[0].item())
                theta.sub_(sign * h * direction)
        assert (values[0] - values[1]) / (2 * h) == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", ["discrete", "multi-discrete 2-d", "one of one-of"])
def test_masked_actions_are_never_drawn(name: str, count: int) -> None:
    """Each possible action is, each other one is not, in this many samples of one state."""
    space = SPACES[name]
    every = np.ones(1, dtype=bool)
    mask = action_masks(space, [random_mask(space, np.random.default_rng(2))], 1, every)
    with torch.no_grad():
        dist, _ = policy_for(space).act(
            observations(1).expand(count, 3), action_mask=each(lambda m: m.expand(count, *m.shape[1:]), mask)
        )
        log_prob = dist.log_prob(dist.sample(Generator().manual_seed(0)))
    assert log_prob.min() > -50  # a masked choice has log-probability −1e9
