"""What ``collect`` records: quotas, statistics, continuation, determinism, log-probabilities."""

import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from scripted import BACKENDS, Scripted, ScriptedPolicy, scripted_envs
from torch import Generator

from clipper.data.steps import Steps
from clipper.data.trees import leaves
from clipper.environments import make
from clipper.environments.vector.serial import Serial
from clipper.errors import ConfigError
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.protocol import Episode
from clipper.rollout.vector_rollouts import VectorRollouts

torch.set_num_threads(1)


def played(number: int, episodes: int) -> list[tuple[float, int]]:
    """Total reward and length of a scripted environment's episodes, by a plain loop."""
    env, policy, found = Scripted(number), ScriptedPolicy(), []
    for _ in range(episodes):
        obs, total, length, ended = env.reset()[0], 0.0, 0, False
        while not ended:
            dist, _ = policy.act(torch.from_numpy(obs))
            obs, reward, terminated, truncated, _ = env.step(dist.mode.numpy())
            total, length, ended = total + reward, length + 1, terminated or truncated
        found.append((total, length))
    return found


def of_env(episodes: list[Episode], number: int) -> list[tuple[float, int]]:
    return [(e.total, e.length) for e in episodes if e.env == number]


def assert_same_episodes(found: list[tuple[float, int]], expected: list[tuple[float, int]]) -> None:
    assert [length for _, length in found] == [length for _, length in expected]
    np.testing.assert_allclose([t for t, _ in found], [t for t, _ in expected], atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_episodes_are_whole_and_their_quotas_fixed(backend: str) -> None:
    env = scripted_envs(5, backend)
    try:
        state = VectorRollouts(env, 0)
        steps, _ = state.collect(ScriptedPolicy(), episodes=12)
    finally:
        env.close()
    quotas = [3, 3, 2, 2, 2]  # whatever their lengths
    assert steps.done.sum(0).tolist() == quotas
    assert not (steps.done & ~steps.mask).any()
    assert not (steps.terminated & ~steps.done).any()
    for number, quota in enumerate(quotas):
        expected = played(number, quota)
        assert_same_episodes(of_env(state.episodes, number), expected)
        assert steps.mask[:, number].sum() == sum(length for _, length in expected)
        rows = steps.mask[:, number].nonzero().squeeze(-1)
        assert steps.done[rows[-1], number]
    assert len(state.episodes) == 12
    assert state.steps == steps.mask.sum()


@pytest.mark.parametrize("backend", ["serial", "sync same_step", "sync disabled"])
def test_fewer_episodes_than_environments(backend: str) -> None:
    env = scripted_envs(5, backend)
    state = VectorRollouts(env, 0)
    steps, _ = state.collect(ScriptedPolicy(), episodes=2)
    assert steps.mask.any(0).tolist() == [True, True, False, False, False]
    assert {e.env for e in state.episodes} == {0, 1}


@pytest.mark.parametrize("backend", ["serial", "sync next_step", "sync same_step", "sync disabled"])
@pytest.mark.parametrize("then", [{"episodes": 5}, {"horizon": 9}], ids=["episodes", "horizon"])
def test_after_whole_episodes_the_next_call_starts_from_a_reset(backend: str, then: dict[str, int]) -> None:
    env = scripted_envs(5, backend)
    state = VectorRollouts(env, 0)
    state.collect(ScriptedPolicy(), episodes=12)
    steps, _ = state.collect(ScriptedPolicy(), **then)
    assert steps.mask[0].all()
    assert steps.obs[0, :, 2].tolist() == [0.0] * 5  # time 0
    for number in range(5):
        first = int(steps.obs[0, number, 1])
        found = of_env(state.episodes, number)
        assert_same_episodes(found, played(number, first + len(found))[first:])


def test_the_first_call_takes_the_reset_of_start() -> None:
    env = scripted_envs(2, "serial")
    steps, _ = VectorRollouts(env, 0).collect(ScriptedPolicy(), episodes=2)
    assert steps.obs[0, :, 1].tolist() == [0.0, 0.0]  # each environment's first episode


@pytest.mark.parametrize("horizon", [1, 4])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_horizon_continues_and_statistics_span_segments(backend: str, horizon: int) -> None:
    env = scripted_envs(3, backend)
    state, episodes, decisions = VectorRollouts(env, 0), [], []
    try:
        for _ in range(36 // horizon):
            steps, _ = state.collect(ScriptedPolicy(), horizon=horizon)
            episodes += state.episodes
            decisions += [tuple(steps.obs[t, i, :3].tolist()) for t, i in steps.mask.nonzero().tolist()]
    finally:
        env.close()
    assert len(set(decisions)) == len(decisions) == state.steps
    for number in range(3):
        found = of_env(episodes, number)
        assert len(found) > 3
        assert_same_episodes(found, played(number, len(found)))
        mine = sorted((episode, time) for i, episode, time in decisions if i == number)
        lengths = [length for _, length in played(number, 40)]
        assert mine == [(e, t) for e, length in enumerate(lengths) for t in range(length)][: len(mine)]


def test_pieces_equal_the_whole() -> None:
    """Two segments of 32 are one of 64, bit for bit."""
    found = []
    for pieces in ([64], [32, 32], [1, 63]):
        env, policy = cartpole()
        state = VectorRollouts(env, 5)
        parts = [state.collect(policy, horizon=t)[0] for t in pieces]
        found.append([torch.cat(x) for x in zip(*map(leaves, parts), strict=True)])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_cartpole_statistics_equal_a_plain_loop() -> None:
    env, policy = cartpole()
    state = VectorRollouts(env, 3)
    steps, _ = state.collect(policy, episodes=8)
    assert len(state.episodes) == 8
    for number in range(4):
        single = gymnasium.make("CartPole-v1")
        single.reset(seed=3 + number)
        actions = [int(steps.action[t, number]) for t in steps.mask[:, number].nonzero().squeeze(-1)]
        found, total, length = [], 0.0, 0
        for action in actions:
            _, reward, terminated, truncated, _ = single.step(action)
            total, length = total + float(reward), length + 1
            if terminated or truncated:
                found.append((total, length))
                total, length = 0.0, 0
                single.reset()
        assert of_env(state.episodes, number) == found


def cartpole(seed: int = 0) -> tuple:
    env = make("CartPole-v1", 4)
    spaces = env.single_observation_space, env.single_action_space
    return env, make_policy(*spaces, PolicyOptions(), Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    def run(seed: int) -> list[Steps]:
        env = make(name, 3)
        spaces = env.single_observation_space, env.single_action_space
        policy = make_policy(*spaces, PolicyOptions(), Generator().manual_seed(0))
        state = VectorRollouts(env, seed)
        torch.seed()  # the global generator must not matter
        return [state.collect(policy, horizon=70)[0] for _ in range(2)]

    for a, b, other in zip(run(1), run(1), run(2), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))
        assert not torch.equal(a.obs, other.obs)
        assert not torch.equal(a.action, other.action)


@pytest.mark.parametrize("normalise_obs", [False, True])
@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_the_first_ratio_is_one(name: str, normalise_obs: bool) -> None:
    env = make(name, 4)
    options = PolicyOptions(normalise_obs=normalise_obs, head=loud())
    policy = make_policy(env.single_observation_space, env.single_action_space, options, Generator().manual_seed(0))
    state = VectorRollouts(env, 0)
    for _ in range(3):
        steps, _ = state.collect(policy, horizon=50)
        dist, _ = policy(steps.obs)
        log_prob = dist.log_prob(steps.action)
        assert (log_prob - steps.log_prob)[steps.mask].abs().max() < 1e-5
        assert log_prob.std() > 1e-3
        policy.absorb(steps.obs[steps.mask] * 3 + 1, torch.zeros(int(steps.mask.sum())))  # only now may statistics move


def loud():
    from clipper.networks.heads import HeadOptions

    return HeadOptions(action_gain=1.0)


@pytest.mark.parametrize("name", ["Acrobot-v1", "Pendulum-v1"])
def test_the_first_ratio_is_one_in_float64(name: str) -> None:
    env = make(name, 4)
    spaces = env.single_observation_space, env.single_action_space
    policy = make_policy(*spaces, PolicyOptions(head=loud()), Generator().manual_seed(0)).double()
    steps, _ = VectorRollouts(env, 0).collect(policy, horizon=100)
    assert steps.log_prob.dtype == torch.float64
    dist, _ = policy(steps.obs)
    assert (dist.log_prob(steps.action) - steps.log_prob).abs().max() < 1e-12


@pytest.mark.parametrize("quota", [{}, {"horizon": 3, "episodes": 3}, {"horizon": 0}, {"episodes": 0}, {"horizon": -1}])
def test_a_quota_must_be_one_positive_number(quota: dict[str, int]) -> None:
    env = scripted_envs(2, "serial")
    with pytest.raises(ConfigError, match="horizon or episodes"):
        VectorRollouts(env, 0).collect(ScriptedPolicy(), **quota)


# In a process of its own: the check of annotations, on in the tests, would go before.
MISTAKEN = """
import gymnasium, numpy, torch
import clipper
from clipper.errors import ConfigError

env = clipper.make_env("CartPole-v1", 2)
spaces = env.single_observation_space, env.single_action_space
policy = clipper.make_policy(*spaces, clipper.PolicyOptions(), torch.Generator())
rollouts, learner = clipper.VectorRollouts(env), clipper.PPO().init(policy)

def says(f, *words):
    try:
        f()
    except ConfigError as error:
        assert all(word in str(error) for word in words), error
    else:
        raise AssertionError(words)

for name in ("horizon", "episodes"):
    for count in (4.5, 4.0, "4", float("nan"), torch.tensor(4)):
        says(lambda: rollouts.collect(policy, **{name: count}), "either horizon or episodes, a whole number from 1 on")
for given in ("CartPole-v1", gymnasium.make("CartPole-v1"), lambda: 0, None, clipper.VectorRollouts):
    says(lambda: clipper.VectorRollouts(given), "steps a gymnasium.vector.VectorEnv, not ", "write ", "make_env")
for given in (gymnasium.make("CartPole-v1"), 3, [rollouts]):
    says(lambda: clipper.make_env(given, 2), "neither an id nor a factory, of which several can be made: write")
    says(lambda: clipper.train(given), "neither an id nor a factory, of which several can be made: write")
says(lambda: rollouts.collect(learner, horizon=4), "Learner takes no actions", "give its .policy")
says(lambda: rollouts.collect(lambda obs: 0, horizon=4), "takes no actions", "give a policy")
assert rollouts.collect(policy, horizon=numpy.int64(3))[0].reward.shape == (3, 2)
"""


def test_what_is_mistaken_for_something_else_is_told_by_what_to_write() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", MISTAKEN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Skills(gymnasium.Env):
    """Its actions are a choice with an argument, which it takes as Gymnasium lays them out."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.OneOf([gymnasium.spaces.Box(-1, 1, (1,)), gymnasium.spaces.Discrete(2)])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        assert action in self.action_space
        return np.zeros(2, np.float32), float(action[0]), False, False, {}


def sync(factories: list) -> Any:
    return SyncVectorEnv(factories)


SKILLED: dict[str, Any] = {
    "sync": sync,
    "serial": Serial,
    "made": lambda factories: make(sync(factories), 3),
    "made and wrapped": lambda factories: RecordEpisodeStatistics(make(sync(factories), 3)),
    "wrapped": lambda factories: RecordEpisodeStatistics(sync(factories)),
}


@pytest.mark.parametrize("kind", SKILLED)
def test_choices_with_arguments_are_laid_out_as_the_environment_takes_them(kind: str) -> None:
    env = SKILLED[kind]([Skills] * 3)
    policy = make_policy(env.single_observation_space, env.single_action_space, PolicyOptions(), Generator())
    steps, _ = VectorRollouts(env, 0).collect(policy, horizon=20)
    assert torch.equal(steps.action[0].float(), steps.reward)
