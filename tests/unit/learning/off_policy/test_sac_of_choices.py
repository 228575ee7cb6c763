"""SAC of choices, and of choices with arguments: steps beside loops over them, fixed points, and what they agree in."""

import math
from typing import Any

import pytest
import torch
from batches import OBSERVATIONS, small_policy
from gymnasium.spaces import Box, Discrete, OneOf
from tabular import MDP, bellman, every_pair, tabular_policy
from test_dqn import SGD
from torch import Generator, Tensor

import clipper
from clipper.learning.learner import Learner
from clipper.learning.replay import Transitions
from clipper.learning.temperature import EntropyShare, EntropyTarget
from clipper.networks.make_policy import make_policy
from clipper.networks.q_networks import BranchQNetworks, make_q_networks

B, K, RATE, TAU = 8, 3, 0.05, 0.3
SHARED: dict[str, Any] = {"learning_rate": RATE, "tau": TAU, "optimizer": SGD()}
SMALL = clipper.PolicyOptions(hidden=(5,), activation="relu", orthogonal=False)


def made(algorithm: Any, kind: Any) -> Learner:
    """A learner in float64, whose lagged copies are not what they are copies of."""
    learner = algorithm.init(small_policy(kind, algorithm.policy_options(SMALL)).double(), seed=1)
    g = Generator().manual_seed(12)
    for p in learner.modules["lagged_critics"].parameters():
        p.add_(0.3 * torch.randn(p.shape, generator=g, dtype=p.dtype))
    return learner


def drawn(masked: bool, arguments: bool) -> Transitions:
    g = Generator().manual_seed(13)
    obs, after = torch.randn(2, B, 3, generator=g, dtype=torch.float64)
    reward, discount = torch.randn(B, generator=g).double(), torch.full((B,), 0.9, dtype=torch.float64)
    discount[2] = 0
    legal = torch.rand(2, B, K, generator=g) < 0.5
    legal[..., 0] = True
    choice = torch.randint(K, (B,), generator=g)
    if not arguments:
        return Transitions(obs, choice, reward, discount, after, *(legal if masked else ((), ())))
    x = tuple(2 * torch.rand(B, size, generator=g, dtype=torch.float64) - 1 for size in (2, 1))
    action = choice, (x[0], torch.zeros(B, dtype=torch.int64), x[1])
    masks = tuple((m, ((), (), ())) for m in legal) if masked else ((), ())
    return Transitions(obs, action, reward, discount, after, *masks)


def legal_in(masks: Any, b: int) -> list[int]:
    mask = masks[0] if isinstance(masks, tuple) and masks else masks
    return [k for k in range(K) if not isinstance(mask, Tensor) or mask[b, k]]


def weights(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: x.detach().clone().requires_grad_() for name, x in module.named_parameters()}


def stepped(w: dict[str, Tensor], loss: Tensor) -> dict[str, Tensor]:
    gradients = torch.autograd.grad(loss, list(w.values()), allow_unused=True)
    return {
        name: (x - RATE * (torch.zeros_like(x) if g is None else g)).detach().requires_grad_()
        for (name, x), g in zip(w.items(), gradients, strict=True)
    }


def equal(module: torch.nn.Module, w: dict[str, Tensor]) -> None:
    for name, x in module.named_parameters():
        torch.testing.assert_close(x.detach(), w[name].detach(), rtol=1e-9, atol=1e-11)


def log_policy(w: dict[str, Tensor], s: Tensor, there: list[int], layer: str) -> dict[int, Tensor]:
    """log π(k|s) of the legal k: a softmax over them alone."""
    h = torch.relu(s @ w["actor.0.weight"].T + w["actor.0.bias"])
    logits = h @ w[f"{layer}.weight"].T + w[f"{layer}.bias"]
    return {k: logits[k] - torch.stack([logits[j] for j in there]).logsumexp(0) for k in there}


def q_of(w: dict[str, Tensor], i: int, inputs: Tensor, k: int) -> Tensor:
    h = torch.relu(inputs @ w["weights.0"][i] + w["biases.0"][i, 0])
    return (h @ w["weights.1"][i] + w["biases.1"][i, 0])[k]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("alpha", [0.3, EntropyShare(0.5, 0.3), EntropyTarget(0.7, 0.3)], ids=str)
