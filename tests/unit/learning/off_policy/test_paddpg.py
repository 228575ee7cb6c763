"""PA-DDPG: a step beside the paper's formulas, what is executed of a vector, and what stays within bounds."""

from typing import Any

import numpy as np
import pytest
import torch
from batches import OBSERVATIONS, small_policy
from gymnasium.spaces import Box, Discrete, OneOf
from test_dqn import SGD
from test_gradient_steps import Weights, drawn, equal, followed, hidden, linear, parts_of, q_of, stepped
from torch import Generator, Tensor

import clipper
from clipper.errors import ConfigError
from clipper.learning.learner import Learner
from clipper.networks.heads import BestQ, HeadOptions, Scores
from clipper.networks.make_policy import make_policy

B, K, SIZE = 7, 3, 6  # three scores, two arguments of choice 0, none of choice 1, one of choice 2
SMALL = clipper.PolicyOptions(hidden=(5,), activation="relu", orthogonal=False)
SPACE = OneOf([Box(np.array([0, -2], np.float32), np.array([1, 4], np.float32)), Discrete(1), Box(-1, 1, (1,))])


def made() -> tuple[clipper.PADDPG, Learner]:
    algorithm = clipper.PADDPG(learning_rate=0.05, tau=0.3, optimizer=SGD(), max_grad_norm=float("inf"))  # pyright: ignore[reportArgumentType]
    policy: Any = small_policy("one of", algorithm.policy_options(SMALL)).double()
    with torch.no_grad():
        policy.head.raw.weight *= 4
    learner = algorithm.init(policy, seed=1)
    g = Generator().manual_seed(2)
    for name, module in learner.modules.items():
        for p in module.parameters() if name.startswith("lagged") else ():
            p.add_(0.3 * torch.randn(p.shape, generator=g, dtype=p.dtype))
    return algorithm, learner


def mu(w: Weights, s: Tensor) -> Tensor:
    return linear(w, "head.raw", hidden(w, s))


def test_a_step_inverts_the_gradient_of_each_number() -> None:
    (algorithm, learner), batch = made(), drawn()
    action = 2 * torch.rand(B, SIZE, generator=Generator().manual_seed(5), dtype=torch.float64) - 1
    batch = batch._replace(action=action)
    pi, slow_pi, q, slow_q = parts_of(learner)
    algorithm.gradient_step(learner, batch)

    with torch.no_grad():
        y = batch.reward + batch.discount * q_of(slow_q, 0, batch.next_obs, mu(slow_pi, batch.next_obs).clamp(-1, 1))
    q = stepped(q, ((q_of(q, 0, batch.obs, action) - y) ** 2).mean())
    found = mu(pi, batch.obs)
    p = found.detach().requires_grad_()
    (slopes,) = torch.autograd.grad(q_of(q, 0, batch.obs, p).sum(), p)
    climbed: Any = 0.0
    beyond = 0
    for b in range(B):
        for i in range(SIZE):
            slope, place = float(slopes[b, i]), float(p[b, i].detach())
            beyond += abs(place) > 1
            climbed = climbed + slope * ((1 - place) / 2 if slope > 0 else (place + 1) / 2) * found[b, i]
    assert 0 < beyond < B * SIZE
    pi = stepped(pi, -climbed / B)
    equal(learner.modules["critics"], q)
    equal(learner.policy, pi)
    equal(learner.modules["lagged_critics"], followed(slow_q, q))
    equal(learner.modules["lagged_actor"], followed(slow_pi, pi))


def test_the_legal_choice_of_the_highest_score_is_executed_in_the_environment_s_units() -> None:
    policy: Any = make_policy(OBSERVATIONS, SPACE, clipper.PADDPG().policy_options(SMALL), Generator().manual_seed(0))
    vector = torch.tensor([[0.2, 0.9, -0.5, 0.0, 1.0, 0.5], [0.2, 0.9, -0.5, -1.0, 0.5, 0.25]])
    choice, (first, none, last) = policy.to_env(vector)
    np.testing.assert_array_equal(choice, [1, 1])
    np.testing.assert_allclose(first, [[0.5, 4], [0, 2.5]])
    np.testing.assert_array_equal(none, [0, 0])
    np.testing.assert_allclose(last, [[0.5], [0.25]])
    legal = torch.tensor([[True, False, True], [False, False, True]])
    np.testing.assert_array_equal(policy.to_env(vector, (legal, ((), (), ())))[0], [0, 2])
    again = policy.to_env(policy.from_env((choice, (first, none, last))))
    for ours, theirs in zip((again[0], *again[1]), (choice, first, none, last), strict=True):
        np.testing.assert_allclose(ours, theirs)
    mask = np.array([True, False, False])
    for seed in range(20):
        obs = np.random.default_rng(seed).normal(size=3)
        assert policy.predict(obs, action_mask=(mask, (None, None, None)))[0] == 0


def test_what_is_illegal_is_never_executed_while_it_explores() -> None:
    learner = clipper.PADDPG(epsilon=0.5).init(small_policy("one of", clipper.PADDPG().policy_options(SMALL)))
    g = Generator().manual_seed(3)
    legal = torch.rand(500, K, generator=g) < 0.5
    legal[:, 1] |= ~legal.any(1)
    mask = (legal, ((), (), ()))
    for decisions in (0, 5_000):
        learner.extra["decisions"] += decisions
        vector = learner.behaviour.act(torch.randn(500, 3, generator=g), action_mask=mask)[0].sample(g)
        assert vector.abs().max() <= 1
        choice = learner.policy.to_env(vector.detach(), mask)[0]
        assert legal[torch.arange(500), torch.from_numpy(choice)].all()
        assert len(np.unique(choice)) == K


def test_other_choices_and_other_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="leave out one_of"):
        clipper.PADDPG().policy_options(clipper.PolicyOptions(head=HeadOptions(one_of=BestQ())))
    own = clipper.PolicyOptions(head=HeadOptions(one_of=Scores(0.3)))
    assert clipper.PADDPG().policy_options(own).head.one_of == Scores(0.3)
    with pytest.raises(ConfigError, match=r"not Discrete\(2\)"):
        make_policy(OBSERVATIONS, OneOf([Discrete(2)]), clipper.PADDPG().policy_options(None), Generator())
