"""The flat learner takes the steps that torch's own tools take on an ordinary model, and resumes exactly."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from batches import Kind, make_steps, small_policy
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor, nn

from clipper.algorithms import (
    A2C,
    NPG,
    PPO,
    TRPO,
    VPG,
    Algorithm,
    ImportanceSampling,
    PPOPenalty,
    PPOSeparate,
    Reinforce,
)
from clipper.data.steps import Steps, Targets
from clipper.errors import ConfigError
from clipper.learning.advantages import Standardised
from clipper.learning.gradient_step import gradient_step
from clipper.learning.importance_weights import CausalProduct
from clipper.learning.kl import KLStop, Sampled
from clipper.learning.minibatches import minibatches
from clipper.learning.optimizers import Adam, RMSPropTF
from clipper.learning.parts import flatten
from clipper.learning.rewards import Scaled
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.policy_options import PolicyOptions

KINDS: list[Kind] = ["categorical", "gaussian"]


def loss_of(policy: ActorCritic, obs: Tensor, scale: float) -> Tensor:
    """Some scalar in which every parameter takes part."""
    dist, value = policy(obs)
    return scale * (dist.log_prob(dist.mode.detach() + 0).mean() + dist.entropy().mean() + value.mean.square().mean())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", [False, True])
def test_flattening_changes_neither_outputs_nor_gradients(kind: Kind, shared: bool) -> None:
    policy = small_policy(kind, PolicyOptions(hidden=(5,), shared=shared))
    ordinary = deepcopy(policy)
    obs = torch.randn(20, 3, generator=Generator().manual_seed(0))
    flat = flatten(policy.parameters())
    assert flat.numel() == sum(p.numel() for p in ordinary.parameters())
    for model in (policy, ordinary):
        loss_of(model, obs, 1.0).backward()
    assert torch.equal(policy.value(obs).mean, ordinary.value(obs).mean)
    assert flat.grad is not None
    gradients = [p.grad.flatten() for p in ordinary.parameters() if p.grad is not None]
    assert torch.equal(flat.grad, torch.cat(gradients))
    with torch.no_grad():
        flat.zero_()
    assert all((p == 0).all() for p in policy.parameters()), "the parameters are views of the flat one"


def test_frozen_parameters_stay_out() -> None:
    policy = small_policy("categorical")
    for parameter in policy.critic.parameters():
        parameter.requires_grad_(False)
    trainable = sum(p.numel() for p in policy.parameters() if p.requires_grad)
    assert PPO().init(policy).parameters.numel() == trainable


def test_one_vector_holds_one_dtype() -> None:
    with pytest.raises(ConfigError, match="dtype"):
        flatten(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()).parameters())


@pytest.mark.parametrize(
    ("adam", "theirs"),
    [
        (Adam(), {"eps": 1e-5, "betas": (0.9, 0.999), "weight_decay": 0.0}),
        (Adam(1e-8), {}),
        (Adam(1e-3, (0.5, 0.9)), {"eps": 1e-3, "betas": (0.5, 0.9)}),
        (Adam(betas=(0.0, 0.7)), {"eps": 1e-5, "betas": (0.0, 0.7)}),
        (Adam(weight_decay=0.3), {"eps": 1e-5, "weight_decay": 0.3}),
        (Adam(1e-4, (0.8, 0.95), 0.1), {"eps": 1e-4, "betas": (0.8, 0.95), "weight_decay": 0.1}),
    ],
    ids=["default", "torch's", "betas", "no mean", "decay", "all"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_steps_equal_torchs_clipping_and_adam(kind: Kind, adam: Adam, theirs: dict[str, Any]) -> None:
    """Losses whose gradients are now shorter than the bound, now longer, and a learning rate that changes."""
    policy = small_policy(kind).double()
    ordinary = deepcopy(policy)
    learner = PPO(optimizer=adam).init(policy)
    optimizer = torch.optim.Adam(ordinary.parameters(), **theirs)
    obs = torch.randn(20, 3, generator=Generator().manual_seed(0), dtype=torch.float64)
    clipped = []
    for scale, rate in [(1.0, 1e-2), (100.0, 1e-2), (1e-3, 5e-3), (10.0, 1e-3), (1e-2, 0.0), (1.0, 1e-2)]:
        norm = gradient_step(learner, loss_of(policy, obs, scale), rate, 0.5)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss_of(ordinary, obs, scale).backward()
        expected = nn.utils.clip_grad_norm_(ordinary.parameters(), 0.5)
        optimizer.step()
        clipped.append(bool(expected > 0.5))
        torch.testing.assert_close(norm, expected, rtol=1e-12, atol=0)
        for ours, expected in zip(policy.parameters(), ordinary.parameters(), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)
    assert set(clipped) == {True, False}


def numbered(mask: Tensor) -> Targets:
    """Targets whose every field holds the row's number, and −1 where the row is no decision."""
    number = torch.arange(mask.numel()).view(mask.shape).masked_fill(~mask, -1)
    x, no = number.float(), torch.zeros_like(mask)
    return Targets(Steps({"a": number, "b": (x[..., None],)}, number, x, x, no, no, mask), x, x, x)


