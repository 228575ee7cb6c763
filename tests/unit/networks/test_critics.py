"""PopArt and two-hot critics: their identities, closed forms and optima, and that they learn returns of any size."""

import copy
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

import clipper
from clipper.errors import ConfigError
from clipper.functional.objectives import symexp, two_hot, two_hot_cross_entropy
from clipper.learning.critic_targets import TDLambda
from clipper.learning.value_losses import MSE, ClippedMSE, CrossEntropy, Huber, ValueLoss
from clipper.networks.critics import Critic, PopArt, TwoHot, TwoHotBins, TwoHotValue
from clipper.networks.policy_options import PolicyOptions
from clipper.settings.option_text import from_text, to_text

BINS = symexp(torch.linspace(-20, 20, 255, dtype=torch.float64))


def policy_of(critic: Critic, **fields: Any) -> Any:
    options = PolicyOptions(hidden=(8,), critic=critic, **fields)
    return clipper.make_policy(Box(-1, 1, (3,)), Discrete(2), options, Generator().manual_seed(0)).double()


def test_pop_art_preserves_every_output_when_its_statistics_move() -> None:
    policy, generator = policy_of(PopArt(0.3)), Generator().manual_seed(1)
    obs = torch.randn(50, 3, generator=generator).double()
    for size in (1.0, 1e4, 1e-2, 50.0):
        before = policy.value(obs).mean.detach()
        returns = size * (3 + torch.randn(40, generator=generator).double())
        policy.absorb(obs, returns)
        scale = policy.returns.scale
        torch.testing.assert_close(policy.value(obs).mean.detach(), before, rtol=1e-12, atol=1e-12 * float(scale))
    assert not torch.equal(policy.value_layer.bias.detach(), torch.zeros(1).double())


def test_pop_art_s_statistics_are_those_of_the_weighted_samples() -> None:
    policy, generator = policy_of(PopArt(0.2)), Generator().manual_seed(1)
    batches = [10 * k + torch.randn(30 + k, generator=generator).double() for k in range(5)]
    for returns in batches:
        policy.absorb(torch.zeros(len(returns), 3).double(), returns)
    weights = np.array([0.2 * 0.8 ** (4 - k) for k in range(5)])
    weights /= weights.sum()
    x = np.concatenate([b.numpy() for b in batches])
    w = np.concatenate([np.full(len(b), weight / len(b)) for b, weight in zip(batches, weights, strict=True)])
    mean = (w * x).sum()
    assert float(policy.returns.moments.mean) == pytest.approx(mean, rel=1e-12)
    assert float(policy.returns.moments.variance) == pytest.approx((w * (x - mean) ** 2).sum(), rel=1e-12)


def test_a_copy_of_pop_art_moves_its_own_layer() -> None:
    policy = policy_of(PopArt())
    other, obs = copy.deepcopy(policy), torch.ones(4, 3).double()
    kept = policy.value_layer.weight.detach().clone()
    other.absorb(obs, 100 * torch.arange(4).double())
    assert torch.equal(policy.value_layer.weight, kept)
    assert not torch.equal(other.value_layer.weight, kept)
    torch.testing.assert_close(other.value(obs).mean, policy.value(obs).mean, rtol=1e-10, atol=1e-10)