def test_discrete_sac_s_step_is_a_sum_over_actions(masked: bool, alpha: Any) -> None:
    algorithm = clipper.DiscreteSAC(alpha=alpha, **SHARED)
    learner, batch = made(algorithm, "categorical"), drawn(masked, arguments=False)
    pi, q, slow = (weights(x) for x in (learner.policy, learner.modules["critics"], learner.modules["lagged_critics"]))
    algorithm.gradient_step(learner, batch)

    errors = []
    for b in range(B):
        s, after, there = batch.obs[b], batch.next_obs[b], legal_in(batch.next_mask, b)
        log_p = log_policy(pi, after, there, "head.logits")
        v = sum(log_p[k].exp() * (min(q_of(slow, i, after, k) for i in (0, 1)) - 0.3 * log_p[k]) for k in there)
        y = (batch.reward[b] + batch.discount[b] * v).detach()
        errors += [0.5 * (q_of(q, i, s, int(batch.action[b])) - y) ** 2 for i in (0, 1)]
    q = stepped(q, sum(errors) / B)  # pyright: ignore[reportArgumentType]
    losses, missing = [], 0.0
    for b in range(B):
        s, there = batch.obs[b], legal_in(batch.action_mask, b)
        log_p = log_policy(pi, s, there, "head.logits")
        lowest = {k: min(q_of(q, i, s, k).detach() for i in (0, 1)) for k in there}
        losses.append(sum(log_p[k].exp() * (0.3 * log_p[k] - lowest[k]) for k in there))
        entropy = -sum(float((x.exp() * x).detach()) for x in log_p.values())
        missing += ((0.5 * math.log(len(there)) if isinstance(alpha, EntropyShare) else 0.7) - entropy) / B
    equal(learner.modules["critics"], q)
    equal(learner.policy, stepped(pi, sum(losses) / B))  # pyright: ignore[reportArgumentType]
    equal(learner.modules["lagged_critics"], {n: (1 - TAU) * x + TAU * q[n] for n, x in slow.items()})
    moved = RATE * missing * (alpha != 0.3)
    assert float(learner.modules["alpha"]().log()) == pytest.approx(math.log(0.3) + moved, abs=1e-12)
    assert abs(moved) > 1e-3 or alpha == 0.3


def placed(arguments: tuple[Tensor, ...], k: int, b: int) -> Tensor:
    """(0 … xₖ … 0), where choice 1 has none."""
    x = torch.zeros(3, dtype=torch.float64)
    if k == 0:
        x = torch.cat([arguments[0][b], x[2:]])
    if k == 2:
        x = torch.cat([x[:2], arguments[2][b]])
    return x


