"""The way back from an environment's units, and distributions and values from what an environment gives."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete, OneOf, Tuple
from scipy.stats import norm
from spaces.matrix import OBSERVATIONS, SPACES, observations, policy_for

import clipper
from clipper.data.trees import leaves
from clipper.errors import ConfigError
from clipper.networks.heads import GSDE, Beta, BoxDistribution, TanhGaussian
from clipper.spaces.actions import element

EVERY = pytest.mark.parametrize("name", SPACES)


def made(space: gymnasium.Space, **head: Any) -> clipper.ActorCritic:
    options = clipper.PolicyOptions(hidden=(6,), head=clipper.HeadOptions(**head))
    return clipper.make_policy(OBSERVATIONS, space, options, torch.Generator().manual_seed(0))


@EVERY
@pytest.mark.parametrize("autoregressive", [False, True])
def test_it_undoes_to_env_where_that_loses_nothing(name: str, autoregressive: bool) -> None:
    policy = policy_for(SPACES[name], autoregressive=autoregressive)
    with torch.no_grad():
        dist = policy.distribution(observations(50).numpy())
        actions = policy.to_env(dist.sample(torch.Generator().manual_seed(0)))
        back = policy.from_env(actions)
        again = policy.to_env(back)
        log_prob = dist.log_prob(back)
    for i in range(50):  # what was clipped on its way out is there again; arguments of other branches mean nothing
        ours, theirs = (element(SPACES[name], x, i) for x in (actions, again))
        for a, b in zip(leaves(ours), leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    assert log_prob.shape == (50,)
    assert log_prob.isfinite().all()


@EVERY
def test_a_single_action_is_a_batch_of_one(name: str) -> None:
    space, policy = SPACES[name], policy_for(SPACES[name])
    space.seed(0)
    for _ in range(5):
        action = space.sample()
        back = policy.from_env(action)
        again = element(space, policy.to_env(back), 0)
        for a, b in zip(leaves(action), leaves(again), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("distribution", [TanhGaussian(), Beta()])
def test_actions_at_a_bound_have_a_likelihood(distribution: BoxDistribution) -> None:
    space = Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 5.0], np.float32))
    policy = made(space, distribution=distribution)
    actions = np.array([[-2.0, 0.0], [2.0, 5.0], [1.5, 1.0]], np.float32)
    back = policy.from_env(actions)
    assert policy.distribution(np.zeros((3, 3), np.float32)).log_prob(back).isfinite().all()
    np.testing.assert_allclose(policy.to_env(back), actions, atol=1e-4)


def test_likelihoods_are_those_of_the_action_in_its_own_units() -> None:
    """A Gaussian over [−1, 1], mapped onto the Box: the density there is the normal's of the action rescaled."""
    space = Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 5.0], np.float32))
    policy = made(space, initial_log_std=-0.5)
    obs, action = np.ones(3, np.float32), np.array([1.5, 1.0], np.float32)
    dist = policy.distribution(obs)
    mean, log_std = (x.detach().double().numpy() for x in dist.params)
    expected = norm.logpdf([0.75, -0.6], mean[0], np.exp(log_std)).sum()
    assert dist.log_prob(policy.from_env(action)).item() == pytest.approx(expected, rel=1e-5)


def test_bounds_of_the_state_are_undone() -> None:
    policy = made(Box(-1.0, 1.0, (2,)))
    bounds = np.array([[-0.5, 0.0], [0.5, 1.0]], np.float32)
    action = np.array([0.25, 0.25], np.float32)
    np.testing.assert_allclose(policy.from_env(action, action_mask=bounds), [[0.5, -0.5]], atol=1e-6)


def test_where_both_bounds_are_one_number_there_is_nothing_to_undo() -> None:
    policy = made(Box(np.array([1.0, 0.0], np.float32), np.array([1.0, 2.0], np.float32)))
    assert policy.from_env(np.array([1.0, 2.0], np.float32)).tolist() == [[0.0, 1.0]]


