"""Returns and lengths of episodes are sums in float64 of what the environments gave, beside Python's own."""

from functools import partial
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from torch import Generator

import clipper
from clipper.compat.monitor import Monitor
from clipper.data.trees import each, leaves
from clipper.environments.vector.serial import Serial
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.vector_rollouts import VectorRollouts

ENGINES = ["torch", "cpu"] if find_spec("numba") else ["torch"]


class Pays(gymnasium.Env):
    """Its rewards are given, episode by episode, over and over."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, episodes: list[list[float]]) -> None:
        self.episodes, self.episode = episodes, -1

    def reset(self, *, seed=None, options=None):
        self.episode, self.time = self.episode + 1, 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        rewards = self.episodes[self.episode % len(self.episodes)]
        self.time += 1
        return np.zeros(2, np.float32), rewards[self.time - 1], self.time == len(rewards), False, {}


def actor_in(env: VectorEnv, engine: str) -> Any:
    policy = make_policy(env.single_observation_space, env.single_action_space, PolicyOptions(), Generator())
    if engine == "torch":
        return policy
    from clipper.engines.cpu.engine import CPU

    return CPU(clipper.PPO().init(policy), clipper.PPO()).actor


def collected(env: VectorEnv, engine: str, horizons: list[int]) -> list[tuple[int, float, int]]:
    """(environment, return, length) of the episodes that finish in some segments."""
    state, found, actor = VectorRollouts(env, 0), [], actor_in(env, engine)
    for horizon in horizons:
        state.collect(actor, horizon=horizon)
        found += [tuple(episode) for episode in state.episodes]
    return found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("horizons", [[12], [4, 8], [10, 2], [1] * 12], ids=str)
def test_large_numbers_keep_their_digits(engine: str, horizons: list[int]) -> None:
    env = Serial([lambda: Pays([[123456789.0] * 10]), lambda: Pays([[16777217.0] * 3, [0.1] * 4])])
    found = sorted(collected(env, engine, horizons), key=lambda episode: episode[0])
    assert found[0] == (0, 1234567890.0, 10)
    assert found[1] == (1, 50331651.0, 3)
    assert found[2] == (1, pytest.approx(0.4, rel=1e-15), 4)
    assert len(found) == 4  # the second's third ends in its twelfth row


@pytest.mark.parametrize("engine", ENGINES)
def test_an_episode_loses_no_digits_to_another(engine: str) -> None:
    env = Serial([lambda: Pays([[1e29, 1.0], [1.0, 2.0], [0.25]])])
    found = collected(env, engine, [8])
    assert found == [(0, 1e29, 2), (0, 3.0, 2), (0, 0.25, 1)]


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_every_mode_sums_so(mode: AutoresetMode) -> None:
    rng = np.random.default_rng(0)
    lives = [[rng.normal(0, 1e3, size).tolist() for size in (3, 1, 7, 2)] for _ in range(3)]
    factories: Any = [partial(Pays, episodes) for episodes in lives]
    found = collected(SyncVectorEnv(factories, autoreset_mode=mode), "torch", [5, 1, 11])
    for env, episodes in enumerate(lives):
        mine = [(total, length) for i, total, length in found if i == env]
        assert len(mine) >= 4
        for (total, length), rewards in zip(mine, [*episodes, *episodes], strict=False):
            assert (total, length) == (pytest.approx(sum(rewards), rel=1e-13), len(rewards))


def test_evaluation_and_the_monitor_sum_so() -> None:
    policy = make_policy(Pays.observation_space, Pays.action_space, PolicyOptions(), Generator())
    found = clipper.evaluate(policy, lambda: Pays([[123456789.0] * 10]), episodes=3, num_envs=2)
    assert found.returns.tolist() == [1234567890.0] * 3
    assert found.lengths.tolist() == [10] * 3
    env = Monitor(Pays([[123456789.0] * 10]))
    env.reset()
    info = [env.step(0)[-1] for _ in range(10)][-1]
    assert (info["episode"]["r"], info["episode"]["l"]) == (1234567890.0, 10)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_s_metrics_tell_them(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPER_ENGINE")
    run = clipper.train(
        lambda: Pays([[123456789.0] * 10]), clipper.PPO(horizon=16, epochs=1, minibatches=1), num_envs=2,
        total_steps=64, engine=engine,
    )  # fmt: skip
    assert run.engine.name == engine
    assert {row["episode/return"] for row in run.history} == {1234567890.0}


@pytest.mark.parametrize("engine", ENGINES)
def test_no_segment_changes_one_that_was_collected_before(engine: str) -> None:
    """Also where they are of one row, and storage is kept from one to the next: replay keeps them."""
    env = clipper.make_env("CartPole-v1", 3)
    state, actor, kept = VectorRollouts(env, 0), actor_in(env, engine), []
    for quota in (*[{"horizon": 1}] * 40, {"horizon": 7}, {"horizon": 7}, {"episodes": 4}, {"horizon": 1}):
        segment = state.collect(actor, **quota)
        kept.append((segment, each(torch.clone, segment)))
    for segment, copied in kept:
        assert all(map(torch.equal, leaves(segment), leaves(copied)))


@pytest.mark.parametrize("engine", ENGINES)
def test_last_observations_are_the_first_of_the_next_segment(engine: str) -> None:
    env = clipper.make_env("CartPole-v1", 3)
    state, actor = VectorRollouts(env, 0), actor_in(env, engine)
    for _ in range(3):
        _, last_obs = state.collect(actor, horizon=1)
        assert torch.equal(state.collect(actor, horizon=1)[0].obs[0], last_obs)


class Game(Pays):
    """Of two lives, each an episode; its end tells a score of its own, at times while it is reset."""

    metadata = {"tells_episodes": True}  # noqa: RUF012 (as Gymnasium has it)

    def __init__(self, lives: list[int], in_reset: bool = False) -> None:
        super().__init__([[1.0] * length for length in lives])
        self.lives, self.in_reset = lives, in_reset

    def told(self) -> dict[str, Any]:
        game = self.episode // 2
        lengths = [self.lives[i % len(self.lives)] for i in (2 * game, 2 * game + 1)]
        return {"episode_return": 100.0 + game, "episode_length": sum(lengths)}

    def reset(self, *, seed=None, options=None):
        told = self.told() if self.in_reset and self.episode % 2 == 1 else {}
        return super().reset(seed=seed, options=options)[0], told

    def step(self, action) -> Any:
        *given, _ = super().step(action)
        return *given, self.told() if given[2] and self.episode % 2 == 1 and not self.in_reset else {}


@pytest.mark.limit(20)
@pytest.mark.parametrize("in_reset", [False, True])
@pytest.mark.parametrize("quota", [{"horizon": 40}, {"episodes": 5}], ids=["horizon", "episodes"])
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_what_environments_tell_themselves_counts_in_every_mode(
    mode: AutoresetMode, quota: dict[str, int], in_reset: bool
) -> None:
    lives = [[2, 3, 1, 4], [1, 1, 6]]
    factories: Any = [partial(Game, own, in_reset) for own in lives]
    env = SyncVectorEnv(factories, autoreset_mode=mode)
    env.metadata = env.metadata | Game.metadata
    policy = make_policy(env.single_observation_space, env.single_action_space, PolicyOptions(), Generator())
    rollouts = VectorRollouts(env, 0)
    rollouts.collect(policy, **quota)
    for i, own in enumerate(lives):
        games = [(e.total, e.length) for e in rollouts.episodes if e.env == i]
        lengths = [own[k % len(own)] for k in range(20)]
        expected = [(100.0 + k, lengths[2 * k] + lengths[2 * k + 1]) for k in range(9)]
        assert games == expected[: len(games)]
        assert len(games) == 3 - i if "episodes" in quota else len(games) >= 4
