"""Environments so simple that the right answer is known: the first probe that fails says where learning is broken."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from clipper.algorithms import PPO, Reinforce, quota_of
from clipper.environments import make
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.vector_rollouts import VectorRollouts

Step = tuple[np.ndarray, float, bool, bool, dict[str, Any]]


class Probe(gymnasium.Env):
    """One observed number, two actions; ``self.t`` counts decisions in the episode."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.t = 0
        self.shown = self.show()
        return self.shown, {}

    def step(self, action: np.ndarray) -> Step:
        reward = self.pay(int(action))
        self.t += 1
        self.shown = self.show()
        return self.shown, reward, *self.over(), {}

    def show(self) -> np.ndarray:
        """The observation."""
        return np.zeros(1, np.float32)

    def pay(self, action: int) -> float:
        """The reward, given what was last shown."""
        return 1.0

    def over(self) -> tuple[bool, bool]:
        """Terminated, truncated."""
        return True, False


class Bandit(Probe):
    """One step; action 1 pays 1, action 0 pays 0."""

    def pay(self, action: int) -> float:
        return float(action)


class Paid(Probe):
    """One step that always pays 1."""


class Delayed(Probe):
    """Two steps, seen as −1 and 1; only the second pays."""

    def show(self) -> np.ndarray:
        return np.array([-1 if self.t == 0 else 1], np.float32)

    def pay(self, action: int) -> float:
        return float(self.t == 1)

    def over(self) -> tuple[bool, bool]:
        return self.t == 2, False


class CutChain(Probe):
    """Pays 1 for ever, but is truncated after four steps."""

    def over(self) -> tuple[bool, bool]:
        return False, self.t == 4


class Contextual(Probe):
    """One step; pays 1 for action 1 where +1 is shown and for action 0 where −1 is."""

    def show(self) -> np.ndarray:
        return np.array([self.np_random.choice([-1, 1])], np.float32)

    def pay(self, action: int) -> float:
        return float((self.shown[0] > 0) == (action == 1))


class Matched(Probe):
    """One step with a continuous action; pays −(a − 0.5)²."""

    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def step(self, action: np.ndarray) -> Step:
        return self.show(), -(float(action[0] - 0.5) ** 2), True, False, {}


def learn(probe: Callable[[], gymnasium.Env], algorithm: PPO | Reinforce, iterations: int) -> ActorCritic:
    """The policy after training on eight copies; REINFORCE, with its one step per iteration, takes twice as many."""
    iterations *= 2 if isinstance(algorithm, Reinforce) else 1
    env = make(probe, 8)
    options = PolicyOptions(hidden=(8,))
    generator = torch.Generator().manual_seed(0)
    policy = make_policy(env.single_observation_space, env.single_action_space, options, generator)
    learner, state = algorithm.init(policy), VectorRollouts(env, seed=0)
    for _ in range(iterations):
        steps, _ = state.collect(policy, **quota_of(algorithm))
        algorithm.update(learner, steps, state.obs)
    env.close()
    return policy


@torch.no_grad()
def values(policy: ActorCritic, *observations: float) -> list[float]:
    return policy.value(torch.tensor(observations)[:, None]).mean.tolist()


@torch.no_grad()
def probability_of_1(policy: ActorCritic, *observations: float) -> Tensor:
    dist, _ = policy.act(torch.tensor(observations)[:, None])
    return dist.log_prob(torch.ones(len(observations), dtype=torch.long)).exp()


QUICK = {"horizon": 8, "epochs": 4, "minibatches": 1, "learning_rate": 0.03, "gamma": 0.9}
ALGORITHMS = pytest.mark.parametrize(
    "algorithm",
    [PPO(**QUICK), Reinforce(learning_rate=0.05, gamma=0.9)],
    ids=["ppo", "reinforce"],
)


@ALGORITHMS
def test_the_value_of_one_step_is_its_reward(algorithm: PPO | Reinforce) -> None:
    assert values(learn(Paid, algorithm, 25), 0.0) == pytest.approx([1.0], abs=0.05)


@ALGORITHMS
def test_the_value_of_a_later_reward_is_discounted(algorithm: PPO | Reinforce) -> None:
    assert values(learn(Delayed, algorithm, 30), -1.0, 1.0) == pytest.approx([0.9, 1.0], abs=0.05)


def test_values_are_bootstrapped_through_a_time_limit() -> None:
    """1 + 0.9 + 0.9² + … = 10, where four rewards alone give 3.4."""
    policy = learn(CutChain, PPO(**QUICK), 50)
    assert values(policy, 0.0) == pytest.approx([10.0], rel=0.05)


@ALGORITHMS
def test_the_better_action_is_found(algorithm: PPO | Reinforce) -> None:
    assert probability_of_1(learn(Bandit, algorithm, 20), 0.0).item() > 0.95


@ALGORITHMS
def test_the_better_action_depends_on_the_observation(algorithm: PPO | Reinforce) -> None:
    policy = learn(Contextual, algorithm, 25)
    low, high = probability_of_1(policy, -1.0, 1.0)
    assert low < 0.05
    assert high > 0.95


@ALGORITHMS
def test_a_continuous_action_finds_its_optimum(algorithm: PPO | Reinforce) -> None:
    policy = learn(Matched, algorithm, 30)
    assert policy.predict(np.zeros(1, np.float32)) == pytest.approx([0.5], abs=0.15)
