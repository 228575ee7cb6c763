"""Spinning Up's and CleanRL's steps of DDPG, TD3 and SAC, written once more as their scripts have them.

Their loops differ from the papers in where a factor stands and who waits for whom; Adam's steps do not see a factor.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from batches import small_policy
from torch import Generator, Tensor, nn
from torch.nn.functional import mse_loss

import clipper
from clipper.learning.learner import Learner
from clipper.learning.replay import Transitions

B, A = 32, 2


class Network(nn.Module):
    """Three inputs (and two), a hidden layer of five ReLUs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(inputs, 5), nn.ReLU(), nn.Linear(5, outputs))

    def forward(self, *x: Tensor) -> Tensor:
        return self.net(torch.cat(x, -1))


def batch() -> Transitions:
    g = Generator().manual_seed(3)
    obs, after = torch.randn(2, B, 3, generator=g)
    action = 2 * torch.rand(B, A, generator=g) - 1
    discount = torch.where(torch.rand(B, generator=g) < 0.2, 0.0, 0.99)
    return Transitions(obs, action, torch.randn(B, generator=g), discount, after)


def networks(learner: Learner) -> tuple[Network, list[Network]]:
    """Theirs, with our first weights: a policy whose outputs are means (and log σ), and critics."""
    ours, critics = dict(learner.policy.named_parameters()), learner.modules["critics"]
    names = [name for name in ours if name.startswith("head.")]
    weights, biases = (torch.cat([ours[n] for n in names if n.endswith(kind)]) for kind in ("weight", "bias"))
    actor = Network(3, len(biases))
    with torch.no_grad():
        for x, y in zip(
            actor.parameters(), (ours["actor.0.weight"], ours["actor.0.bias"], weights, biases), strict=True
        ):
            x.copy_(y)
        found = []
        for i in range(critics.count):
            q = Network(3 + A, 1)
            layers = zip(critics.weights, critics.biases, strict=True)
            for x, y in zip(q.parameters(), [x for w, b in layers for x in (w[i].T, b[i, 0])], strict=True):
                x.copy_(y)
            found.append(q)
    return actor, found


def agree(learner: Learner, actor: Network, critics: list[Network]) -> None:
    mine, own = networks(learner)
    for theirs, ours in zip((actor, *critics), (mine, *own), strict=True):
        for x, y in zip(theirs.parameters(), ours.parameters(), strict=True):
            torch.testing.assert_close(x, y, atol=1e-5, rtol=0)


def follow(slow: nn.Module, fast: nn.Module, polyak: float = 0.995) -> None:
    with torch.no_grad():
        for x, y in zip(slow.parameters(), fast.parameters(), strict=True):
            x.mul_(polyak).add_((1 - polyak) * y)


def deterministic(learner: Learner, x: Transitions, noise: Tensor, rate: float, twins: bool, steps: int) -> None:
    """Spinning Up's ``update`` of DDPG and TD3, which is CleanRL's loop for TD3, too."""
    actor, critics = networks(learner)
    slow_actor, slow_critics = copy.deepcopy(actor), copy.deepcopy(critics)
    pi_optimizer = torch.optim.Adam(actor.parameters(), lr=rate)
    q_optimizer = torch.optim.Adam([p for q in critics for p in q.parameters()], lr=rate)
    algorithm = algorithm_of(twins, rate)
    for step in range(1, steps + 1):
        with torch.no_grad():
            action = torch.tanh(slow_actor(x.next_obs))
            if twins:
                action = (action + (0.2 * noise).clamp(-0.5, 0.5)).clamp(-1, 1)
            value = torch.cat([q(x.next_obs, action) for q in slow_critics], -1).min(-1).values
            backup = x.reward + x.discount * value
        q_optimizer.zero_grad()
        sum(mse_loss(q(x.obs, x.action).squeeze(-1), backup) for q in critics).backward()  # pyright: ignore[reportAttributeAccessIssue]
        q_optimizer.step()
        if not twins or step % 2 == 0:
            pi_optimizer.zero_grad()
            (-critics[0](x.obs, torch.tanh(actor(x.obs)))).mean().backward()
            pi_optimizer.step()
            for slow, fast in zip((slow_actor, *slow_critics), (actor, *critics), strict=True):
                follow(slow, fast)
        learner.extra["gradient_steps"].fill_(step)
        algorithm.gradient_step(learner, x)
        agree(learner, actor, critics)


