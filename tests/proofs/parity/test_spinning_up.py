"""Spinning Up's updates (spinup/algos/pytorch, February 2020), written once more as their formulas state them."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from batches import Kind
from recorded import OPTIONS, Recorded, assert_close, assert_same_parameters, new_policy, record, steps_of
from torch import Tensor

from clipper import VPG, PPOSeparate
from clipper.learning.kl import KLStop
from clipper.networks.actor_critic import ActorCritic
from clipper.settings import presets

KINDS: list[Kind] = ["categorical", "gaussian"]


@torch.no_grad()
def buffer(policy: ActorCritic, recorded: Recorded, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Advantages in units of their deviation over n (not n − 1), and rewards-to-go: path by path, by double loops.

    A path ends with its episode or with the batch; it is bootstrapped unless it terminated.
    """
    rows, envs = recorded.reward.shape
    value, final = policy.value(recorded.obs).mean, policy.value(recorded.final_obs).mean
    advantage, target = torch.zeros(rows, envs, dtype=torch.float64), torch.zeros(rows, envs, dtype=torch.float64)
    ends = recorded.terminated | recorded.truncated
    for n in range(envs):
        start = 0
        for t in range(rows):
            if not ends[t, n] and t < rows - 1:
                continue
            after = 0.0 if recorded.terminated[t, n] else float(final[t, n] if ends[t, n] else value[rows, n])
            path = range(start, t + 1)
            values = [float(value[k, n]) for k in path] + [after]
            rewards = [float(recorded.reward[k, n]) for k in path] + [after]
            errors = [rewards[k] + gamma * values[k + 1] - values[k] for k in range(len(path))]
            for k in range(len(path)):
                advantage[start + k, n] = sum((gamma * lam) ** j * e for j, e in enumerate(errors[k:]))
                target[start + k, n] = sum(gamma**j * r for j, r in enumerate(rewards[k:]))
            start = t + 1
    spread = (advantage - advantage.mean()).square().mean().sqrt()
    return ((advantage - advantage.mean()) / spread).float(), target.float()


def parts(policy: ActorCritic) -> Iterator[tuple[str, Tensor]]:
    """All parameters by name."""
    yield from policy.named_parameters()


def critic_steps(policy: ActorCritic, obs: Tensor, target: Tensor, iterations: int, rate: float) -> list[float]:
    """Adam on the whole batch's mean squared error."""
    optimizer = torch.optim.Adam(policy.critic_parameters(), lr=rate)
    losses = []
    for _ in range(iterations):
        optimizer.zero_grad()
        loss = (policy.value(obs).mean - target).square().mean()
        loss.backward()
        losses.append(float(loss.detach()))
        optimizer.step()
    return losses


def density(policy: ActorCritic, obs: Tensor) -> Any:
    """π(·|s) as torch has it."""
    [*params] = policy.act(obs)[0].params
    if len(params) == 1:
        return torch.distributions.Categorical(logits=params[0])
    return torch.distributions.Independent(torch.distributions.Normal(params[0], params[1].exp()), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_vpg(kind: Kind) -> None:
    """With λ = 1, where rewards-to-go are what the critic is fitted to here too."""
    policy = new_policy(kind, OPTIONS)
    theirs, recorded = deepcopy(policy), record(policy)
    obs = recorded.obs[:-1]
    advantage, target = buffer(theirs, recorded, 0.99, 1.0)
    optimizer = torch.optim.Adam(theirs.actor_parameters(), lr=3e-4)
    loss = -(density(theirs, obs).log_prob(recorded.action) * advantage).mean()
    loss.backward()
    optimizer.step()
    losses = critic_steps(theirs, obs, target, 10, 1e-3)

    algorithm = presets.spinning_up_vpg().algorithm
    assert isinstance(algorithm, VPG)
    algorithm = replace(algorithm, lam=1.0, value_epochs=10)
    learner = algorithm.init(policy)
    metrics = algorithm.update(learner, *steps_of(recorded))
    assert_same_parameters(policy, parts(theirs), gradients=False)
    assert_close(metrics["loss/policy"], loss, "the policy's loss")
    assert float(metrics["loss/value"]) == pytest.approx(sum(losses) / len(losses), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", [True, False])
def test_ppo(kind: Kind, stop: bool) -> None:
    """An update of the preset: the policy's steps until the mean of −log r has passed 1.5 · 0.01, then the critic's.

    Without the stop, all 80.
    """
    algorithm = presets.spinning_up().algorithm
    assert isinstance(algorithm, PPOSeparate)
    assert algorithm.stop == KLStop(0.01)
    algorithm = algorithm if stop else replace(algorithm, stop=None)
    policy = new_policy(kind)
    theirs, recorded = deepcopy(policy), record(policy)
    obs, e = recorded.obs[:-1], 0.2
    advantage, target = buffer(theirs, recorded, 0.99, 0.97)
    optimizer = torch.optim.Adam(theirs.actor_parameters(), lr=3e-4)
    losses, largest = [], []
    for _ in range(80):
        optimizer.zero_grad()
        log_prob = density(theirs, obs).log_prob(recorded.action)
        ratio = (log_prob - recorded.log_prob).exp()
        loss = -torch.minimum(ratio * advantage, ratio.clamp(1 - e, 1 + e) * advantage).mean()
        if stop and (recorded.log_prob - log_prob).mean() > 1.5 * 0.01:
            break
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        largest.append(float(ratio.detach().max()))
    assert (1 < len(losses) < 80) if stop else (len(losses) == 80)
    value_losses = critic_steps(theirs, obs, target, 80, 1e-3)

    learner = algorithm.init(policy)
    metrics = algorithm.update(learner, *steps_of(recorded))
    assert int(learner.optimizer.state[learner.actor]["step"]) == len(losses)
    assert_same_parameters(policy, parts(theirs), gradients=False)
    assert float(metrics["loss/policy"]) == pytest.approx(sum(losses) / len(losses), abs=1e-5)
    assert float(metrics["loss/value"]) == pytest.approx(sum(value_losses) / 80, abs=1e-5)
    assert float(metrics["policy/ratio_max"]) == pytest.approx(max(largest), abs=1e-4)
