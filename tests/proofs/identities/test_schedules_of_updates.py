"""When an update's epochs end, what they are told anew, and how fast they go: counted, and compared by hand."""

import math
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from batches import make_steps, small_policy
from torch import Tensor

from clipper.algorithms import PPO, PPOSeparate
from clipper.data.steps import Steps
from clipper.functional.objectives import adapt_learning_rate
from clipper.functional.returns import gae
from clipper.learning.kl import KLStop, Sampled
from clipper.learning.learner import Learner
from clipper.learning.minibatches import minibatches
from clipper.learning.optimizers import Adam
from clipper.learning.rewards import Raw, Scaled
from clipper.learning.schedules import KLAdaptive

SMALL: dict[str, Any] = {"epochs": 6, "minibatches": 4, "learning_rate": 0.02}


def steps_taken(learner: Learner) -> int:
    return int(learner.optimizer.state[learner.optimizer.param_groups[0]["params"][0]]["step"])


def batch(seed: int = 0) -> tuple[Any, Steps, Tensor]:
    policy = small_policy("categorical").double()
    return policy, *make_steps(policy, rows=24, envs=3, seed=seed)


def by_hand(algorithm: PPO, kl_stop: str | None, limit: float = 0.0) -> tuple[Tensor, int]:
    """Epochs as SB3 and CleanRL write them, with plain Adam; the parameters, and how many steps that took."""
    policy, steps, last = batch()
    learner = algorithm.init(policy)
    targets = algorithm.targets(learner, steps, last)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.02, eps=1e-5)
    taken, kl = 0, torch.zeros(())
    for _ in range(algorithm.epochs):
        for part in minibatches(targets, 1, algorithm.minibatches, learner.generator):
            loss, _ = algorithm.loss(learner, part)
            with torch.no_grad():
                log_ratio = policy.act(part.steps.obs)[0].log_prob(part.steps.action) - part.steps.log_prob
                kl = (log_ratio.exp() - 1 - log_ratio).mean()
            if kl_stop == "minibatch" and kl > limit:
                return learner.parameters.detach(), taken
            policy.zero_grad(set_to_none=False)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), algorithm.max_grad_norm)
            optimizer.step()
            taken += 1
        if kl_stop == "epoch" and kl > limit:
            break
    return learner.parameters.detach(), taken


@pytest.mark.parametrize("kl_stop", ["minibatch", "epoch"])
def test_where_the_kl_ends_an_update(kl_stop: Any) -> None:
    algorithm = PPO(**SMALL, stop=KLStop(0.01, kl_stop))
    policy, steps, last = batch()
    learner = algorithm.init(policy)
    algorithm.update(learner, steps, last)
    parameters, taken = by_hand(algorithm, kl_stop, 0.015)
    assert steps_taken(learner) == taken
    torch.testing.assert_close(learner.parameters.detach(), parameters, rtol=1e-8, atol=1e-10)
    assert 4 < taken < 24
    assert (taken % 4 == 0) == (kl_stop == "epoch")


def test_without_a_target_every_step_is_taken() -> None:
    policy, steps, last = batch()
    learner = PPO(**SMALL).init(policy)
    PPO(**SMALL).update(learner, steps, last)
    assert steps_taken(learner) == 24


def test_advantages_anew_are_those_of_the_critic_by_then() -> None:
    """Two epochs are two updates of one epoch; only the second says what the second epoch is told."""
    settings: dict[str, Any] = {"minibatches": 2, "learning_rate": 0.02, "advantages": Raw()}
    ends = []
    for recompute in (False, True):
        policy, steps, last = batch()
        algorithm = PPO(**settings, epochs=2, recompute=recompute)
        learner = algorithm.init(policy)
        algorithm.update(learner, steps, last)
        ends.append(learner.parameters.detach())
    policy, steps, last = batch()
    once = PPO(**settings, epochs=1)
    learner = once.init(policy)
    for _ in range(2):
        once.update(learner, steps, last)
    assert torch.equal(ends[1], learner.parameters.detach())
    assert not torch.equal(ends[1], ends[0])


def test_anew_takes_rewards_into_their_statistics_once() -> None:
    policy, steps, last = batch()
    algorithm = PPO(**SMALL, rewards=Scaled(), recompute=True)
    learner = algorithm.init(policy)
    algorithm.update(learner, steps, last)
    assert learner.reward_scaler is not None
    assert int(learner.reward_scaler.moments.count) == int(steps.mask.sum())
    reward = learner.reward_scaler(steps.reward)
    value = policy.value(torch.cat([steps.obs, last[None]])).mean
    expected = gae(reward, value, steps.terminated, steps.done, steps.mask, algorithm.gamma, algorithm.lam)
    seen = algorithm.targets(learner, steps, last, again=True).advantage
    torch.testing.assert_close(seen[steps.mask], expected.detach()[steps.mask])


