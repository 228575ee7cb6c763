"""A critic of h(V): the transform against the paper's formulas, its losses by hand, and learning large returns."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

import clipper
from clipper.data.steps import Steps
from clipper.errors import ConfigError
from clipper.functional.objectives import rescale, restore
from clipper.learning.critic_targets import Polyak, TDLambda
from clipper.learning.value_losses import MSE, ClippedMSE, Huber
from clipper.networks.critics import Critic, Rescaled
from clipper.networks.policy_options import PolicyOptions
from clipper.settings.option_text import from_text, to_text

EPSILON = 1e-3


def h(x: float, epsilon: float = EPSILON) -> float:
    """As the paper writes it."""
    return math.copysign(math.sqrt(abs(x) + 1) - 1, x) + epsilon * x


def h_inverse(y: float, epsilon: float = EPSILON) -> float:
    """By bisection: h grows."""
    low, high = -1e12, 1e12
    for _ in range(300):
        middle = (low + high) / 2
        low, high = (middle, high) if h(middle, epsilon) < y else (low, middle)
    return (low + high) / 2


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.sampled_from([0.0, 1e-3, 1e-2, 1.0]))
def test_the_inverse_is_the_inverse(numbers: list[float], epsilon: float) -> None:
    x = torch.tensor(numbers, dtype=torch.float64)
    np.testing.assert_allclose(restore(rescale(x, epsilon), epsilon).numpy(), numbers, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(rescale(restore(x, epsilon), epsilon).numpy(), numbers, rtol=1e-12, atol=1e-9)


def test_h_and_its_inverse_are_the_paper_s() -> None:
    x = torch.tensor([-1e5, -3.0, -1e-3, 0.0, 1e-9, 0.5, 24.0, 1e4], dtype=torch.float64)
    np.testing.assert_allclose(rescale(x, EPSILON).numpy(), [h(float(v)) for v in x], rtol=1e-9, atol=1e-14)
    y = torch.tensor([-40.0, -1.0, 0.0, 0.3, 7.0, 200.0], dtype=torch.float64)
    np.testing.assert_allclose(restore(y, EPSILON).numpy(), [h_inverse(float(v)) for v in y], rtol=1e-9, atol=1e-3)
    a = y.numpy()
    root = (np.sqrt(1 + 4 * EPSILON * (abs(a) + 1 + EPSILON)) - 1) / (2 * EPSILON)
    np.testing.assert_allclose(restore(y, EPSILON).numpy(), np.sign(a) * (root**2 - 1), rtol=1e-9, atol=1e-9)
    single = restore(rescale(x.float(), EPSILON), EPSILON)
    np.testing.assert_allclose(single.numpy(), x.numpy(), rtol=1e-5)


def test_slopes_by_finite_differences() -> None:
    x = torch.tensor([-50.0, -0.2, 0.0, 0.4, 3000.0], dtype=torch.float64, requires_grad=True)
    for f in (lambda v: rescale(v, EPSILON), lambda v: restore(v, EPSILON)):
        assert torch.autograd.gradcheck(f, (x,))
    (slope,) = torch.autograd.grad(rescale(x, EPSILON).sum(), x)
    assert float(slope[2]) == pytest.approx(0.5 + EPSILON, rel=1e-12)


def policy_of(critic: Critic, **fields: Any) -> Any:
    options = PolicyOptions(**{"hidden": (8,), "critic": critic} | fields)
    return clipper.make_policy(Box(-1, 1, (3,)), Discrete(2), options, Generator().manual_seed(0)).double()


def test_losses_are_errors_of_h() -> None:
    policy, obs = policy_of(Rescaled(EPSILON)), torch.randn(6, 3, generator=Generator().manual_seed(1)).double()
    answer = policy.value(obs)
    raw = policy.value_layer(policy.critic(policy.encoder(obs))).squeeze(-1).detach().numpy()
    np.testing.assert_allclose(answer.mean.detach().numpy(), [h_inverse(float(z)) for z in raw], atol=1e-3)
    target = torch.tensor([0.0, -3.0, 1e4, 0.1, 250.0, -7.0], dtype=torch.float64)
    old = answer.mean.detach() + torch.linspace(-2, 2, 6).double()
    errors = raw - np.array([h(float(r)) for r in target])
    near = np.array([h(float(v)) for v in old])
    clipped = near + np.clip(raw - near, -0.2, 0.2) - np.array([h(float(r)) for r in target])
    for loss, expected in (
        (MSE(), errors**2),
        (Huber(1.0), np.where(abs(errors) <= 1, errors**2, 2 * abs(errors) - 1)),
        (ClippedMSE(0.2), np.maximum(errors**2, clipped**2)),
    ):
        np.testing.assert_allclose(loss(answer, target, old).detach().numpy(), expected, rtol=1e-9, atol=1e-12)


def test_targets_are_in_the_rewards_units() -> None:
    """GAE reads h⁻¹ of what the layer says, and its targets are not rescaled."""
    policy = policy_of(Rescaled(EPSILON)).float()
    learner = (algorithm := clipper.A2C(horizon=4, lam=0.9, gamma=0.8)).init(policy)
    obs = torch.randn(5, 1, 3, generator=Generator().manual_seed(3))
    flags, reward = torch.zeros(4, 1, dtype=torch.bool), torch.tensor([[1.0], [-2.0], [300.0], [4.0]])
    steps = Steps(obs[:4], torch.zeros(4, 1, dtype=torch.int64), torch.zeros(4, 1), reward, flags, flags, ~flags)
    targets = algorithm.targets(learner, steps, obs[4])
    raw = policy.value_layer(policy.critic(policy.encoder(obs))).flatten()
    v, advantage = [h_inverse(float(z)) for z in raw.detach()], 0.0
    for t in (3, 2, 1, 0):
        advantage = float(reward[t]) + 0.8 * v[t + 1] - v[t] + 0.8 * 0.9 * advantage
        assert float(targets.advantage[t]) == pytest.approx(advantage, rel=1e-4, abs=1e-2)
        assert float(targets.value_target[t]) == pytest.approx(advantage + v[t], rel=1e-4, abs=1e-2)


@pytest.mark.parametrize("algorithm", ["ppo", "a2c"])
def test_large_returns_are_learned(algorithm: str) -> None:
    """Episodes of one decision that pay 200 + 50 x, whatever is done, by a critic that is linear in x."""
    rate, updates = clipper.schedules.Linear(0.4), 25 if algorithm == "ppo" else 100
    made: Any = {
        "ppo": clipper.PPO(epochs=2, minibatches=2, learning_rate=rate), "a2c": clipper.A2C(learning_rate=rate)
    }[algorithm]  # fmt: skip
    learner = made.init(policy_of(Rescaled(EPSILON), hidden=()).float())
    generator, yes = Generator().manual_seed(0), torch.ones(4, 16, dtype=torch.bool)
    for update in range(updates):
        learner.advance(update / updates)
        obs = 2 * torch.rand(5, 16, 3, generator=generator) - 1
        zeros, reward = torch.zeros(4, 16), 200 + 50 * obs[:-1, :, 0]
        made.update(learner, Steps(obs[:-1], zeros.long(), zeros - 0.69, reward, yes, yes, yes), obs[-1])
    x = torch.tensor([[a, b, 0.0] for a in (-0.8, 0.0, 0.8) for b in (-0.5, 0.5)])
    error = (learner.policy.value(x).mean.detach() - (200 + 50 * x[:, 0])).abs().max()
    assert float(error) < 15


@pytest.mark.long
def test_runs_are_resumed_exactly_and_loaded(tmp_path: Path) -> None:
    kwargs: Any = {
        "algorithm": clipper.PPO(horizon=16, epochs=2, critic_target=TDLambda(0.95, lag=Polyak(0.2))),
        "policy": PolicyOptions(hidden=(8,), critic=Rescaled(0.01)), "total_steps": 128, "num_envs": 2,
    }  # fmt: skip
    ours = clipper.train("CartPole-v1", run_dir=tmp_path / "whole", **kwargs)
    clipper.train("CartPole-v1", run_dir=tmp_path / "cut", callback=lambda run: run.iteration < 2, **kwargs)
    again = clipper.train(resume=tmp_path / "cut")
    assert again.exact
    theirs = again.state_dict()[0]
    assert all(torch.equal(x, theirs[name]) for name, x in ours.state_dict()[0].items())
    obs = torch.randn(5, 4)
    assert torch.equal(clipper.load(tmp_path / "cut").value(obs).mean, ours.policy.value(obs).mean)


def test_on_the_command_line_and_what_does_not_fit() -> None:
    assert from_text("rescaled(0.01)", Critic) == Rescaled(0.01)
    assert from_text(to_text(Rescaled(0.5)), Critic) == Rescaled(0.5)
    with pytest.raises(ConfigError, match="Rescaled copes with returns of any size"):
        PolicyOptions(critic=Rescaled(), normalise_returns=True)
    with pytest.raises(ConfigError, match="epsilon"):
        Rescaled(-1.0)
    with pytest.raises(ConfigError, match=r"Rescaled.*CrossEntropy"):
        clipper.train(
            "CartPole-v1", clipper.PPO(value_loss=clipper.value_losses.CrossEntropy()),
            policy=PolicyOptions(critic=Rescaled()), total_steps=8,
        )  # fmt: skip


def test_the_engine_and_its_reason_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPER_ENGINE", raising=False)
    with pytest.raises(ConfigError, match="read by a Rescaling"):
        clipper.train(
            "CartPole-v1", clipper.PPO(horizon=8), policy=PolicyOptions(critic=Rescaled()), total_steps=64,
            engine="cpu",
        )  # fmt: skip