@given(rows=st.integers(1, 12), envs=st.integers(1, 5), parts=st.integers(1, 7), seed=st.integers(0, 1000))
def test_each_epoch_visits_each_decision_once(rows: int, envs: int, parts: int, seed: int) -> None:
    generator = Generator().manual_seed(seed)
    mask = torch.rand(rows, envs, generator=generator) < 0.7
    mask[0, 0] = True
    wanted = numbered(mask).steps.action[mask].tolist()
    batches = list(minibatches(numbered(mask), 3, parts, generator))
    per_epoch = min(parts, len(wanted))
    assert len(batches) == 3 * per_epoch
    for epoch in range(3):
        chosen = batches[epoch * per_epoch : (epoch + 1) * per_epoch]
        sizes = [len(b.advantage) for b in chosen]
        assert max(sizes) - min(sizes) <= 1
        assert sorted(i for b in chosen for i in b.steps.action.tolist()) == wanted
    for b in batches:
        assert b.steps.mask.all()
        number = b.steps.action
        fields = (b.steps.obs["a"], b.steps.obs["b"][0].squeeze(-1), b.steps.log_prob, b.advantage, b.value)
        assert all(torch.equal(x.long(), number) for x in fields), "the fields of a decision stay together"


def test_epochs_are_shuffled_anew_by_the_given_generator() -> None:
    mask = torch.ones(8, 8, dtype=torch.bool)
    first, second = (b.steps.action for b in minibatches(numbered(mask), 2, 1, Generator().manual_seed(0)))
    again = next(minibatches(numbered(mask), 1, 1, Generator().manual_seed(0))).steps.action
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