def test_gsde_and_infinite_bounds_keep_their_units() -> None:
    policy = made(Box(-np.inf, np.inf, (2,)), distribution=GSDE())
    assert policy.from_env(np.array([7.0, -3.0], np.float32)).tolist() == [[7.0, -3.0]]


def test_probabilities_by_hand_with_a_mask() -> None:
    policy = made(Discrete(3, start=5))
    with torch.no_grad():
        policy.get_parameter("head.logits.bias").copy_(torch.tensor([1.0, 2.0, 3.0]))
        policy.get_parameter("head.logits.weight").zero_()
    e = np.exp([1.0, 2.0, 3.0])
    np.testing.assert_allclose(policy.distribution(np.zeros(3)).probs.detach(), [e / e.sum()], rtol=1e-6)
    masked = policy.distribution(np.zeros((2, 3)), action_mask=[np.array([1, 0, 1])] * 2)
    np.testing.assert_allclose(masked.probs.detach(), [[e[0] / (e[0] + e[2]), 0, e[2] / (e[0] + e[2])]] * 2, rtol=1e-6)
    assert masked.log_prob(policy.from_env(np.array([5, 7]))).exp().tolist() == pytest.approx(
        masked.probs[0, [0, 2]].tolist()
    )


def test_values_of_one_observation_and_of_a_batch() -> None:
    policy = made(Discrete(2))
    obs = observations(4)
    with torch.no_grad():
        batch = policy.value(obs.numpy()).mean
        assert torch.equal(batch, policy.value(obs).mean)
        assert policy.value(obs[0].numpy()).mean.shape == (1,)


def test_a_value_needs_what_only_the_critic_sees() -> None:
    space = gymnasium.spaces.Dict(x=OBSERVATIONS, hidden=Box(-1, 1, (1,)))
    options = clipper.PolicyOptions(encoder=clipper.EncoderOptions(critic_only=("hidden",)))
    policy = clipper.make_policy(space, Discrete(2), options, torch.Generator())
    seen = {"x": np.zeros(3, np.float32)}
    assert policy.distribution(seen).probs.shape == (1, 2)
    with pytest.raises(ValueError, match=r"no part \['hidden'\]"):
        policy.value(seen)
    assert policy.value(seen | {"hidden": np.ones(1, np.float32)}).mean.shape == (1,)


def test_a_memory_is_handed_over() -> None:
    policy = clipper.make_policy(OBSERVATIONS, Discrete(2), clipper.PolicyOptions(memory="gru"), torch.Generator())
    obs, memory = np.ones(3, np.float32), ()
    for _ in range(2):
        before = policy.distribution(obs, memory=memory).probs
        action, memory = policy.predict(obs, memory=memory)
        assert int(before.argmax()) == action
    assert not torch.equal(policy.distribution(obs, memory=memory).probs, policy.distribution(obs).probs)


def test_cloning_finds_the_expert() -> None:
    policy = made(Tuple([Box(-2.0, 2.0, (1,), np.float32), Discrete(3, start=4)]))
    optimizer = torch.optim.Adam(policy.parameters(), 3e-2)
    obs = observations(64).numpy()
    expert = np.full((64, 1), 1.5, np.float32), np.full(64, 6)
    for _ in range(100):
        loss = -policy.distribution(obs).log_prob(policy.from_env(expert)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    force, kind = policy.predict(np.zeros(3, np.float32))
    assert force == pytest.approx(1.5, abs=0.1)
    assert kind == 6


def test_a_head_of_ones_own_may_have_no_way_back() -> None:
    policy = made(OneOf([Discrete(2), MultiDiscrete([2, 2])]))

    class Forward(torch.nn.Module):
        """Has to_env alone."""

    policy.head = Forward()  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ConfigError, match="Forward knows no way back"):
        policy.from_env((np.array([0]), (np.array([1]), np.array([[0, 0]]))))
