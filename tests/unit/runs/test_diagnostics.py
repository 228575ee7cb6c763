"""What an update tells of itself, beside numpy on the same batch."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from batches import decisions, make_steps, small_policy

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
from clipper.data.steps import Targets
from clipper.learning.advantages import Advantages, Standardised, with_old
from clipper.learning.kl import Exact
from clipper.learning.learner import Learner
from clipper.learning.rewards import Raw
from clipper.networks.actor_critic import ActorCritic

ALGORITHMS = (
    PPO(epochs=2), PPOSeparate(epochs=2, value_epochs=2), PPOPenalty(epochs=2), A2C(), VPG(value_epochs=1),
    TRPO(value_epochs=1), NPG(value_epochs=1), Reinforce(), ImportanceSampling(),
)  # fmt: skip


def moved_policy_and_batch() -> tuple[ActorCritic, Targets]:
    """π is some way from the μ that acted; some rows are no decision."""
    policy = small_policy("gaussian").double()
    steps, _ = make_steps(policy, 60, 3, seed=1)
    with torch.no_grad():
        for p in policy.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(2)))
    raw = 5 + 3 * torch.randn(60, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return policy, Targets(steps, raw, raw, raw)


@pytest.mark.parametrize(
    "algorithm",
    [PPO(clip=0.05), PPO(clip=0.05, kl=Exact()), PPOSeparate(clip=0.05), PPOPenalty()],
    ids=["ppo", "exact", "apart", "penalty"],
)
def test_a_minibatch_tells_ratios_and_advantages(algorithm: PPO | PPOSeparate | PPOPenalty) -> None:
    policy, batch = moved_policy_and_batch()
    if isinstance(algorithm, PPOPenalty) or (isinstance(algorithm, PPO) and algorithm.kl == Exact()):
        batch = with_old(small_policy("gaussian").double(), batch)
    _, metrics = algorithm.loss(algorithm.init(policy), batch)
    steps = decisions(batch).steps
    with torch.no_grad():
        dist, _ = policy.act(steps.obs)
        mean, log_std = (x.numpy() for x in small_policy("gaussian").double().act(steps.obs)[0].params)
        new_mean, new_log_std = (x.numpy() for x in dist.params)
        r = (dist.log_prob(steps.action) - steps.log_prob).exp().numpy()
    expected = {
        "policy/kl_k1": np.mean(-np.log(r)),
        "policy/kl_k2": np.mean(np.log(r) ** 2) / 2,
        "policy/kl_k3": np.mean(r - 1 - np.log(r)),
        "policy/ratio_max": r.max(),
        "advantage/minibatch_mean": np.mean(decisions(batch).advantage.numpy()),
        "advantage/minibatch_std": np.std(decisions(batch).advantage.numpy()),
    }
    gap = (np.exp(2 * log_std) + (mean - new_mean) ** 2) / (2 * np.exp(2 * new_log_std)) - 0.5
    exact = (new_log_std - log_std + gap).sum(-1).mean()
    expected["policy/kl"] = exact if batch.old else expected["policy/kl_k3"]
    if isinstance(algorithm, PPOSeparate):
        expected["policy/kl"] = expected["policy/kl_k1"]
    if isinstance(algorithm, PPO | PPOSeparate):
        expected["policy/clip_fraction"] = np.mean(np.abs(r - 1) > 0.05)
    assert {name: float(metrics[name]) for name in expected} == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("mode", [True, False])
def test_advantages_are_told_in_their_own_units(algorithm: Algorithm, mode: bool) -> None:
    """Whatever is standardised, and over which decisions."""
    policy = small_policy("categorical")
    steps, last = make_steps(policy, 40, 4, seed=7)
    steps = steps._replace(reward=4 + 9 * steps.reward)
    plain: Any = algorithm
    if not isinstance(algorithm, ImportanceSampling):
        plain = dataclasses.replace(plain, advantages=Raw())
        algorithm = dataclasses.replace(plain, advantages=Standardised("batch")) if mode else plain
    raw = plain.targets(plain.init(small_policy("categorical")), steps, last).advantage[steps.mask].numpy()
    metrics = algorithm.update(algorithm.init(policy), steps, last)
    assert float(metrics["advantage/mean"]) == pytest.approx(raw.mean(), rel=1e-4)
    assert float(metrics["advantage/std"]) == pytest.approx(raw.std(), rel=1e-4)
    assert all(x.ndim == 0 and not x.requires_grad for x in metrics.values())


@pytest.mark.parametrize(
    "mode", [Standardised("minibatch"), Standardised("batch"), Raw()], ids=["minibatch", "batch", "none"]
)
def test_the_range_over_minibatches(mode: Advantages) -> None:
    """With as many minibatches as decisions, their means range from the least to the largest advantage, and none has
    a spread; with one, its mean and spread are the batch's.
    """
    policy = small_policy("categorical")
    steps, last = make_steps(policy, 20, 2, seed=9)
    count = int(steps.mask.sum())
    raw = PPO(advantages=Raw()).targets(PPO().init(policy), steps, last).advantage[steps.mask].numpy()
    for minibatches, least, largest, std in (
        (count, raw.min(), raw.max(), 0.0),
        (1, raw.mean(), raw.mean(), raw.std()),
    ):
        algorithm = PPO(epochs=1, minibatches=minibatches, advantages=mode)
        metrics = algorithm.update(algorithm.init(small_policy("categorical")), steps, last)
        told = [
            float(metrics[f"advantage/minibatch_{name}"]) for name in ("mean_min", "mean_max", "std_min", "std_max")
        ]
        assert told == pytest.approx([least, largest, std, std], rel=1e-4, abs=1e-5)


def test_the_largest_ratio_is_of_all_steps() -> None:
    """The last epoch's is not the mean of all: a single decision's ratio is told as it was before each step."""
    steps, last = make_steps(small_policy("categorical"), 8, 1, seed=3)
    algorithm = PPO(epochs=6, minibatches=1, learning_rate=0.05, clip=10.0, max_grad_norm=100.0)
    learner, seen = algorithm.init(small_policy("categorical")), []
    original = PPO.loss

    def loss(learner: Learner, batch: Targets) -> tuple:
        with torch.no_grad():
            dist, _ = learner.policy.act(batch.steps.obs)
            seen.append(float((dist.log_prob(batch.steps.action) - batch.steps.log_prob).exp().max()))
        return original(algorithm, learner, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PPO, "loss", lambda self, *arguments: loss(*arguments))
        metrics = algorithm.update(learner, steps, last)
    assert len(seen) == 6
    assert max(seen) > 1.2
    assert float(metrics["policy/ratio_max"]) == pytest.approx(max(seen), rel=1e-5)