@pytest.mark.parametrize(
    ("rate", "kl", "expected"),
    [
        (3e-3, 0.021, 2e-3),
        (3e-3, 0.0199, 3e-3),
        (3e-3, 0.0051, 3e-3),
        (3e-3, 0.0049, 4.5e-3),
        (3e-3, 0.0, 3e-3),
        (3e-3, float("nan"), 3e-3),
        (9e-3, 0.001, 1e-2),
        (1.2e-5, 9.0, 1e-5),
    ],
)
def test_the_rule_of_the_learning_rate(rate: float, kl: float, expected: float) -> None:
    found = adapt_learning_rate(torch.tensor(rate, dtype=torch.float64), torch.tensor(kl), 0.01, 1e-5, 1e-2)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_the_learning_rate_steers_the_kl_and_is_resumed() -> None:
    """From far too large, it falls until the KL is near its target; a learner that takes over goes on the same."""
    algorithm = PPO(epochs=4, minibatches=2, learning_rate=KLAdaptive(0.001, 1e-2))
    policy, steps, last = batch()
    learner = algorithm.init(policy)
    kl = [algorithm.update(learner, *make_steps(policy, 24, 3, seed=i))["policy/kl"].item() for i in range(12)]
    rate = learner.extra["learning_rate"].item()
    assert 1e-5 < rate < 1e-2
    assert 0.0003 < sum(kl[-4:]) / 4 < 0.003
    other = algorithm.init(deepcopy(policy))
    other.load_state_dict({name: x.clone() for name, x in learner.state_dict().items()})
    for one in (learner, other):
        algorithm.update(one, steps, last)
    assert torch.equal(learner.parameters, other.parameters)
    assert learner.extra["learning_rate"] == other.extra["learning_rate"]


def test_one_step_moves_by_what_the_rule_says() -> None:
    """The first step's KL is 0, so the rate is the first one: Adam's first step has that size."""
    policy, steps, last = batch()
    algorithm = PPO(epochs=1, minibatches=1, learning_rate=KLAdaptive(0.01, 0.003), optimizer=Adam(1e-12))
    learner = algorithm.init(policy)
    before = learner.parameters.detach().clone()
    algorithm.update(learner, steps, last)
    assert (learner.parameters - before).abs().max().item() == pytest.approx(0.003, rel=1e-4)


@pytest.mark.parametrize("kind", [PPO, partial(PPOSeparate, kl=Sampled("k3"), value_epochs=1)], ids=["ppo", "separate"])
def test_a_policy_that_is_too_far_at_once_takes_no_step(kind: Any) -> None:
    """As where the rows are an older policy's. The actor stays, bit for bit; the KL is told, and a gradient of 0."""
    policy, steps, last = batch()
    steps = steps._replace(log_prob=steps.log_prob - 1)
    algorithm = kind(horizon=24, stop=KLStop(0.01))
    learner = algorithm.init(policy)
    before = [p.detach().clone() for p in policy.actor_parameters()]
    metrics = algorithm.update(learner, steps, last)
    assert all(map(torch.equal, before, policy.actor_parameters()))
    assert metrics["loss/gradient_norm"] == 0
    assert all(x.isfinite().all() for x in metrics.values())
    assert metrics["policy/kl"].item() == pytest.approx(math.e - 2, rel=1e-9)  # k3 = r − 1 − log r with log r = 1


def test_the_learning_rate_waits_for_a_first_step() -> None:
    """Before it π is μ: what stands there as a KL is the rounding of log μ, or how stale the rows are."""
    policy, steps, last = batch()
    stale = steps._replace(log_prob=steps.log_prob - 0.01)
    algorithm = PPO(epochs=1, minibatches=1, learning_rate=KLAdaptive(0.01, start=1e-3))
    learner = algorithm.init(policy)
    algorithm.update(learner, stale, last)
    assert learner.extra["learning_rate"] == 1e-3
    algorithm = PPO(epochs=2, minibatches=1, learning_rate=KLAdaptive(0.01, start=1e-3))
    algorithm.update(learner, steps, last)
    assert learner.extra["learning_rate"] == 1.5e-3  # a tiny step's KL is below half of its target
