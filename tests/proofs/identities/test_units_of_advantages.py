"""Advantages as they are, or in standard units over minibatch, batch or trajectories, in every algorithm that has them.

Everything is computed again decision by decision: Â in plain floats, its units by numpy, the losses from log π and μ.
"""

from typing import Any

import numpy as np
import pytest
import torch
from batches import make_steps, small_policy
from torch import Tensor

from clipper.algorithms import (
    A2C,
    HAPPO,
    KNOWN,
    NPG,
    PPO,
    PPOEWMA,
    TRPO,
    VPG,
    Algorithm,
    PPOPenalty,
    PPOSeparate,
    Reinforce,
)
from clipper.data.steps import Steps
from clipper.learning.advantages import Advantages, Standardised
from clipper.learning.minibatches import minibatches
from clipper.learning.rewards import Raw

ROWS, ENVS, GAMMA, LAM = 25, 4, 0.9, 0.8
CLIPPED, RATIO, LOG = (PPO, PPOSeparate), (TRPO, PPOPenalty, PPOEWMA), (A2C, VPG, NPG)
UNITS: list[Advantages] = [
    Raw(), *(Standardised(over, correction) for over in ("minibatch", "batch", "trajectories") for correction in (0, 1))
]  # fmt: skip


def made(kind: type, advantages: Advantages) -> Any:
    return kind(gamma=GAMMA, advantages=advantages, **({} if kind is Reinforce else {"lam": LAM}))


def recorded(kind: type) -> tuple[Any, Steps, Tensor]:
    """Rows of another μ than π; Reinforce, which bootstraps nothing, sees whole episodes."""
    policy = small_policy("categorical").double()
    steps, last = make_steps(policy, ROWS, ENVS, seed=3)
    noise = 0.3 * torch.randn(ROWS, ENVS, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    steps = steps._replace(log_prob=steps.log_prob + noise, reward=2 + 3 * steps.reward)
    if kind is Reinforce:
        ends = steps.done.clone()
        ends[-1] |= steps.mask[-1]
        ends[-2] |= steps.mask[-2] & ~steps.mask[-1]
        steps = steps._replace(done=ends, terminated=ends)
    return policy, steps, last


def by_loop(kind: type, policy: Any, steps: Steps, last: Tensor) -> list[tuple[float, int, float, float]]:
    """For each decision Â, the number of its trajectory, log π and log μ."""
    with torch.no_grad():
        value = policy.value(torch.cat([steps.obs, last[None]])).mean.tolist()
        log_prob = policy.act(steps.obs)[0].log_prob(steps.action).tolist()
    found, trajectory = [], 0
    for n in range(ENVS):
        trajectory, following = trajectory + 1, 0.0
        for t in reversed(range(ROWS)):
            if not steps.mask[t, n]:
                following = 0.0
                continue
            if steps.done[t, n]:
                trajectory, following = trajectory + 1, 0.0
            reward = steps.reward[t, n].item()
            if kind is Reinforce:
                following = reward + GAMMA * following
                advantage = following - value[t][n]
            else:
                after = 0.0 if steps.terminated[t, n] else value[t + 1][n]
                following = reward + GAMMA * after - value[t][n] + GAMMA * LAM * following
                advantage = following
            found.append((advantage, trajectory, log_prob[t][n], steps.log_prob[t, n].item()))
    return found


def in_units(advantage: np.ndarray, trajectory: np.ndarray, units: Advantages) -> np.ndarray:
    if isinstance(units, Raw):
        return advantage
    if units.over != "trajectories":
        return (advantage - advantage.mean()) / (advantage.std(ddof=units.correction) + 1e-8)
    names = np.unique(trajectory)
    mean = np.mean([advantage[trajectory == x].mean() for x in names])
    variance = np.mean([((advantage[trajectory == x] - mean) ** 2).mean() for x in names])
    return (advantage - mean) / (np.sqrt(variance) + 1e-8)


def loss_of(kind: type, advantage: np.ndarray, log_prob: np.ndarray, log_mu: np.ndarray, trajectories: int) -> float:
    ratio = np.exp(log_prob - log_mu)
    if kind in CLIPPED:
        return -np.minimum(ratio * advantage, ratio.clip(0.8, 1.2) * advantage).mean()
    if kind in RATIO:
        return -(ratio * advantage).mean()
    return -(log_prob * advantage).sum() / (trajectories if kind is Reinforce else len(advantage))


def test_every_algorithm_that_has_advantages_is_here() -> None:
    has = {kind for kind in KNOWN if "advantages" in kind.__dataclass_fields__}
    assert has == {*CLIPPED, *RATIO, *LOG, Reinforce, HAPPO}  # test_happo weighs the last one's, in units of a batch


@pytest.mark.parametrize("units", UNITS, ids=repr)
@pytest.mark.parametrize("kind", [*CLIPPED, *RATIO, *LOG, Reinforce], ids=lambda kind: kind.__name__)
def test_the_loss_has_advantages_in_those_units(kind: type, units: Advantages) -> None:
    algorithm = made(kind, units)
    policy, steps, last = recorded(kind)
    learner = algorithm.init(policy)
    targets = algorithm.targets(learner, steps, last)
    _, metrics = algorithm.loss(learner, targets)
    raw, trajectory, log_prob, log_mu = map(np.array, zip(*by_loop(kind, policy, steps, last), strict=True))
    advantage = in_units(raw, trajectory, units)
    expected = loss_of(kind, advantage, log_prob, log_mu, int(steps.done.sum()))
    assert metrics["loss/policy"].item() == pytest.approx(expected, rel=1e-9)
    told = algorithm.update(learner, steps, last)
    assert told["advantage/mean"].item() == pytest.approx(raw.mean(), rel=1e-9)
    assert told["advantage/std"].item() == pytest.approx(raw.std(), rel=1e-9)


@pytest.mark.parametrize("algorithm", [PPO(), PPOSeparate(minibatches=3), PPOPenalty()], ids=lambda x: type(x).__name__)
def test_a_minibatch_has_its_own_units_only_where_they_are_the_minibatch_s(algorithm: Algorithm) -> None:
    """Losses of one decision: as they are, or of the batch's units; over a minibatch there would be none."""
    for units in UNITS:
        if units == Standardised("minibatch", 1) or units == Standardised("minibatch", 0):
            continue
        own: Any = made(type(algorithm), units)
        policy, steps, last = recorded(type(algorithm))
        learner = own.init(policy)
        raw, trajectory, log_prob, log_mu = map(np.array, zip(*by_loop(type(own), policy, steps, last), strict=True))
        advantage = in_units(raw, trajectory, units)
        expected = [
            loss_of(type(own), advantage[i : i + 1], log_prob[i : i + 1], log_mu[i : i + 1], 1) for i in range(len(raw))
        ]
        batches = minibatches(own.targets(learner, steps, last), 1, len(raw), learner.generator)
        found = [own.loss(learner, batch)[1]["loss/policy"].item() for batch in batches]
        assert sorted(found) == pytest.approx(sorted(expected), rel=1e-8, abs=1e-10)
