"""Where numbers of a whole batch count, the world is asked: two who share a batch learn as one who has all of it."""

import dataclasses
import threading
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from batches import make_steps, small_policy
from torch import Tensor

from clipper.algorithms import (
    A2C,
    DDPG,
    DQN,
    NPG,
    PPO,
    SAC,
    TD3,
    TRPO,
    VPG,
    DiscreteSAC,
    ImportanceSampling,
    PPOPenalty,
    PPOSeparate,
    Reinforce,
)
from clipper.data.trees import each
from clipper.distributions import SquashedGaussian
from clipper.functional.reduce import masked_mean
from clipper.learning.advantages import Standardised
from clipper.learning.gradient_step import gradient_step
from clipper.learning.kl import Exact, KLStop
from clipper.learning.learner import Learner
from clipper.learning.replay import Transitions
from clipper.learning.rewards import Normalised, Scaled
from clipper.learning.schedules import KLAdaptive
from clipper.learning.world import World
from clipper.networks.policy_options import PolicyOptions
from clipper.ranks.shared_batch import SharedBatch, share_batches


class Two:
    """Where two threads lay down what they have, and see both."""

    def __init__(self) -> None:
        self.barrier, self.table = threading.Barrier(2, timeout=60), [None, None]

    def both(self, who: int, x: Any) -> list[Any]:
        self.table[who] = x
        self.barrier.wait()
        found = list(self.table)
        self.barrier.wait()
        return found


class Half:
    """One of them, who has half of the environments: what messages between processes are elsewhere."""

    size = 2

    def __init__(self, two: Two, who: int) -> None:
        self.two, self.rank, self.messages = two, who, 0

    def both(self, x: Any) -> list[Any]:
        self.messages += 1
        return self.two.both(self.rank, x)

    def rows(self, own: Tensor) -> Tensor:
        return torch.stack(self.both(own.clone()))

    def gather(self, own: bytearray) -> list[memoryview]:
        return self.both(memoryview(own))

    def total(self, own: Tensor) -> Tensor:
        return own.copy_(self.rows(own).sum(0))


def in_threads(work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(who,)) for who in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


WHOLE: dict[str, Any] = {"minibatches": 3, "learning_rate": 0.01}
CRITIC: dict[str, Any] = {"value_epochs": 2, "value_minibatches": 3}
CASES: dict[str, Any] = {
    "ppo": PPO(**WHOLE, epochs=3, entropy_coef=0.01, rewards=Scaled(), recompute=True),
    "ppo kl": PPO(
        **WHOLE, epochs=8, advantages=Standardised("batch"), kl=Exact(), stop=KLStop(1e-3), rewards=Normalised()
    ),
    "ppo adaptive": PPO(minibatches=3, epochs=3, learning_rate=KLAdaptive(1e-3, 0.01)),
    "apart": PPOSeparate(**WHOLE, **CRITIC, epochs=4, stop=KLStop(1e-3), rewards=Scaled()),
    "critic first": PPOSeparate(**WHOLE, **CRITIC, epochs=2, critic_first=True),
    "penalty": PPOPenalty(**WHOLE, epochs=3, hinge=10.0, kl_target=1e-3),
    "reinforce": Reinforce(),
    "reinforce decisions": Reinforce(advantages=Standardised("batch", 0)),
    "is": ImportanceSampling(max_steps=6, sigma=1e-3),
    "vpg": VPG(**CRITIC),
    "a2c": A2C(advantages=Standardised("batch"), rewards=Scaled()),
    "npg": NPG(**CRITIC),
    "trpo": TRPO(**CRITIC, delta=0.05),
}


def columns(x: Any, who: int) -> Any:
    """The environments of one of the two, of which there are four."""
    return each(lambda x: x[:, 2 * who : 2 * who + 2], x)


def updated(algorithm: Any, learner: Learner, which: Callable[[Any], Any], first: Any) -> list[dict[str, float]]:
    """Metrics of two updates."""
    told = []
    for seed in range(2):
        steps, last = make_steps(first, rows=40, envs=4, seed=seed)
        metrics = algorithm.update(learner, which(steps), which(last[None])[0])
        told.append({name: x.item() for name, x in metrics.items()})
    return told


@pytest.mark.parametrize("name", CASES)
def test_two_who_share_a_batch_learn_as_one_who_has_it_all(name: str) -> None:
    algorithm = CASES[name]
    options = PolicyOptions(hidden=(5,), normalise_obs=True, normalise_returns=True)
    first = small_policy("categorical", options).double()
    alone = algorithm.init(deepcopy(first), seed=1)
    expected = updated(algorithm, alone, lambda x: x, first)

    two, told, failed = Two(), [[], []], []
    learners = [algorithm.init(deepcopy(first), seed=1) for _ in range(2)]

    def learn(who: int) -> None:
        share_batches(learners[who], Half(two, who))
        try:
            told[who] = updated(algorithm, learners[who], lambda x: columns(x, who), first)
        except BaseException as error:
            failed.append(error)
            two.barrier.abort()

    in_threads(learn)
    assert not failed, failed
    states = [learner.state_dict() for learner in learners]
    for key, x in alone.state_dict().items():
        if key != "running_return":
            torch.testing.assert_close(states[0][key], x, rtol=1e-6, atol=1e-9, msg=key)
            assert torch.equal(states[0][key], states[1][key]), key
    assert told[0] == told[1]
    for ours, theirs in zip(told[0], expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-8)


