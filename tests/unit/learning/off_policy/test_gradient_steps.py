"""One gradient step of SAC, TD3 and DDPG beside the papers' formulas, written out for a hidden layer, in float64."""

import copy
import math
from typing import Any

import pytest
import torch
from batches import OBSERVATIONS, small_policy
from gymnasium.spaces import Box, Discrete
from torch import Generator, Tensor, nn

import clipper
from clipper.distributions import SquashedGaussian
from clipper.learning.learner import Learner
from clipper.learning.replay import Transitions
from clipper.learning.temperature import EntropyTarget
from clipper.networks.make_policy import make_policy

RATE, TAU, B, A = 0.05, 0.3, 7, 2
Weights = dict[str, Tensor]


class SGD:
    """Plain steps, whose size is the gradient's: Adam's first one would hide a wrong factor."""

    def make(self, parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD([parameters] if isinstance(parameters, nn.Parameter) else parameters, lr=1.0)


SHARED: dict[str, Any] = {"learning_rate": RATE, "tau": TAU, "optimizer": SGD()}


def made(algorithm: Any) -> Learner:
    """A learner in float64, whose lagged copies are not what they are copies of."""
    options = algorithm.policy_options(clipper.PolicyOptions(hidden=(5,), activation="relu", orthogonal=False))
    learner = algorithm.init(small_policy("gaussian", options).double(), seed=1)
    g = Generator().manual_seed(2)
    for name, module in learner.modules.items():
        for p in module.parameters() if name.startswith("lagged") else ():
            p.add_(0.3 * torch.randn(p.shape, generator=g, dtype=p.dtype))
    return learner


def drawn() -> Transitions:
    g = Generator().manual_seed(3)
    obs, after = torch.randn(2, B, 3, generator=g, dtype=torch.float64)
    action, reward = 2 * torch.rand(B, A, generator=g, dtype=torch.float64) - 1, torch.randn(B, generator=g).double()
    discount = torch.full((B,), 0.9, dtype=torch.float64)
    discount[2] = 0
    return Transitions(obs, action, reward, discount, after)


def leaves_of(module: nn.Module) -> Weights:
    return {name: x.detach().clone().requires_grad_() for name, x in module.named_parameters()}


def hidden(w: Weights, s: Tensor) -> Tensor:
    return torch.relu(s @ w["actor.0.weight"].T + w["actor.0.bias"])


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def q_of(w: Weights, i: int, s: Tensor, a: Tensor) -> Tensor:
    h = torch.relu(torch.cat([s, a], 1) @ w["weights.0"][i] + w["biases.0"][i])
    return (h @ w["weights.1"][i] + w["biases.1"][i])[:, 0]


def stepped(w: Weights, loss: Tensor) -> Weights:
    gradients = torch.autograd.grad(loss, list(w.values()), allow_unused=True)
    return {
        name: (x - RATE * (torch.zeros_like(x) if g is None else g)).detach().requires_grad_()
        for (name, x), g in zip(w.items(), gradients, strict=True)
    }


def followed(lagged: Weights, w: Weights) -> Weights:
    return {name: (1 - TAU) * x + TAU * w[name] for name, x in lagged.items()}


def equal(module: nn.Module, w: Weights) -> None:
    for name, x in module.named_parameters():
        torch.testing.assert_close(x.detach(), w[name].detach(), rtol=1e-10, atol=1e-12)


def tanh_gaussian(w: Weights, s: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """a = tanh(μ + σ ε), and log π(a|s) by the change of variables."""
    mean, log_std = (linear(w, name, hidden(w, s)) for name in ("head.raw.mean", "head.raw.log_std.linear"))
    u = mean + log_std.exp() * noise
    normal = torch.distributions.Normal(mean, log_std.exp()).log_prob(u)
    return u.tanh(), (normal - torch.log(1 - u.tanh() ** 2)).sum(1)


@pytest.mark.parametrize("alpha", [0.3, EntropyTarget(start=0.3), EntropyTarget(0.7, 0.3)], ids=str)
def test_sac_s_step(alpha: Any) -> None:
    algorithm = clipper.SAC(alpha=alpha, **SHARED)
    learner, batch = made(algorithm), drawn()
    modules, s, after = learner.modules, batch.obs, batch.next_obs
    pi, q, lagged = (leaves_of(x) for x in (learner.policy, modules["critics"], modules["lagged_critics"]))
    g = Generator()
    g.set_state(learner.generator.get_state())
    first, second = (torch.randn(B, A, generator=g, dtype=torch.float64) for _ in range(2))
    algorithm.gradient_step(learner, batch)

    with torch.no_grad():
        a, log_prob = tanh_gaussian(pi, after, first)
        value = torch.minimum(q_of(lagged, 0, after, a), q_of(lagged, 1, after, a)) - 0.3 * log_prob
        y = batch.reward + batch.discount * value
    q = stepped(q, sum((0.5 * (q_of(q, i, s, batch.action) - y) ** 2).mean() for i in (0, 1)))  # pyright: ignore[reportArgumentType]
    a, log_prob = tanh_gaussian(pi, s, second)
    pi = stepped(pi, (0.3 * log_prob - torch.minimum(q_of(q, 0, s, a), q_of(q, 1, s, a))).mean())
    equal(modules["critics"], q)
    equal(learner.policy, pi)
    equal(modules["lagged_critics"], followed(lagged, q))
    wanted = alpha.entropy if isinstance(alpha, EntropyTarget) and alpha.entropy is not None else -A
    moved = RATE * float((log_prob + wanted).mean().detach()) * isinstance(alpha, EntropyTarget)
    assert float(modules["alpha"]().log()) == pytest.approx(math.log(0.3) + moved, abs=1e-12)
    assert abs(moved) > 0.01 or alpha == 0.3


def mu(w: Weights, s: Tensor) -> Tensor:
    return linear(w, "head.raw", hidden(w, s)).tanh()


def parts_of(learner: Learner) -> tuple[Weights, ...]:
    modules = learner.modules
    return tuple(
        leaves_of(x) for x in (learner.policy, modules["lagged_actor"], modules["critics"], modules["lagged_critics"])
    )


def test_ddpg_s_step() -> None:
    algorithm = clipper.DDPG(**SHARED)
    learner, batch = made(algorithm), drawn()
    pi, slow_pi, q, slow_q = parts_of(learner)
    algorithm.gradient_step(learner, batch)

    with torch.no_grad():
        y = batch.reward + batch.discount * q_of(slow_q, 0, batch.next_obs, mu(slow_pi, batch.next_obs))
    q = stepped(q, ((q_of(q, 0, batch.obs, batch.action) - y) ** 2).mean())
    pi = stepped(pi, -q_of(q, 0, batch.obs, mu(pi, batch.obs)).mean())
    equal(learner.modules["critics"], q)
    equal(learner.policy, pi)
    equal(learner.modules["lagged_critics"], followed(slow_q, q))
    equal(learner.modules["lagged_actor"], followed(slow_pi, pi))


def test_td3_s_steps_of_which_every_second_moves_the_policy() -> None:
    algorithm = clipper.TD3(target_noise=0.8, noise_clip=0.5, **SHARED)
    learner, batch = made(algorithm), drawn()
    pi, slow_pi, q, slow_q = parts_of(learner)
    for step in (1, 2):
        g = Generator()
        g.set_state(learner.generator.get_state())
        noise = (0.8 * torch.randn(B, A, generator=g, dtype=torch.float64)).clip(-0.5, 0.5)
        assert (noise.abs() == 0.5).any()
        learner.extra["gradient_steps"].fill_(step)
        algorithm.gradient_step(learner, batch)

        with torch.no_grad():
            a = (mu(slow_pi, batch.next_obs) + noise).clip(-1, 1)
            y = batch.reward + batch.discount * torch.minimum(*(q_of(slow_q, i, batch.next_obs, a) for i in (0, 1)))
        q = stepped(q, sum(((q_of(q, i, batch.obs, batch.action) - y) ** 2).mean() for i in (0, 1)))  # pyright: ignore[reportArgumentType]
        if step == 2:
            pi = stepped(pi, -q_of(q, 0, batch.obs, mu(pi, batch.obs)).mean())
            slow_q, slow_pi = followed(slow_q, q), followed(slow_pi, pi)
        for module, w in zip(
            (learner.policy, learner.modules["lagged_actor"], learner.modules["critics"],
             learner.modules["lagged_critics"]), (pi, slow_pi, q, slow_q), strict=True,
        ):  # fmt: skip
            equal(module, w)


class Exact(nn.Module):
    """Q(a) = k (−(u − m)² / 2d² − log(1 − a²)) with a = tanh(u): the reward of a task that ends at once."""

    m, d = torch.tensor([0.4, -0.8]), torch.tensor([0.5, 0.9])

    def __init__(self, k: float) -> None:
        super().__init__()
        self.k, self.zero = k, nn.Parameter(torch.zeros(()))

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        a = action.clamp(-1 + 1e-6, 1 - 1e-6)
        each = -((a.atanh() - self.m) ** 2) / (2 * self.d**2) - torch.log(1 - a**2)
        return (self.k * each.sum(-1) + self.zero).expand(2, -1)


@pytest.mark.parametrize("tuned", [False, True])
def test_sac_ends_where_the_policy_is_the_exponential_of_q_over_alpha(tuned: bool) -> None:
    """π* ∝ exp(Q/α), which for this Q and α = k is the tanh Gaussian of m and d; α finds k by that one's entropy."""
    k = 0.4
    options = clipper.SAC().policy_options(clipper.PolicyOptions(hidden=()))
    policy = make_policy(OBSERVATIONS, Box(-1, 1, (A,)), options, Generator().manual_seed(0))
    entropy = float(SquashedGaussian(Exact.m, Exact.d.log()).entropy())
    alpha = EntropyTarget(entropy, 2.0) if tuned else k
    algorithm = clipper.SAC(alpha=alpha, learning_rate=clipper.schedules.Linear(0.05))
    learner = algorithm.init(policy)
    learner.modules["critics"] = learner.modules["lagged_critics"] = exact = Exact(k)
    learner.parts["critics"] = type(learner.parts[""])([exact.zero], torch.optim.SGD([exact.zero], lr=0.0))
    obs, g = torch.zeros(256, 3), Generator().manual_seed(1)
    steps = 400
    for i in range(steps):
        learner.progress = i / steps
        action = 2 * torch.rand(256, A, generator=g) - 1
        reward = exact(obs, action)[0].detach()
        algorithm.gradient_step(learner, Transitions(obs, action, reward, torch.zeros(256), obs))
    mean, log_std = policy.act(torch.zeros(1, 3))[0].params
    torch.testing.assert_close(mean[0], Exact.m, atol=0.05, rtol=0)
    torch.testing.assert_close(log_std[0].exp(), Exact.d, atol=0.05, rtol=0)
    assert float(learner.modules["alpha"]()) == pytest.approx(k, rel=0.1)


def test_q_networks_are_as_many_networks_side_by_side() -> None:
    """Each with weights of its own; where observations are encoded with weights, the critics have theirs."""
    options = clipper.SAC().policy_options(
        clipper.PolicyOptions(hidden=(5,), encoder=clipper.EncoderOptions(embedding=3))
    )
    policy = make_policy(Discrete(4), Box(-1, 1, (A,)), options, Generator().manual_seed(0))
    algorithm = clipper.SAC(**SHARED)
    learner = algorithm.init(policy)
    before, own = copy.deepcopy(policy.state_dict()), learner.modules["critics"].encoder
    assert own is not policy.encoder
    batch = drawn()
    states = torch.tensor([0, 1, 2, 3, 0, 1, 2])
    action, reward, discount = batch.action.float(), batch.reward.float(), batch.discount.float()
    batch = Transitions(states, action, reward, discount, states.flip(0))
    q = learner.modules["critics"](states, batch.action)
    assert q.shape == (2, B)
    assert not torch.allclose(q[0], q[1])
    table = own.table.detach().clone()
    algorithm.gradient_step(learner, batch)
    assert not torch.equal(own.table, table)
    assert not torch.equal(policy.state_dict()["encoder.table"], before["encoder.table"])
    lagged = learner.modules["lagged_critics"].encoder.table
    torch.testing.assert_close(lagged, (1 - TAU) * table + TAU * own.table.detach())
