"""DQN: its step beside the paper's formula, ε-greedy acting beside enumeration, masks, images, and Q's fixed point."""

import dataclasses
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from batches import small_policy
from gymnasium.spaces import Box, Discrete
from tabular import MDP, bellman, every_pair, tabular_policy
from torch import Generator, Tensor, nn

import clipper
from clipper.errors import ConfigError
from clipper.learning.critic_targets import Periodic, Polyak
from clipper.learning.exploration import EpsilonGreedy
from clipper.learning.learner import Learner
from clipper.learning.replay import Transitions
from clipper.learning.schedules import Annealed
from clipper.learning.value_losses import MSE, Huber

B, K, RATE, TAU = 9, 3, 0.05, 0.3


class SGD:
    """Plain steps, whose size is the gradient's."""

    def make(self, parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD([parameters] if isinstance(parameters, nn.Parameter) else parameters, lr=1.0)


def made(algorithm: clipper.DQN) -> Learner:
    options = algorithm.policy_options(clipper.PolicyOptions(hidden=(5,), activation="relu", orthogonal=False))
    learner = algorithm.init(small_policy("categorical", options).double(), seed=1)
    g = Generator().manual_seed(15)
    for p in learner.modules["lagged_q"].parameters():
        p.add_(torch.randn(p.shape, generator=g, dtype=p.dtype))
    return learner


def drawn(masked: bool) -> Transitions:
    g = Generator().manual_seed(15)
    obs, after = torch.randn(2, B, 3, generator=g, dtype=torch.float64)
    reward = 3 * torch.randn(B, generator=g, dtype=torch.float64)
    discount = torch.full((B,), 0.9, dtype=torch.float64)
    discount[2] = 0
    legal = torch.rand(B, K, generator=g) < 0.5
    legal[:, 0] = True
    legal[4] = False  # cut off where nothing is legal: then all counts
    action = torch.randint(K, (B,), generator=g)
    return Transitions(obs, action, reward, discount, after, legal if masked else (), legal if masked else ())


def q_of(w: dict[str, Tensor], s: Tensor) -> Tensor:
    hidden = torch.relu(s @ w["actor.0.weight"].T + w["actor.0.bias"])
    return hidden @ w["head.logits.weight"].T + w["head.logits.bias"]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("loss", [MSE(), Huber(0.7)], ids=str)
def test_a_step_is_the_paper_s(masked: bool, double: bool, loss: Any) -> None:
    algorithm = clipper.DQN(
        double=double, q_loss=loss, lag=Polyak(TAU), learning_rate=RATE, optimizer=SGD(), max_grad_norm=float("inf")
    )
    learner, batch = made(algorithm), drawn(masked)
    w, slow = (
        {name: x.detach().clone().requires_grad_() for name, x in module.named_parameters()}
        for module in (learner.policy, learner.modules["lagged_q"])
    )
    algorithm.gradient_step(learner, batch)

    errors, chosen = [], []
    for b in range(B):
        there = [k for k in range(K) if not masked or batch.next_mask[b, k]] or list(range(K))
        fast_q, slow_q = (q_of(x, batch.next_obs[b]).tolist() for x in (w, slow))
        best = max(there, key=lambda k: fast_q[k]) if double else max(there, key=lambda k: slow_q[k])
        chosen.append(best)
        target = float(batch.reward[b]) + float(batch.discount[b]) * slow_q[best]
        error = (q_of(w, batch.obs[b])[batch.action[b]] - target).abs()
        far = isinstance(loss, Huber) and float(error.detach()) > 0.7
        errors.append(0.7 * (2 * error - 0.7) if far else error**2)
    assert len(set(chosen)) > 1
    gradients = torch.autograd.grad(torch.stack(errors).mean(), list(w.values()))
    for (name, x), gradient in zip(w.items(), gradients, strict=True):
        now = (x - RATE * gradient).detach()
        torch.testing.assert_close(dict(learner.policy.named_parameters())[name].detach(), now, rtol=1e-9, atol=1e-12)
        lagged = dict(learner.modules["lagged_q"].named_parameters())[name].detach()
        torch.testing.assert_close(lagged, (1 - TAU) * slow[name].detach() + TAU * now, rtol=1e-9, atol=1e-12)


def test_a_periodic_copy_is_made_after_each_c_gradient_steps() -> None:
    algorithm = clipper.DQN(lag=Periodic(3), batch_size=4, learning_starts=1)
    learner, batch = made(algorithm), drawn(False)
    same = []
    for step in range(1, 10):
        learner.extra["gradient_steps"].fill_(step)
        algorithm.gradient_step(learner, batch)
        pairs = zip(learner.policy.parameters(), learner.modules["lagged_q"].parameters(), strict=True)
        same.append(all(torch.equal(x, y) for x, y in pairs))
    assert same == [False, False, True] * 3


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_actions_are_as_likely_as_epsilon_greedy_says(epsilon: float) -> None:
    q = torch.tensor([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0], [0.0, -5.0, -4.0]])
    legal = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])
    dist = EpsilonGreedy(epsilon)(q, legal, 0.0)
    expected = torch.tensor(
        [[epsilon / 3, 1 - epsilon + epsilon / 3, epsilon / 3], [epsilon / 2, 0.0, 1 - epsilon / 2], [0.0, 1.0, 0.0]]
    )
    torch.testing.assert_close(dist.probs, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(EpsilonGreedy(epsilon)(q, None, 0.0).probs[1], expected[0], atol=1e-6, rtol=0)


def test_epsilon_goes_down_with_the_run_and_stays_where_it_ends() -> None:
    schedule = Annealed(1.0, 0.1, 0.4)
    assert [schedule(x) for x in (0.0, 0.2, 0.4, 1.0)] == pytest.approx([1.0, 0.55, 0.1, 0.1])
    with pytest.raises(ConfigError, match="epsilon must be from 0 to 1"):
        EpsilonGreedy(Annealed(1.2, 0.1, 0.4))


class Corridor(gymnasium.Env):
    """Ten cells; right is worth it. At the left end only right is legal; what is illegal raises."""

    observation_space, action_space = Box(0, 255, (12, 12, 1), np.uint8), Discrete(3)

    def __init__(self) -> None:
        self.chosen: list[int] = []

    def picture(self) -> np.ndarray:
        image = np.zeros((12, 12, 1), np.uint8)
        image[:, self.cell] = 255
        return image

    def action_masks(self) -> np.ndarray:
        return np.array([self.cell > 0, True, False])

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        self.cell, self.time = 0, 0
        return self.picture(), {}

    def step(self, action: int):
        assert self.action_masks()[action]
        self.chosen.append(int(action))
        self.cell, self.time = self.cell + (1 if action else -1), self.time + 1
        return self.picture(), float(self.cell == 9), self.cell == 9, self.time == 40, {}


def test_images_and_masks_in_a_run() -> None:
    """Illegal actions, which raise, are never taken; pictures are kept as bytes; evaluation is greedy."""
    env = Corridor()
    algorithm = clipper.DQN(
        learning_starts=200, batch_size=16, update_ratio=0.25, lag=Periodic(20), exploration=EpsilonGreedy(0.2)
    )
    policy = clipper.PolicyOptions(hidden=(), encoder=clipper.EncoderOptions(cnn_features=16))
    run = clipper.train(lambda: env, algorithm, policy=policy, total_steps=500, vector="serial", seed=1)
    first = np.array(env.chosen[:200])
    kept = run.learner.modules["replay"].kept
    assert kept.obs.dtype == torch.uint8
    assert kept.action_mask.shape[2:] == (3,)
    free = kept.action_mask[:200, 0].sum(-1)[: len(first)] == 2
    assert 0.3 < first[free[: len(first)].numpy()].mean() < 0.7
    env.chosen.clear()
    run.evaluate(1, max_steps=100)
    played = list(env.chosen)
    run.evaluate(1, max_steps=100)
    assert env.chosen[len(played) :] == played


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_one_hot_linear_q_learns_bellman_s_fixed_point(double: bool, masked: bool) -> None:
    """Value iteration, written out in tabular.py, gives Q* of a random MDP; so does DQN with a table for a network."""
    algorithm = clipper.DQN(
        gamma=MDP.gamma, double=double, q_loss=MSE(), lag=Periodic(20), optimizer=SGD(), max_grad_norm=float("inf"),
        learning_rate=2.0,
    )  # fmt: skip
    learner = algorithm.init(tabular_policy(algorithm.policy_options(clipper.PolicyOptions(hidden=()))))
    batch = every_pair(masked)
    for step in range(1, 1201):
        learner.extra["gradient_steps"].fill_(step)
        algorithm.gradient_step(learner, batch)
    q = learner.policy.act(torch.arange(MDP.states))[0].logits.detach()
    torch.testing.assert_close(q, bellman(masked, 0.0), atol=1e-3, rtol=0)


def test_who_has_no_number_of_decisions_left_to_explore_in_acts_greedily() -> None:
    run = clipper.train(
        "CartPole-v1", dataclasses.replace(clipper.DQN(), learning_starts=10, exploration=EpsilonGreedy(0.0)),
        policy=clipper.PolicyOptions(hidden=(4,)), total_steps=60, vector="serial",
    )  # fmt: skip
    kept = run.learner.modules["replay"].kept
    late = slice(55, 60)
    greedy = run.policy.act(kept.obs[late, 0])[0].mode
    assert torch.equal(kept.action[late, 0][kept.mask[late, 0]], greedy[kept.mask[late, 0]])


@pytest.mark.long
def test_cartpole_is_solved_in_fifty_thousand_decisions() -> None:
    """With the row of RL Baselines3 Zoo's dqn.yml for it, whose table has 500."""
    algorithm = clipper.DQN(
        learning_rate=2.3e-3, batch_size=64, capacity=100_000, horizon=256, lag=Periodic(128),
        exploration=EpsilonGreedy(Annealed(1.0, 0.04, 0.16)),
    )  # fmt: skip
    policy = clipper.PolicyOptions(hidden=(256, 256), activation="relu", orthogonal=False)
    run = clipper.train("CartPole-v1", algorithm, policy=policy, total_steps=50_000, seed=3)
    assert run.evaluate(20).mean >= 475