@given(st.lists(st.floats(-4e8, 4e8), min_size=1, max_size=20))
def test_the_mean_of_a_two_hot_code_is_the_number(numbers: list[float]) -> None:
    x = torch.tensor(numbers, dtype=torch.float64)
    code = two_hot(x, BINS)
    assert (code >= 0).all()
    assert ((code > 0).sum(-1) <= 2).all()
    np.testing.assert_allclose(code.numpy() @ BINS.numpy(), numbers, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(code.sum(-1).numpy(), 1, rtol=1e-12)
    np.testing.assert_allclose(TwoHotValue(code.log(), BINS).mean.numpy(), numbers, rtol=1e-9, atol=1e-6)


def test_bins_by_hand() -> None:
    bins = torch.tensor([-2.0, 0.0, 1.0, 5.0])
    x = torch.tensor([-9.0, -2.0, -0.5, 0.0, 0.25, 1.0, 4.0, 5.0, 9.0])
    expected = torch.tensor(
        [[1, 0, 0, 0], [1, 0, 0, 0], [0.25, 0.75, 0, 0], [0, 1, 0, 0], [0, 0.75, 0.25, 0], [0, 0, 1, 0],
         [0, 0, 0.25, 0.75], [0, 0, 0, 1], [0, 0, 0, 1]]
    )  # fmt: skip
    torch.testing.assert_close(two_hot(x, bins), expected)
    x = np.linspace(-20, 20, 41)
    there = symexp(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(there, np.sign(x) * (np.exp(np.abs(x)) - 1), rtol=1e-12)
    np.testing.assert_allclose(np.sign(there) * np.log1p(np.abs(there)), x, rtol=1e-12)


def test_the_cross_entropy_s_gradient_and_its_minimum() -> None:
    logits = torch.randn(6, 255, generator=Generator().manual_seed(0)).double().requires_grad_()
    target = torch.tensor([0.0, -3.0, 1e6, 0.1, -1e3, 7.0], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(two_hot_cross_entropy(logits, target, BINS).sum(), logits)
    torch.testing.assert_close(gradient, logits.softmax(-1) - two_hot(target, BINS))
    # Where targets vary in one state, the loss is least at their mean code, whose mean is their mean.
    best = two_hot(target, BINS).mean(0).clamp(min=1e-300).log().requires_grad_()
    loss = two_hot_cross_entropy(best.expand(6, 255), target, BINS).mean()
    (gradient,) = torch.autograd.grad(loss, best)
    assert gradient.abs().max() < 1e-12
    assert float(TwoHotValue(best.detach(), BINS).mean) == pytest.approx(float(target.mean()), rel=1e-9)


@pytest.mark.parametrize("orthogonal", [True, False])
def test_a_two_hot_critic_starts_at_0(orthogonal: bool) -> None:
    policy = policy_of(TwoHot(), orthogonal=orthogonal)
    assert isinstance(policy.returns, TwoHotBins)
    assert not policy.value(torch.randn(9, 3).double()).mean.any()
    assert not policy.float().value(torch.randn(9, 3)).mean.any()


def test_what_does_not_go_together_is_said_before_anything_runs() -> None:
    short: Any = {"env": "CartPole-v1", "total_steps": 8}
    for policy, algorithm, why in [
        (PolicyOptions(critic=TwoHot()), clipper.PPO(), "TwoHot.*MSE"),
        (PolicyOptions(), clipper.PPO(value_loss=CrossEntropy()), "Scalar.*CrossEntropy"),
    ]:
        with pytest.raises(ConfigError, match=why):
            clipper.train(policy=policy, algorithm=algorithm, **short)
    for wrong in (lambda: TwoHot(bins=4), lambda: TwoHot(limit=0), lambda: PopArt(0.0),
                  lambda: PolicyOptions(critic=TwoHot(), normalise_returns=True)):  # fmt: skip
        with pytest.raises(ConfigError):
            wrong()
    value, target = policy_of(TwoHot()).value(torch.zeros(2, 3).double()), torch.zeros(2).double()
    for loss in (MSE(), Huber(), ClippedMSE()):
        with pytest.raises(ConfigError, match="CrossEntropy"):
            loss(value, target, target)


def test_on_the_command_line() -> None:
    for text, value in (
        ("two_hot(51,10)", TwoHot(51, 10.0)),
        ("pop_art(0.2)", PopArt(0.2)),
        ("scalar", clipper.critics.Scalar()),
    ):
        assert from_text(text, Critic) == value
        assert from_text(to_text(value), Critic) == value
    assert from_text("cross_entropy", ValueLoss) == CrossEntropy()


class Thousands(gymnasium.Env):
    """What is seen times 5000, plus 20 000, is paid, whatever is done; an episode is one decision."""

    observation_space = Box(-1, 1, (1,))
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.x, {}

    def step(self, action):
        return self.x, 20_000 + 5_000 * float(self.x[0]), True, False, {}


KINDS = {
    "scalar": (clipper.critics.Scalar(), MSE()), "pop_art": (PopArt(), MSE()), "two_hot": (TwoHot(), CrossEntropy()),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_returns_of_any_size_are_learned(kind: str) -> None:
    critic, loss = KINDS[kind]
    algorithm = clipper.PPO(horizon=64, epochs=10, learning_rate=3e-3, value_loss=loss)
    policy = PolicyOptions(hidden=(32,), critic=critic)
    run = clipper.train(Thousands, algorithm, policy=policy, total_steps=8_000, num_envs=8, seed=0)
    x = torch.linspace(-0.9, 0.9, 7)[:, None]
    error = (run.policy.value(x).mean.detach() - (20_000 + 5_000 * x[:, 0])).abs().max()
    assert float(error) < 1_500 if kind != "scalar" else float(error) > 15_000


@pytest.mark.parametrize("kind", ["pop_art", "two_hot"])
def test_runs_are_resumed_exactly_and_loaded(kind: str, tmp_path: Path) -> None:
    critic, loss = KINDS[kind]
    kwargs: Any = {
        "algorithm": clipper.PPO(
            horizon=16, epochs=2, value_loss=loss, critic_target=TDLambda(0.95, lag=clipper.critic_targets.Periodic(2))
        ),
        "policy": PolicyOptions(hidden=(8,), critic=critic), "total_steps": 256, "num_envs": 2,
    }  # fmt: skip
    ours = clipper.train("CartPole-v1", run_dir=tmp_path / "whole", **kwargs)
    clipper.train("CartPole-v1", run_dir=tmp_path / "cut", callback=lambda run: run.iteration < 4, **kwargs)
    again = clipper.train(resume=tmp_path / "cut")
    assert again.exact
    theirs = again.state_dict()[0]
    assert all(torch.equal(x, theirs[name]) for name, x in ours.state_dict()[0].items())
    obs = torch.randn(5, 4)
    assert torch.equal(clipper.load(tmp_path / "cut").value(obs).mean, ours.policy.value(obs).mean)