def algorithm_of(twins: bool, rate: float) -> Any:
    presets = clipper.presets
    if twins:
        return (presets.spinning_up_td3 if rate == 1e-3 else presets.cleanrl_td3)().algorithm
    return presets.spinning_up_ddpg().algorithm


@pytest.mark.parametrize(("twins", "rate"), [(False, 1e-3), (True, 1e-3), (True, 3e-4)])
def test_ddpg_and_td3(twins: bool, rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = algorithm_of(twins, rate)
    options = algorithm.policy_options(clipper.PolicyOptions(hidden=(5,), activation="relu", orthogonal=False))
    learner = algorithm.init(small_policy("gaussian", options), seed=1)
    x, noise = batch(), torch.randn(B, A, generator=Generator().manual_seed(9))
    monkeypatch.setattr(torch, "randn", lambda *_, **__: noise.clone())
    deterministic(learner, x, noise, rate, twins, 4)


def log_prob_of(outputs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Spinning Up's: N(u; μ, σ²), and its formula for the change of variables."""
    mean, log_std = outputs.chunk(2, -1)
    u = mean + log_std.exp() * noise
    log_prob = torch.distributions.Normal(mean, log_std.exp()).log_prob(u).sum(-1)
    return torch.tanh(u), log_prob - (2 * (torch.log(torch.tensor(2.0)) - u - nn.functional.softplus(-2 * u))).sum(-1)


def sac_step(
    x: Transitions, actor: Network, critics: list[Network], slow: list[Network], alpha: Tensor, noise: Tensor,
    steps: tuple[Callable[[Tensor], None], Callable[[Tensor], None]],
) -> Tensor:  # fmt: skip
    """Spinning Up's ``update``; returns log π of the policy's step."""
    with torch.no_grad():
        action, log_prob = log_prob_of(actor(x.next_obs), noise)
        value = torch.cat([q(x.next_obs, action) for q in slow], -1).min(-1).values
        backup = x.reward + x.discount * (value - alpha * log_prob)
    q_step, pi_step = steps
    q_step(sum(mse_loss(q(x.obs, x.action).squeeze(-1), backup) for q in critics))  # pyright: ignore[reportArgumentType]
    action, log_prob = log_prob_of(actor(x.obs), noise)
    q_pi = torch.cat([q(x.obs, action) for q in critics], -1).min(-1).values
    pi_step((alpha * log_prob - q_pi).mean())
    for one, fast in zip(slow, critics, strict=True):
        follow(one, fast)
    return log_prob


def stepping(optimizer: torch.optim.Optimizer) -> Callable[[Tensor], None]:
    def step(loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


@pytest.mark.parametrize("tuned", [False, True], ids=["Spinning Up", "CleanRL's critics and α"])
def test_sac(tuned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """α fixed, and one rate; or α tuned, with CleanRL's larger rate for it and the critics. (Its policy's second step
    of every second turn is not here.)"""
    config = clipper.presets.cleanrl_sac() if tuned else clipper.presets.spinning_up_sac()
    algorithm = config.algorithm
    assert isinstance(algorithm, clipper.SAC)
    policy = small_policy("gaussian", replace(config.policy, hidden=(5,)))
    learner, x = algorithm.init(policy, seed=1), batch()
    noise = 0.7 * torch.randn(B, A, generator=Generator().manual_seed(9))
    monkeypatch.setattr(clipper.distributions.SquashedGaussian, "sample", lambda d, _: d.mean + d.log_std.exp() * noise)
    actor, critics = networks(learner)
    slow = copy.deepcopy(critics)
    rates = (3e-4, 1e-3) if tuned else (1e-3, 1e-3)
    pi = torch.optim.Adam(actor.parameters(), lr=rates[0])
    q = torch.optim.Adam([p for one in critics for p in one.parameters()], lr=rates[1])
    log_alpha = torch.zeros((), requires_grad=True) if tuned else torch.tensor(0.2).log()
    alpha_optimizer = torch.optim.Adam([log_alpha], lr=rates[1]) if tuned else None
    for _ in range(4):
        algorithm.gradient_step(learner, x)
        log_prob = sac_step(x, actor, critics, slow, log_alpha.detach().exp(), noise, (stepping(q), stepping(pi)))
        if alpha_optimizer is not None:  # CleanRL has α before the bracket; Clipper, SB3 and the authors its logarithm
            stepping(alpha_optimizer)((-log_alpha * (log_prob.detach() - A)).mean())
        agree(learner, actor, critics)
    assert float(learner.modules["alpha"]()) == pytest.approx(float(log_alpha.detach().exp()), abs=1e-6)
