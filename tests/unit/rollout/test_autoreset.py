"""Whatever resets the environments, and when: the same decisions get the same targets."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import VectorEnv
from scripted import BACKENDS, WEIGHTS, Scripted, ScriptedPolicy, scripted_envs, vectorised

from clipper.algorithms import PPO
from clipper.data.steps import Steps
from clipper.data.trees import leaves
from clipper.errors import EnvironmentContractError
from clipper.learning.rewards import Raw
from clipper.rollout.vector_rollouts import VectorRollouts

torch.set_num_threads(1)
PPO_RAW = PPO(advantages=Raw(), gamma=0.9, lam=0.8)


def collected(env: VectorEnv, policy, **quota: int) -> tuple[Steps, torch.Tensor, torch.Tensor]:
    """Steps, advantages, value targets."""
    try:
        state = VectorRollouts(env, 0)
        steps, _ = state.collect(policy, **quota)
        targets = PPO_RAW.targets(PPO_RAW.init(policy), steps, state.obs)
    finally:
        env.close()
    return steps, targets.advantage, targets.value_target


def by_decision(steps: Steps, *columns: torch.Tensor) -> dict[tuple[int, int, int], list[float]]:
    """(environment, episode, time) → numbers; time and whose it is are what the scripted observation says."""
    table = {}
    for row, env in steps.mask.nonzero().tolist():
        number, episode, time, _ = steps.obs[row, env].tolist()
        assert number == env
        assert (env, episode, time) not in table
        table[env, int(episode), int(time)] = [float(x[row, env]) for x in columns]
    return table


def reference(n: int, episodes: int) -> dict[tuple[int, int, int], list[float]]:
    """Advantage and value target as the definition says, δ and a sum within each episode, in plain Python."""
    w = WEIGHTS.numpy()
    table = {}
    for number in range(n):
        env = Scripted(number)
        for episode in range(episodes):
            obs, rewards, end = [env.reset()[0]], [], (False, False)
            while not any(end):
                action = np.sin(np.float64(obs[-1] @ w))
                following, reward, *end = env.step(np.array([action]))[:4]
                obs.append(following)
                rewards.append(reward)
            value = [float(np.cos(3 * x @ w)) for x in obs]
            if end[0]:  # terminated: worth nothing; truncated: worth V of its last observation
                value[-1] = 0.0
            delta = [rewards[t] + 0.9 * value[t + 1] - value[t] for t in range(len(rewards))]
            for t in range(len(rewards)):
                advantage = sum((0.9 * 0.8) ** (k - t) * delta[k] for k in range(t, len(rewards)))
                table[number, episode, t] = [advantage, advantage + value[t]]
    return table


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("quota", [{"episodes": 20}, {"horizon": 41}], ids=["episodes", "horizon"])
def test_targets_equal_the_definition_in_every_mode(backend: str, quota: dict[str, int]) -> None:
    steps, advantage, target = collected(scripted_envs(5, backend), ScriptedPolicy(), **quota)
    found = by_decision(steps, advantage, target)
    expected = reference(5, 30)
    whole = {(env, int(steps.obs[row, env, 1])) for row, env in steps.done.nonzero().tolist()}
    assert sum(steps.terminated.sum(0) > 0) == sum((steps.done & ~steps.terminated).sum(0) > 0) == 5
    compared = {key for key in found if key[:2] in whole}
    if "episodes" in quota:
        assert whole == {(env, episode) for env in range(5) for episode in range(4)}
        assert compared == set(found) == {key for key in expected if key[1] < 4}
    for key in compared:
        assert found[key] == pytest.approx(expected[key], abs=1e-6), key


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cut_segment_bootstraps_from_the_next_observation(backend: str) -> None:
    """The last decision of each column: δ with V of the observation that follows, whichever row holds it."""
    env = scripted_envs(5, backend)
    state = VectorRollouts(env, 0)
    steps, _ = state.collect(ScriptedPolicy(), horizon=13)
    env.close()
    advantage = PPO_RAW.targets(PPO_RAW.init(ScriptedPolicy()), steps, state.obs).advantage
    value = lambda obs: float(np.cos(3 * obs @ WEIGHTS.numpy()))  # noqa: E731
    for column in range(5):
        row = int(steps.mask[:, column].nonzero()[-1])
        number, episode, time, _ = obs = steps.obs[row, column].numpy()
        replay = Scripted(int(number))
        replay.episode, replay.time = int(episode), int(time)
        following, reward, terminated, *_ = replay.step(steps.action[row, column].numpy())
        delta = reward + 0.9 * (0.0 if terminated else value(following)) - value(obs)
        assert float(advantage[row, column]) == pytest.approx(delta, abs=1e-5)


class Pushing(ScriptedPolicy):
    """For CartPole: pushes to the side to which the pole leans, at times the wrong one."""

    def act(self, obs, memory=(), action_mask=()):
        dist, memory = super().act(obs)
        dist.mode = ((obs[..., 2] + 0.5 * obs[..., 3] > 0) ^ (obs[..., 0].abs() > 0.05)).long()
        dist.log_prob = lambda action: torch.zeros(action.shape)
        return dist, memory

    def value(self, obs, memory=()):
        return super().value(obs * 5)


def test_cartpole_gets_the_same_targets_in_every_mode() -> None:
    tables = []
    for backend in BACKENDS:
        factories = [
            lambda limit=limit: gymnasium.make("CartPole-v1", max_episode_steps=limit) for limit in (9, 12)
        ] * 2
        steps, advantage, target = collected(vectorised(factories, backend), Pushing(), episodes=20)
        assert (steps.done & ~steps.terminated).any()
        columns = [(steps.mask[:, i], i) for i in range(4)]
        tables.append([torch.stack([advantage[m, i], target[m, i], steps.reward[m, i]]) for m, i in columns])
    assert tables[0][0].shape != tables[0][1].shape
    for table in tables[1:]:
        for found, expected in zip(table, tables[0], strict=True):
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


# Not in "sync same_step": there Gymnasium's final_obs is the environment's own array, which the reset overwrote.
@pytest.mark.parametrize("backend", ["serial", "sync next_step", "sync disabled"])
def test_an_environment_may_reuse_its_observation_array(backend: str) -> None:
    found = [collected(scripted_envs(3, backend, reuse), ScriptedPolicy(), horizon=30) for reuse in (False, True)]
    for fresh, reused in zip(found[0][0], found[1][0], strict=True):
        if not isinstance(fresh, tuple):
            assert torch.equal(fresh, reused)


@pytest.mark.parametrize("reuses", ["obs", "reward", "terminated", "truncated"])
def test_a_vector_environment_may_reuse_its_arrays(reuses: str) -> None:
    class Reusing(gymnasium.vector.VectorWrapper):
        arrays: tuple = ()

        def step(self, actions):
            *given, info = super().step(actions)
            if not self.arrays:
                self.arrays = tuple(x.copy() for x in given)
            chosen = ["obs", "reward", "terminated", "truncated"].index(reuses)
            self.arrays[chosen][...] = given[chosen]
            given[chosen] = self.arrays[chosen]
            return *given, info

    for backend in ("sync next_step", "sync same_step", "sync disabled"):
        expected = collected(scripted_envs(3, backend), ScriptedPolicy(), horizon=30)
        found = collected(Reusing(scripted_envs(3, backend)), ScriptedPolicy(), horizon=30)
        assert all(torch.equal(a, b) for a, b in zip(leaves(expected[0]), leaves(found[0]), strict=True))


def test_a_vector_environment_must_declare_its_mode() -> None:
    env = scripted_envs(2, "sync next_step")
    env.metadata = {}
    with pytest.raises(EnvironmentContractError, match="autoreset_mode"):
        VectorRollouts(env, 0)


def test_resetting_in_the_same_step_without_the_last_observation_is_refused() -> None:
    env = scripted_envs(2, "sync next_step")
    env.metadata = env.metadata | {"autoreset_mode": "SameStep"}
    with pytest.raises(EnvironmentContractError, match="final_obs"):
        VectorRollouts(env, 0).collect(ScriptedPolicy(), horizon=9)
