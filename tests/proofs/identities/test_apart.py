"""PPO with actor and critic apart is what Spinning Up's pages write: two optimizers of torch on two networks."""

from copy import deepcopy
from typing import Any, Literal

import pytest
import torch
from batches import Kind, make_steps, small_policy

from clipper.algorithms import PPOSeparate
from clipper.learning.kl import Exact, KLStop, Sampled
from clipper.learning.minibatches import minibatches
from clipper.learning.optimizers import Adam

KINDS = pytest.mark.parametrize("kind", ["categorical", "gaussian"])


@KINDS
@pytest.mark.parametrize(("critic_first", "estimate"), [(False, "k1"), (True, "k1"), (False, "k2"), (False, "k3")])
def test_an_update_is_spinning_ups(kind: Kind, critic_first: bool, estimate: Literal["k1", "k2", "k3"]) -> None:
    settings = PPOSeparate(
        learning_rate=0.02, value_learning_rate=0.005, epochs=30, value_epochs=7, critic_first=critic_first,
        kl=Sampled(estimate),
    )  # fmt: skip
    policy = small_policy(kind).double()
    plain = deepcopy(policy)
    learner = settings.init(policy)
    pi = torch.optim.Adam(list(plain.actor_parameters()), lr=0.02)
    v = torch.optim.Adam(list(plain.critic_parameters()), lr=0.005)
    counts = []
    for i in range(3):
        steps, last = make_steps(policy, rows=15, envs=3, seed=i)
        keep = steps.mask
        obs, action, old = steps.obs[keep], steps.action[keep], steps.log_prob[keep]
        judge: Any = deepcopy(learner)
        returns = settings.targets(judge, steps, last).value_target[keep]
        advantage = settings.targets(judge, steps, last).advantage[keep]
        settings.update(learner, steps, last)

        def fit(obs: Any = obs, returns: Any = returns) -> None:
            for _ in range(7):
                v.zero_grad()
                (plain.value(obs).mean - returns).square().mean().backward()
                v.step()

        if critic_first:
            fit()
            judge.policy.load_state_dict(plain.state_dict())
            advantage = settings.targets(judge, steps, last).advantage[keep]
        taken = 0
        for _ in range(30):
            log_ratio = plain.act(obs)[0].log_prob(action) - old
            ratio = log_ratio.exp()
            told = {"k1": -log_ratio, "k2": log_ratio.square() / 2, "k3": ratio - 1 - log_ratio}[estimate]
            if told.mean() > 0.015:
                break
            pi.zero_grad()
            (-torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()).backward()
            pi.step()
            taken += 1
        if not critic_first:
            fit()
        counts.append(taken)
        for a, b in zip(policy.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)
    assert 1 < min(counts) < 30
    moments = learner.optimizer.state[learner.actor], learner.critic_optimizer
    assert int(moments[0]["step"]) == sum(counts)
    assert moments[1] is not None
    assert [int(state["step"]) for state in moments[1].state.values()] == [21]


@KINDS
@pytest.mark.parametrize("at", ["minibatch", "epoch"])
def test_the_exact_kl_ends_the_actor_s_steps(kind: Kind, at: Literal["minibatch", "epoch"]) -> None:
    """By torch's own distributions, networks and optimizer; the critic takes all of its steps."""
    settings = PPOSeparate(
        learning_rate=0.02, epochs=30, minibatches=2, value_epochs=3, kl=Exact(), stop=KLStop(0.01, at),
        optimizer=Adam(1e-6, (0.8, 0.95), 0.01),
    )  # fmt: skip
    policy, plain, first = (small_policy(kind).double() for _ in range(3))
    learner, judge = settings.init(policy, seed=4), settings.init(deepcopy(policy), seed=4)
    steps, last = make_steps(policy, rows=20, envs=3, seed=0)
    targets = settings.targets(judge, steps, last)
    metrics = settings.update(learner, steps, last)
    pi = torch.optim.Adam(list(plain.actor_parameters()), lr=0.02, eps=1e-6, betas=(0.8, 0.95), weight_decay=0.01)

    def told(obs: Any) -> Any:
        old, new = density(first, obs), density(plain, obs)
        return torch.distributions.kl_divergence(old, new).sum(-1).mean()

    kls, ended = [], False
    for _ in range(30):
        for batch in minibatches(targets, 1, 2, judge.generator):
            kl = told(batch.steps.obs)
            if ended := bool(kl > 0.015) and at == "minibatch":
                break
            kls.append(kl.item())
            log_prob = density(plain, batch.steps.obs).log_prob(batch.steps.action.view(len(batch.value), -1)).sum(-1)
            ratio = (log_prob - batch.steps.log_prob).exp()
            pi.zero_grad()
            (-torch.min(ratio * batch.advantage, ratio.clamp(0.8, 1.2) * batch.advantage).mean()).backward()
            pi.step()
        if ended or kls[-1] > 0.015:
            break
    assert 2 < len(kls) < 60
    assert at == "minibatch" or len(kls) % 2 == 0
    assert int(learner.optimizer.state[learner.actor]["step"]) == len(kls)
    assert learner.critic_optimizer is not None
    assert [int(state["step"]) for state in learner.critic_optimizer.state.values()] == [3]
    for a, b in zip(policy.actor_parameters(), plain.actor_parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)
    assert metrics["policy/kl"].item() == pytest.approx(sum(kls) / len(kls), rel=1e-7)
    assert metrics["policy/kl_k1"].item() != pytest.approx(sum(kls) / len(kls), rel=1e-3)


def density(policy: Any, obs: Any) -> Any:
    """Its distribution as torch has it, with one dimension of independent parts."""
    params = policy.act(obs)[0].params
    if len(params) == 1:
        return torch.distributions.Categorical(logits=params[0].unsqueeze(-2))
    mean, log_std = params
    return torch.distributions.Normal(mean, log_std.exp().expand_as(mean))


def test_its_critic_is_fitted_to_the_rewards_that_followed() -> None:
    policy = small_policy("categorical").double()
    settings = PPOSeparate(gamma=0.9)
    steps, last = make_steps(policy, rows=15, envs=2, seed=0)
    found = settings.targets(settings.init(policy), steps, last).value_target
    value = policy.value(torch.cat([steps.obs, last[None]])).mean
    for n in range(2):
        following = value[-1, n]
        for t in reversed(range(15)):
            if not steps.mask[t, n]:
                following = value[t, n]
                continue
            if steps.done[t, n]:
                following = value[t + 1, n]
            following = steps.reward[t, n] + 0.9 * following * ~steps.terminated[t, n]
            assert found[t, n].item() == pytest.approx(following.item(), rel=1e-10)
