"""Updates of PPO-PyTorch, the "10 tricks" and DI-engine's H-PPO, written once more as their formulas state them."""

import dataclasses
from copy import deepcopy
from typing import Any

import pytest
import torch
from batches import ACTIONS, OBSERVATIONS
from gymnasium.spaces import Box, Dict, Discrete
from recorded import assert_same_parameters, record, steps_of
from torch import Generator, Tensor

import clipper
from clipper.data.steps import Targets
from clipper.data.trees import each
from clipper.settings import presets


def changed(config: clipper.Config, **fields: Any) -> Any:
    """The preset's algorithm with other fields."""
    algorithm: Any = config.algorithm
    return dataclasses.replace(algorithm, **fields)


def policy_of(config: clipper.Config, space: Any, **changes: Any) -> Any:
    options = dataclasses.replace(config.policy, hidden=(5,), **changes)
    return clipper.make_policy(OBSERVATIONS, space, options, Generator().manual_seed(0))


def surrogate(log_prob: Tensor, old: Tensor, advantage: Tensor) -> Tensor:
    """min(r Â, clip(r, 0.8, 1.2) Â)."""
    ratio = (log_prob - old).exp()
    return torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_ppo_pytorch_s_update(kind: Any) -> None:
    """Of one batch, given its standardised returns: K steps of one Adam with two rates on all decisions."""
    config = presets.ppo_pytorch()
    ours = policy_of(config, ACTIONS[kind])
    theirs, recorded = deepcopy(ours), record(ours, truncations=False)
    returns = torch.zeros_like(recorded.reward)
    following = torch.zeros(4)
    for t in reversed(range(32)):  # what follows the batch's end counts nothing there
        following = recorded.reward[t] + 0.99 * following * ~recorded.terminated[t]
        returns[t] = following
    returns = (returns - returns.mean()) / (returns.std() + 1e-7)
    obs, action = recorded.obs[:-1], recorded.action
    value = theirs.value(obs).mean.detach()
    actor, critic = theirs.actor_parameters(), theirs.critic_parameters()
    optimizer = torch.optim.Adam([{"params": actor, "lr": 3e-4}, {"params": critic, "lr": 1e-3}])
    for _ in range(6):
        dist, v = theirs(obs)
        loss = -surrogate(dist.log_prob(action), recorded.log_prob, returns - value)
        loss = loss + 0.5 * (v.mean - returns).square().mean() - 0.01 * dist.entropy()
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()

    algorithm = changed(config, epochs=6, value_epochs=6)
    every = torch.ones_like(recorded.terminated)
    steps = steps_of(recorded)[0]._replace(
        obs=obs, action=action, log_prob=recorded.log_prob, reward=recorded.reward, terminated=recorded.terminated,
        done=recorded.terminated, mask=every,
    )  # fmt: skip
    algorithm.improve(algorithm.init(ours), Targets(steps, returns - value, returns, value))
    assert_same_parameters(ours, theirs.named_parameters(), gradients=False)


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_the_ten_tricks_update(kind: Any) -> None:
    """GAE by a loop, advantages standardised over the batch; actor and critic by turns, each with its own Adam."""
    config = presets.ten_tricks()
    ours = policy_of(config, ACTIONS[kind], normalise_obs=False)
    theirs, recorded = deepcopy(ours), record(ours)
    value, final = theirs.value(recorded.obs).mean.detach(), theirs.value(recorded.final_obs).mean.detach()
    ends = recorded.terminated | recorded.truncated
    advantage, following = torch.zeros_like(recorded.reward), torch.zeros(4)
    for t in reversed(range(32)):
        after = torch.where(ends[t], final[t], value[t + 1])
        delta = recorded.reward[t] + 0.99 * after * ~recorded.terminated[t] - value[t]
        following = delta + 0.99 * 0.95 * following * ~ends[t]
        advantage[t] = following
    target = advantage + value[:-1]
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-5)
    actor, critic = theirs.actor_parameters(), theirs.critic_parameters()
    optimizers = [torch.optim.Adam(x, lr=3e-4, eps=1e-5) for x in (actor, critic)]
    obs = recorded.obs[:-1]
    for _ in range(5):
        dist, _ = theirs.act(obs)
        loss = -surrogate(dist.log_prob(recorded.action), recorded.log_prob, advantage) - 0.01 * dist.entropy()
        for own, parameters, optimizer in (
            (loss.mean(), actor, optimizers[0]),
            ((theirs.value(obs).mean - target).square().mean(), critic, optimizers[1]),
        ):
            optimizer.zero_grad()
            own.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 0.5)
            optimizer.step()

    raw = clipper.rewards.Raw()
    algorithm = changed(config, epochs=5, value_epochs=5, minibatches=1, value_minibatches=1, rewards=raw)
    algorithm.update(algorithm.init(ours), *steps_of(recorded))
    assert_same_parameters(ours, theirs.named_parameters(), gradients=False)


def test_di_engine_s_hybrid_loss_and_step() -> None:
    """A discrete and a continuous surrogate, both entropies, the clipped value error: loss, gradient and one step."""
    config = presets.di_engine_hybrid()
    space = Dict(args=Box(-1, 1, (2,)), type=Discrete(3))
    ours = policy_of(config, space, normalise_returns=False)
    generator = Generator().manual_seed(4)
    obs = torch.randn(24, 1, 3, generator=generator)
    with torch.no_grad():
        dist: Any = ours.act(obs)[0]
        action = dist.sample(generator)
        old = each(lambda x: x + 0.3 * torch.randn(x.shape, generator=generator), dist.log_probs(action))
        old_value = ours.value(obs).mean + 0.4 * torch.randn(24, 1, generator=generator)
    advantage, target = torch.randn(2, 24, 1, generator=generator).unbind()
    no, yes = torch.zeros(24, 1, dtype=torch.bool), torch.ones(24, 1, dtype=torch.bool)
    steps = clipper.Steps(obs, action, old["args"] + old["type"], advantage, no, no, yes, log_probs=old)
    targets = Targets(steps, advantage, target, old_value)

    theirs = deepcopy(ours)
    a = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    dist, value = theirs(obs)
    choice = torch.distributions.Categorical(logits=dist.parts["type"].logits)
    gaussian = torch.distributions.Normal(dist.parts["args"].mean, dist.parts["args"].log_std.exp())
    policy_loss = -surrogate(choice.log_prob(action["type"]), old["type"], a).mean()
    policy_loss = policy_loss - surrogate(gaussian.log_prob(action["args"]).sum(-1), old["args"], a).mean()
    near = old_value + (value.mean - old_value).clamp(-0.2, 0.2)
    value_loss = 0.5 * torch.max((target - value.mean).square(), (target - near).square()).mean()
    entropy = choice.entropy().mean() + gaussian.entropy().sum(-1).mean()
    loss = policy_loss + 0.5 * value_loss - 0.03 * entropy
    optimizer = torch.optim.Adam(theirs.parameters(), lr=3e-4)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
    optimizer.step()

    algorithm = changed(config, epochs=1, minibatches=1)
    learner = algorithm.init(ours)
    found = algorithm.loss(learner, each(lambda x: x.flatten(0, 1), targets))[0].item()
    assert found == pytest.approx(loss.item(), abs=1e-5)  # Â, which is counted once here, has mean 0
    algorithm.improve(learner, targets)
    assert_same_parameters(ours, theirs.named_parameters(), gradients=False)
