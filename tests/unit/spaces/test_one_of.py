"""Only the chosen branch counts."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, OneOf
from spaces.matrix import HYBRID, AnySpace, observations, policy_for
from torch import Generator

from clipper.algorithms import PPO
from clipper.data.steps import Steps
from clipper.data.trees import each, leaves
from clipper.distributions import Categorical, DiagonalGaussian
from clipper.distributions import OneOf as OneOfDistribution
from clipper.environments import make
from clipper.environments.vector.serial import Serial
from clipper.rollout.vector_rollouts import VectorRollouts

ONE_OFS = {name: space for name, space in HYBRID.items() if isinstance(space, OneOf)}


def collected(space: gymnasium.Space) -> tuple[Steps, torch.Tensor]:
    env = make(lambda: AnySpace(space), 4)
    state = VectorRollouts(env, 0)
    steps, _ = state.collect(policy_for(space), horizon=16)
    return steps, state.obs


def spoil(action, by: float):
    """An action with its unused arguments changed, in nested choices too."""
    choice, arguments = action
    spoiled = []
    for k, argument in enumerate(arguments):
        used = choice == k

        def change(x: torch.Tensor, used: torch.Tensor = used) -> torch.Tensor:
            shape = used.shape + (1,) * (x.ndim - used.ndim)
            bad = torch.full_like(x, by) if x.is_floating_point() else x + 1_000_000
            return torch.where(used.reshape(shape), x, bad)

        spoiled.append(each(change, argument))
    return choice, tuple(spoiled)


@pytest.mark.parametrize("space", ONE_OFS.values(), ids=ONE_OFS)
def test_unused_arguments_change_no_bit(space: gymnasium.Space) -> None:
    steps, last_obs = collected(space)
    given = [steps, *(steps._replace(action=spoil(steps.action, by)) for by in (1e9, float("nan")))]
    results = []
    for some in given:
        algorithm = PPO(horizon=16, epochs=2, entropy_coef=0.01)
        learner = algorithm.init(policy_for(space), seed=3)
        metrics = algorithm.update(learner, some, last_obs)
        results.append((learner.parameters.detach().clone(), torch.stack(list(metrics.values()))))
    for spoiled, (parameters, metrics) in zip(given[1:], results[1:], strict=True):
        assert any((x != y).any() for x, y in zip(leaves(steps.action), leaves(spoiled.action), strict=True))
        assert torch.equal(results[0][0], parameters)
        assert torch.equal(results[0][1], metrics)


def test_log_prob_is_the_choices_plus_the_chosen_arguments() -> None:
    space = OneOf([Box(-1, 1, (2,)), Discrete(3)])
    policy = policy_for(space).double()
    dist, _ = policy.act(observations(200))
    assert isinstance(dist, OneOfDistribution)
    k, (x, j) = dist.sample(Generator().manual_seed(0))
    choice = torch.distributions.Categorical(logits=dist.choice.logits)
    gaussian, discrete = dist.branches
    assert isinstance(gaussian, DiagonalGaussian)
    assert isinstance(discrete, Categorical)
    arguments = torch.where(
        k == 0,
        torch.distributions.Normal(gaussian.mean, gaussian.log_std.exp()).log_prob(x).sum(-1),
        torch.distributions.Categorical(logits=discrete.logits).log_prob(j),
    )
    torch.testing.assert_close(dist.log_prob((k, (x, j))), choice.log_prob(k) + arguments)
    assert {0, 1} == set(k.tolist())


def test_the_environment_gets_the_pair_that_gymnasium_defines() -> None:
    env = make(lambda: AnySpace(OneOf([Box(-1, 1, (2,)), Discrete(3, start=4)])), 2)
    VectorRollouts(env, 0).collect(policy_for(env.single_action_space), horizon=30)
    assert isinstance(env, Serial)
    for taken in (env.envs[0].unwrapped.taken, env.envs[1].unwrapped.taken):  # pyright: ignore[reportAttributeAccessIssue]
        assert all(isinstance(action, tuple) and len(action) == 2 for action in taken)
        assert {int(k) for k, _ in taken} == {0, 1}
        assert all(np.shape(v) == ((2,) if k == 0 else ()) for k, v in taken)
