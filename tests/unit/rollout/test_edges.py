"""What stands in rows that are no decision: what may matter does, and nothing else, bit for bit."""

import gymnasium
import numpy as np
import pytest
import torch
from torch import Generator

from clipper.algorithms import PPO, Algorithm, Reinforce
from clipper.data.steps import Steps
from clipper.environments.vector.serial import Serial
from clipper.learning.advantages import Standardised
from clipper.learning.kl import KLStop
from clipper.learning.rewards import Raw, Scaled
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.vector_rollouts import VectorRollouts

torch.set_num_threads(1)


class Ends(gymnasium.Env):
    """A point that moves; ends beyond 2, or after ``limit`` steps."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))

    def __init__(self, limit: int, discrete: bool) -> None:
        self.limit, self.discrete = limit, discrete
        self.action_space = gymnasium.spaces.Discrete(3) if discrete else gymnasium.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.time = self.np_random.normal(), 0
        return np.array([self.x, 0], np.float32), {}

    def step(self, action):
        self.x += float(action) - 1 if self.discrete else float(action[0])
        self.x, self.time = self.x + self.np_random.normal(), self.time + 1
        terminated = abs(self.x) > 2
        obs = np.array([self.x, self.time], np.float32)
        return obs, self.x**2, terminated, not terminated and self.time >= self.limit, {}


ALGORITHMS: dict[str, Algorithm] = {
    "ppo": PPO(rewards=Scaled(), epochs=2),
    "ppo batch": PPO(advantages=Standardised("batch"), stop=KLStop(0.5), epochs=2),
    "reinforce": Reinforce(),
}
OPTIONS = PolicyOptions(normalise_obs=True, normalise_returns=True, hidden=(8,))


def collected(algorithm: Algorithm, discrete: bool) -> tuple[Steps, torch.Tensor, Serial]:
    env = Serial([lambda: Ends(4, discrete)] * 3)
    quota = {"episodes": 12} if isinstance(algorithm, Reinforce) else {"horizon": 40}
    state = VectorRollouts(env, 0)
    steps, _ = state.collect(policy_for(env), **quota)
    return steps, state.obs, env


def policy_for(env: Serial):
    return make_policy(env.single_observation_space, env.single_action_space, OPTIONS, Generator().manual_seed(0))


def parameters(algorithm: Algorithm, env: Serial, steps: Steps, last_obs: torch.Tensor) -> list[torch.Tensor]:
    """All that two updates on this batch leave: weights, Adam's moments, running statistics."""
    learner = algorithm.init(policy_for(env), seed=0)
    for _ in range(2):
        algorithm.update(learner, steps, last_obs)
    return [x.clone() for x in learner.state_dict().values()]


def equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def after(ends: torch.Tensor) -> torch.Tensor:
    """The rows that follow the rows ``ends``."""
    return torch.cat([torch.zeros_like(ends[:1]), ends[:-1]])


@pytest.mark.parametrize("discrete", [False, True], ids=["box", "discrete"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_stands_in_a_row_between_episodes_is_never_read(name: str, discrete: bool) -> None:
    algorithm = ALGORITHMS[name]
    steps, last_obs, env = collected(algorithm, discrete)
    truncated = steps.done & ~steps.terminated
    assert (after(steps.terminated) & ~steps.mask).any()
    assert (after(truncated) & ~steps.mask).any()
    expected = parameters(algorithm, env, steps, last_obs)
    assert all(x.isfinite().all() for x in expected)
    nan = float("nan")
    action = steps.action.clone()
    action[~steps.mask] = 10**6 if discrete else nan
    spoiled = steps._replace(
        action=action,
        reward=steps.reward.masked_fill(~steps.mask, nan),
        log_prob=steps.log_prob.masked_fill(~steps.mask, nan),
        obs=steps.obs.masked_fill((after(steps.terminated) & ~steps.mask)[..., None], nan),
    )
    assert equal(parameters(algorithm, env, spoiled, last_obs), expected)
    bootstrapped = steps.obs.masked_fill((after(truncated) & ~steps.mask)[..., None], 0.5)
    found = parameters(algorithm, env, steps._replace(obs=bootstrapped), last_obs)
    # REINFORCE bootstraps from nothing: its episodes are whole.
    assert equal(found, expected) == isinstance(algorithm, Reinforce)


def test_a_truncated_step_bootstraps_from_its_own_last_observation() -> None:
    """Targets change only within the episode whose last observation changes, and by what (γλ)ᵏ γ ΔV says."""
    algorithm = PPO(advantages=Raw(), gamma=0.9, lam=0.8)
    steps, last_obs, env = collected(algorithm, discrete=False)
    policy = policy_for(env)
    learner = algorithm.init(policy, seed=0)
    truncated = (after(steps.done & ~steps.terminated) & ~steps.mask).nonzero().tolist()
    before = algorithm.targets(learner, steps, last_obs).advantage
    for row, column in truncated:
        obs = steps.obs.clone()
        obs[row, column] += 1
        change = algorithm.targets(learner, steps._replace(obs=obs), last_obs).advantage - before
        with torch.no_grad():
            difference = policy.value(obs[row, column]).mean - policy.value(steps.obs[row, column]).mean
        expected = torch.zeros_like(change)
        for k in range(4):  # Ends truncates after 4 decisions
            expected[row - 1 - k, column] = 0.9 * difference * 0.72**k
        torch.testing.assert_close(change, expected, atol=1e-6, rtol=1e-5)
        assert abs(difference) > 1e-4


def test_the_segment_s_last_row_bootstraps_from_last_obs() -> None:
    algorithm = PPO(advantages=Raw())
    steps, last_obs, env = collected(algorithm, discrete=False)
    learner = algorithm.init(policy_for(env), seed=0)
    before = algorithm.targets(learner, steps, last_obs).advantage
    after_change = algorithm.targets(learner, steps, last_obs + 1).advantage
    reads = steps.mask[-1] & ~steps.terminated[-1]
    assert torch.equal((after_change != before)[-1], reads)
    assert reads.any()