RESUMED = [
    PPO(epochs=2, minibatches=3, rewards=Scaled(), entropy_coef=0.01),
    PPO(epochs=2, minibatches=3, advantages=Standardised("batch"), stop=KLStop(0.01), clip=(0.2, 0.28)),
    Reinforce(),
    TRPO(rewards=Scaled()),
    NPG(value_epochs=2),
    VPG(value_epochs=2),
    A2C(),
    PPOSeparate(epochs=3, value_epochs=2, minibatches=2, rewards=Scaled()),
    PPOSeparate(epochs=3, value_epochs=2, critic_first=True, kl=Sampled("k2")),
    PPOPenalty(epochs=2, learning_rate=0.02),
    ImportanceSampling(weights=CausalProduct(), max_steps=3),
]
NAMES = ["ppo scaled", "ppo batch", "reinforce", "trpo", "npg", "vpg", "a2c", "apart", "critic first", "penalty", "is"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", RESUMED, ids=NAMES)
def test_a_restored_learner_goes_on_bit_for_bit(kind: Kind, algorithm: Algorithm) -> None:
    options = PolicyOptions(hidden=(5,), normalise_obs=True, normalise_returns=True)
    policy = small_policy(kind, options)
    learner = algorithm.init(policy, seed=1)
    other = algorithm.init(small_policy(kind, options, seed=9), seed=9)
    batches = [make_steps(policy, rows=11, envs=3, seed=i) for i in range(5)]
    for steps, last in batches[:2]:
        algorithm.update(learner, steps, last)
    algorithm.update(other, *batches[4])  # what it has done so far must not matter
    learner.progress = 0.25
    saved = {name: x.clone() for name, x in learner.state_dict().items()}
    other.load_state_dict(saved)
    for steps, last in batches[2:4]:
        ours, theirs = algorithm.update(learner, steps, last), algorithm.update(other, steps, last)
        assert {k: v.item() for k, v in ours.items()} == {k: v.item() for k, v in theirs.items()}
    left, right = learner.state_dict(), other.state_dict()
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    step, *_ = [name for name in saved if name in ("adam.step", "rmsprop.step", "critic_adam.step")]
    assert not torch.equal(saved[step], left[step]), "a saved state does not change with the learner"


def test_a_fresh_state_makes_a_used_learner_fresh() -> None:
    algorithm = PPO(epochs=2, minibatches=2, rewards=Scaled())
    policy = small_policy("categorical")
    fresh, used = algorithm.init(policy, seed=1), algorithm.init(deepcopy(policy), seed=1)
    steps, last = make_steps(policy, rows=11, envs=3, seed=0)
    state = {name: x.clone() for name, x in fresh.state_dict().items()}
    algorithm.update(used, steps, last)
    used.load_state_dict(state)
    for learner in (fresh, used):
        algorithm.update(learner, steps, last)
    assert torch.equal(fresh.parameters, used.parameters)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", RESUMED, ids=NAMES)
def test_what_stands_in_rows_that_are_no_decision_changes_no_bit(kind: Kind, algorithm: Algorithm) -> None:
    """Reward, log-prob and action there, and the observation after a termination; after a truncation it counts."""
    options = PolicyOptions(hidden=(5,), normalise_obs=True, normalise_returns=True)
    results = []
    for variant in ("plain", "nan", "after truncation"):
        policy = small_policy(kind, options)
        learner = algorithm.init(policy, seed=1)
        steps, last = make_steps(policy, rows=30, envs=4, seed=3)
        gap = ~steps.mask
        after = torch.zeros_like(gap)
        after[1:] = (steps.terminated if variant == "nan" else steps.done & ~steps.terminated)[:-1]
        assert (gap & after).any()
        if variant == "nan":
            steps = steps._replace(
                log_prob=steps.log_prob.masked_fill(gap, torch.nan),
                action=steps.action.masked_fill(gap.view(*gap.shape, *[1] * (steps.action.ndim - 2)), 2),
            )
        if variant != "plain":
            noise = torch.nan if variant == "nan" else 3.0
            steps = steps._replace(obs=steps.obs.masked_fill((gap & after)[..., None], noise))
        algorithm.update(learner, steps, last)
        results.append(learner.parameters.detach().clone())
    plain, masked, truncated = results
    assert torch.equal(plain, masked)
    assert torch.equal(plain, truncated) == isinstance(algorithm, Reinforce | ImportanceSampling), (
        "only whole episodes never bootstrap"
    )


def test_tensorflows_rmsprop_is_its_recurrence_and_resumes() -> None:
    """g = 1 at first and ε below the root: written out for one number at a time, with a resumption in between."""
    algorithm = A2C(optimizer=RMSPropTF(0.9, 1e-3))
    learner = algorithm.init(small_policy("gaussian").double())
    generator = Generator().manual_seed(0)
    theta, mean_square = learner.parameters.tolist(), [1.0] * learner.parameters.numel()
    for step in range(4):
        gradient = torch.randn(learner.parameters.shape, generator=generator, dtype=torch.float64)
        gradient_step(learner, (learner.parameters * gradient).sum(), 0.01, float("inf"))
        for i, d in enumerate(gradient.tolist()):
            mean_square[i] = 0.9 * mean_square[i] + 0.1 * d * d
            theta[i] -= 0.01 * d / (mean_square[i] + 1e-3) ** 0.5
        assert learner.parameters.tolist() == pytest.approx(theta, rel=1e-10)
        if step == 1:
            state, learner = learner.state_dict(), algorithm.init(small_policy("gaussian", seed=1).double())
            learner.load_state_dict(state)