def squashed(w: dict[str, Tensor], s: Tensor, noise: dict[int, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """xₖ = tanh(μₖ + σₖ ε) of each choice, with log πₖ(xₖ|s) by the change of variables; 0 where there is none."""
    h = torch.relu(s @ w["actor.0.weight"].T + w["actor.0.bias"])
    actions, densities = [], []
    for k in range(K):
        if k == 1:
            actions.append(torch.zeros(B))
            densities.append(torch.zeros(B, dtype=torch.float64))
            continue
        mean, log_std = (
            h @ w[f"head.arguments.heads.{k}.raw.{name}.weight"].T + w[f"head.arguments.heads.{k}.raw.{name}.bias"]
            for name in ("mean", "log_std.linear")
        )
        u = mean + log_std.exp() * noise[k]
        normal = torch.distributions.Normal(mean, log_std.exp()).log_prob(u)
        actions.append(u.tanh())
        densities.append((normal - torch.log(1 - u.tanh() ** 2)).sum(1))
    return actions, densities


@pytest.mark.parametrize("masked", [False, True])
def test_hybrid_sac_s_step_is_a_sum_over_choices_with_one_draw_each(masked: bool) -> None:
    algorithm = clipper.HybridSAC(
        alpha=EntropyShare(0.5, 0.3), argument_alpha=EntropyTarget(start=0.2), **SHARED
    )  # fmt: skip
    learner, batch = made(algorithm, "one of"), drawn(masked, arguments=True)
    pi, q, slow = (weights(x) for x in (learner.policy, learner.modules["critics"], learner.modules["lagged_critics"]))
    g = Generator()
    g.set_state(learner.generator.get_state())
    noises = []
    for _ in range(2):
        first = torch.randn(B, 2, generator=g, dtype=torch.float64)
        torch.rand(B, 1, generator=g, dtype=torch.float64)  # the choice of one
        noises.append({0: first, 2: torch.randn(B, 1, generator=g, dtype=torch.float64)})
    algorithm.gradient_step(learner, batch)

    def value(w: dict[str, Tensor], critics: dict[str, Tensor], s: Tensor, masks: Any, noise: Any) -> list[Any]:
        x, density = squashed(w, s, noise)
        found = []
        for b in range(B):
            there = legal_in(masks, b)
            log_p = log_policy(w, s[b], there, "head.choice.logits")
            terms = []
            for k in there:
                inputs = torch.cat([s[b], placed(tuple(x), k, b)])
                lowest = torch.stack([q_of(critics, i, inputs, k) for i in (0, 1)]).amin()
                terms.append(log_p[k].exp() * (lowest - 0.3 * log_p[k] - 0.2 * density[k][b]))
            found.append((sum(terms), log_p, {k: density[k][b] for k in there}))
        return found

    errors = []
    for b, (v, _, _) in enumerate(value(pi, slow, batch.next_obs, batch.next_mask, noises[0])):
        y = (batch.reward[b] + batch.discount[b] * v).detach()
        k = int(batch.action[0][b])
        inputs = torch.cat([batch.obs[b], placed(batch.action[1], k, b)])
        errors += [0.5 * (q_of(q, i, inputs, k) - y) ** 2 for i in (0, 1)]
    q = stepped(q, sum(errors) / B)  # pyright: ignore[reportArgumentType]
    found = value(pi, q, batch.obs, batch.action_mask, noises[1])
    moved = {"alpha": 0.0, "argument_alpha": 0.0}
    for _, *of_parts in found:
        log_p, density = ({k: x.detach() for k, x in part.items()} for part in of_parts)
        p = {k: float(x.exp()) for k, x in log_p.items()}
        moved["alpha"] += (0.5 * math.log(len(p)) + sum(p[k] * float(log_p[k]) for k in p)) * RATE / B
        moved["argument_alpha"] += sum(p[k] * (float(density[k]) - (2, 0, 1)[k]) for k in p) * RATE / B
    equal(learner.modules["critics"], q)
    equal(learner.policy, stepped(pi, -sum(v for v, _, _ in found) / B))  # pyright: ignore[reportArgumentType]
    for name, start in (("alpha", 0.3), ("argument_alpha", 0.2)):
        assert float(learner.modules[name]().log()) == pytest.approx(math.log(start) + moved[name], abs=1e-12)
        assert abs(moved[name]) > 1e-3


def test_q_of_a_choice_knows_nothing_of_other_choices_arguments() -> None:
    policy = small_policy("one of", clipper.HybridSAC().policy_options(SMALL))
    critics = make_q_networks(policy, 2, Generator().manual_seed(0))
    assert isinstance(critics, BranchQNetworks)
    x = tuple(torch.rand(4, size, requires_grad=True) for size in (2, 1, 1))
    for k in range(K):
        q = critics(torch.randn(4, 3), x)[..., k].sum()
        slopes = torch.autograd.grad(q, x, allow_unused=True)
        moved = [s is not None and bool((s != 0).any()) for s in slopes]
        assert moved == [k == 0, False, k == 2]  # choice 1 has none


def test_one_hot_policy_and_q_learn_the_fixed_point_of_soft_value_iteration() -> None:
    alpha = 0.8
    for masked in (False, True):
        algorithm = clipper.DiscreteSAC(alpha=alpha, gamma=MDP.gamma, tau=0.5, learning_rate=4.0, optimizer=SGD())
        learner = algorithm.init(tabular_policy(algorithm.policy_options(clipper.PolicyOptions(hidden=()))))
        batch = every_pair(masked)
        for _ in range(700):
            algorithm.gradient_step(learner, batch)
        states, expected = torch.arange(MDP.states), bellman(masked, alpha)
        q = learner.modules["critics"](states).detach()
        torch.testing.assert_close(q, expected.expand_as(q), atol=1e-3, rtol=0)
        dist = learner.policy.act(states, action_mask=MDP.legal if masked else ())[0]
        scores = expected / alpha
        scores = scores.masked_fill(~MDP.legal, -math.inf) if masked else scores
        torch.testing.assert_close(dist.probs.detach(), scores.softmax(-1), atol=1e-3, rtol=0)


TWINS = [
    (clipper.DiscreteSAC(alpha=0.3, **SHARED), Discrete(3), OneOf([Discrete(1)] * 3), "head.", "head.choice."),
    (clipper.SAC(alpha=0.2, **SHARED), Box(-1, 1, (2,)), OneOf([Box(-1, 1, (2,))]), "head.", "head.arguments.heads.0."),
]


@pytest.mark.parametrize(("plain", "space", "tree", "old", "new"), TWINS)
def test_special_cases_of_the_hybrid_one_are_the_others(plain: Any, space: Any, tree: Any, old: str, new: str) -> None:
    """Choices without arguments make it discrete SAC, a choice of one SAC: from the same weights, the same step."""
    hybrid, learners = clipper.HybridSAC(alpha=0.3, argument_alpha=0.2, **SHARED), []
    for algorithm, own in ((plain, space), (hybrid, tree)):
        policy = make_policy(OBSERVATIONS, own, algorithm.policy_options(SMALL), Generator().manual_seed(0))
        learners.append(algorithm.init(policy.double(), seed=1))
    a, b = learners
    pairs = [(x, dict(b.policy.named_parameters())[name.replace(old, new)]) for name, x in a.policy.named_parameters()]
    pairs += zip(a.modules["critics"].parameters(), b.modules["critics"].parameters(), strict=True)
    with torch.no_grad():
        for x, y in pairs:
            y.copy_(x)
    b.modules["lagged_critics"].load_state_dict(a.modules["lagged_critics"].state_dict())
    batch, nothing = drawn(False, arguments=False), torch.zeros(B, dtype=torch.int64)
    if isinstance(space, Discrete):
        action = batch.action, (nothing,) * 3
    else:
        x = 2 * torch.rand(B, 2, dtype=torch.float64, generator=Generator().manual_seed(3)) - 1
        batch, action = batch._replace(action=x), (nothing, (x,))
    before = [x.detach().clone() for x, _ in pairs]
    plain.gradient_step(a, batch)
    hybrid.gradient_step(b, batch._replace(action=action))
    for (x, y), old_x in zip(pairs, before, strict=True):
        assert not torch.equal(x, old_x)
        torch.testing.assert_close(y, x, rtol=1e-10, atol=1e-12)
