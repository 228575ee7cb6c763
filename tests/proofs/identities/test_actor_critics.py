"""A2C is PPO with one epoch and one minibatch; VPG is what two optimizers of torch do to two networks."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from batches import Kind, make_steps, small_policy
from torch import nn

from clipper.algorithms import A2C, PPO, VPG
from clipper.learning.advantages import Standardised
from clipper.learning.optimizers import Adam, RMSProp
from clipper.learning.rewards import Scaled
from clipper.networks.policy_options import PolicyOptions

KINDS = pytest.mark.parametrize("kind", ["categorical", "gaussian"])


@KINDS
@pytest.mark.parametrize("shared", [False, True])
def test_a2c_is_ppo_with_one_epoch_and_one_minibatch(kind: Kind, shared: bool) -> None:
    """Huang et al. 2022, arXiv:2205.09123: over ten updates the parameters agree to rounding."""
    common: Any = {"gamma": 0.97, "lam": 0.9, "learning_rate": 0.01, "entropy_coef": 0.02, "value_coef": 0.4}
    a2c = A2C(**common, optimizer=Adam(1e-5), advantages=Standardised("batch"), rewards=Scaled())
    ppo = PPO(**common, epochs=1, minibatches=1, optimizer=Adam(1e-5), rewards=Scaled())
    options = PolicyOptions(hidden=(6,), shared=shared, normalise_obs=True)
    ours, theirs = (small_policy(kind, options).double() for _ in range(2))
    learners = a2c.init(ours, seed=3), ppo.init(theirs, seed=3)
    start = learners[0].parameters.detach().clone()
    for i in range(10):
        steps, last = make_steps(ours, rows=12, envs=3, seed=i)
        a2c.update(learners[0], steps, last)
        ppo.update(learners[1], steps, last)
    torch.testing.assert_close(learners[0].parameters, learners[1].parameters, rtol=1e-8, atol=1e-10)
    assert (learners[0].parameters - start).abs().max() > 0.02


@KINDS
def test_vpg_is_two_optimizers_on_two_networks(kind: Kind) -> None:
    """Spinning Up's scheme with plain torch: moments of the actor do not move it while the critic learns."""
    settings = VPG(
        learning_rate=0.02, value_learning_rate=0.003, value_epochs=5, value_minibatches=1, max_grad_norm=0.3
    )
    policy = small_policy(kind).double()
    plain = deepcopy(policy)
    learner = settings.init(policy)
    actor, critic = (list(p) for p in (plain.actor_parameters(), plain.critic_parameters()))
    pi, v = torch.optim.Adam(actor, lr=0.02, eps=1e-5), torch.optim.Adam(critic, lr=0.003, eps=1e-5)
    for i in range(4):
        steps, last = make_steps(policy, rows=15, envs=3, seed=i)
        targets = settings.targets(learner, steps, last)
        obs, action = steps.obs[steps.mask], steps.action[steps.mask]
        settings.update(learner, steps, last)
        pi.zero_grad()
        (-plain.act(obs)[0].log_prob(action) * targets.advantage[steps.mask]).mean().backward()
        nn.utils.clip_grad_norm_(actor, 0.3)
        pi.step()
        for _ in range(5):
            v.zero_grad()
            (plain.value(obs).mean - targets.value_target[steps.mask]).square().mean().backward()
            nn.utils.clip_grad_norm_(critic, 0.3)
            v.step()
        for a, b in zip(policy.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


@KINDS
def test_a2c_with_rmsprop_takes_torchs_steps(kind: Kind) -> None:
    settings = A2C(optimizer=RMSProp(0.9, 1e-3), learning_rate=0.01)
    policy = small_policy(kind).double()
    plain = deepcopy(policy)
    learner = settings.init(policy)
    optimizer = torch.optim.RMSprop(plain.parameters(), lr=0.01, alpha=0.9, eps=1e-3)
    for i in range(4):
        steps, last = make_steps(policy, rows=15, envs=3, seed=i)
        targets = settings.targets(learner, steps, last)
        dist, value = plain(steps.obs[steps.mask])
        score = dist.log_prob(steps.action[steps.mask]) * targets.advantage[steps.mask]
        error = (value.mean - targets.value_target[steps.mask]).square()
        optimizer.zero_grad()
        (0.5 * error - score).mean().backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
        settings.update(learner, steps, last)
        torch.testing.assert_close(
            learner.parameters, torch.cat([p.flatten() for p in plain.parameters()]), rtol=1e-7, atol=1e-9
        )