def sampled(observations: int = 3, actions: int = 2) -> Transitions:
    g = torch.Generator().manual_seed(5)
    obs, after = torch.randn(2, 24, observations, generator=g, dtype=torch.float64)
    action = 2 * torch.rand(24, actions, generator=g, dtype=torch.float64) - 1
    reward = torch.randn(24, generator=g, dtype=torch.float64)
    return Transitions(obs, action, reward, torch.full_like(reward, 0.9), after)


@pytest.mark.parametrize(
    "algorithm",
    [DDPG(), TD3(target_noise=0.0, policy_delay=1), SAC(), DQN(), DiscreteSAC()],
    ids=lambda x: type(x).__name__,
)
def test_two_who_draw_halves_of_a_batch_learn_as_one_who_draws_it_all(
    algorithm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a gradient is bounded, which depends on all of it; all draw the same noise."""
    monkeypatch.setattr(SquashedGaussian, "sample", lambda self, _: self.mean + 0.7 * self.log_std.exp())
    algorithm = dataclasses.replace(algorithm, max_grad_norm=0.1)
    options = algorithm.policy_options(PolicyOptions(hidden=(5,), orthogonal=False))
    choices = isinstance(algorithm, DQN | DiscreteSAC)
    first, batch = small_policy("categorical" if choices else "gaussian", options).double(), sampled()
    batch = batch._replace(action=(batch.action[:, 0] > 0).long()) if choices else batch
    alone, *learners = (algorithm.init(deepcopy(first), seed=1) for _ in range(3))
    for learner in (alone, *learners):
        learner.extra["gradient_steps"].fill_(1)
    expected, two, told, failed = algorithm.gradient_step(alone, batch), Two(), [{}, {}], []

    def learn(who: int) -> None:
        learners[who].world = SharedBatch(Half(two, who))
        try:
            told[who] = algorithm.gradient_step(learners[who], each(lambda x: x[who::2], batch))
        except BaseException as error:
            failed.append(error)
            two.barrier.abort()

    in_threads(learn)
    assert not failed, failed
    for name, x in alone.state_dict().items():
        if name != "generator":
            torch.testing.assert_close(learners[0].state_dict()[name], x, rtol=1e-9, atol=1e-12, msg=name)
    for ours in told:
        assert {k: x.item() for k, x in ours.items()} == pytest.approx(
            {k: x.item() for k, x in expected.items()}, rel=1e-9
        )


def test_a_minibatch_is_one_message() -> None:
    """[gradient | loss | what is watched], the KL that may end the update among them; a few more are of the update."""
    algorithm, first, found = PPO(epochs=3, minibatches=4, stop=KLStop(1e6)), small_policy("categorical"), [0, 0]
    steps, last = make_steps(first, rows=40, envs=4, seed=0)
    for epochs in (3, 5):
        two = Two()
        halves = [Half(two, who) for who in range(2)]

        def learn(who: int, epochs: int = epochs, halves: list[Half] = halves) -> None:
            learner = algorithm.init(deepcopy(first), seed=1)
            share_batches(learner, halves[who])
            dataclasses.replace(algorithm, epochs=epochs).update(
                learner, columns(steps, who), columns(last[None], who)[0]
            )
            found[who] = halves[who].messages - 4 * epochs

        in_threads(learn)
        assert found[0] == found[1] <= 4


def test_one_s_broken_loss_is_everybody_s() -> None:
    """Of a loss that is infinite for one of them, though its gradient is not, neither takes a step."""
    two = Two()
    learners = [PPO().init(small_policy("categorical").double()) for _ in range(2)]

    def learn(who: int) -> None:
        share_batches(learners[who], Half(two, who))
        gradient_step(learners[who], learners[who].parameters.sum() + (torch.inf if who else 0.0), 0.1, 1.0)

    in_threads(learn)
    for learner in learners:
        assert int(learner.skipped) == 1
        assert torch.equal(learner.parameters, PPO().init(small_policy("categorical").double()).parameters)


def test_one_process_asks_nobody() -> None:
    """Its mean is the batch's own, bit for bit and with nothing around it."""
    world = World()
    assert world.mean is masked_mean
    x = torch.randn(3)
    assert all(f(x) is x for f in (world.sum, world.gather, world.agree))
    assert world.largest(x[0]) == x[0]
