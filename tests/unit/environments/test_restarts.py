"""An environment that fails in mid-episode is made anew, if that was asked for: only what is known is learned from."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Generator

from clipper.data.steps import Steps
from clipper.environments.vector.serial import Serial
from clipper.errors import EnvWorkerError
from clipper.functional.returns import gae
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.vector_rollouts import VectorRollouts

pytestmark = pytest.mark.filterwarnings("ignore:environment 1 of Counting failed in step")


class Counting(gymnasium.Env):
    """Observes (own number, life, step in the episode); pays 1 per step; episodes last 5 steps."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Discrete(2)
    lives: dict[int, int]

    def __init__(self, number: int, lives: dict[int, int], fails_at: dict[int, int], during: str = "step") -> None:
        self.number, self.during = number, during
        self.life = lives[number] = lives.get(number, -1) + 1
        self.fails_at = fails_at.get(self.life, -1)
        self.calls = 0

    def observe(self) -> np.ndarray:
        return np.array([self.number, self.life, self.time], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        if self.during == "reset" and self.calls:
            raise RuntimeError("no second episode")
        self.time, self.seed = 0, seed
        return self.observe(), {}

    def step(self, action):
        self.calls += 1
        if self.calls == self.fails_at:
            raise RuntimeError("worn out")
        self.time += 1
        return self.observe(), 1.0, False, self.time == 5, {}


def environments(fails_at: dict[int, int], max_restarts: int, during: str = "step") -> Serial:
    """Three, of which number 1 fails in its lives' given steps."""
    lives: dict[int, int] = {}
    never: dict[int, int] = {}
    factories = [(lambda i=i: Counting(i, lives, fails_at if i == 1 else never, during)) for i in range(3)]
    return Serial(factories, max_restarts=max_restarts)


def run(env: Serial, *horizons: int, **quota: int) -> tuple[list[Steps], VectorRollouts]:
    policy = make_policy(env.single_observation_space, env.single_action_space, PolicyOptions(), Generator())
    state, parts = VectorRollouts(env, 0), []
    for horizon in horizons:
        steps, _ = state.collect(policy, horizon=horizon)
        parts.append(steps)
    return parts, state


def column(steps: Steps, env: int = 1) -> list[tuple]:
    """(life, step, decision, end) of each row."""
    return [
        (int(o[1]), int(o[2]), bool(m), bool(d))
        for o, m, d in zip(steps.obs[:, env], steps.mask[:, env], steps.done[:, env], strict=True)
    ]


def test_the_row_before_ends_the_episode_and_the_failing_one_is_no_decision() -> None:
    env = environments({0: 3}, max_restarts=1)
    with pytest.warns(UserWarning, match=r"environment 1 of Counting failed in step 3 .* 1 of 1: RuntimeError"):
        (steps,), state = run(env, 6)
    # The third step of the first life raises: s₂ is its true last observation, and the next row begins a new life.
    assert column(steps) == [
        (0, 0, True, False), (0, 1, True, True), (0, 2, False, False), (1, 0, True, False), (1, 1, True, False),
        (1, 2, True, False),
    ]  # fmt: skip
    assert not steps.terminated.any()
    assert column(steps, 0) == [(0, t, t < 5, t == 4) for t in range(6)]  # the others know nothing of it
    assert state.steps == 5 + 5 + 5
    assert env.restarts == 1
    assert [(e.env, e.total, e.length) for e in state.episodes] == [(0, 5.0, 5), (1, 2.0, 2), (2, 5.0, 5)]


def test_the_value_after_the_cut_is_that_of_the_last_known_observation() -> None:
    (steps,), _ = run(environments({0: 3}, max_restarts=1), 6)
    value = torch.arange(1.0, 22.0).reshape(7, 3) ** 2
    advantage = gae(steps.reward, value, steps.terminated, steps.done, steps.mask, gamma=0.9, lam=0.8)
    last = 1.0 + 0.9 * value[2, 1] - value[1, 1]
    assert advantage[1, 1] == pytest.approx(float(last))
    assert advantage[0, 1] == pytest.approx(float(1.0 + 0.9 * value[1, 1] - value[0, 1] + 0.9 * 0.8 * last))


def test_a_cut_at_a_segment_s_first_row_ends_the_episode_of_the_segment_before() -> None:
    env = environments({0: 3}, max_restarts=1)
    (_, steps), state = run(env, 2, 7)
    assert column(steps)[:2] == [(0, 2, False, False), (1, 0, True, False)]
    assert [(e.total, e.length) for e in state.episodes if e.env == 1] == [(2.0, 2), (5.0, 5)]
    assert state.steps == 3 * 2 + 2 * 6 + 5  # in the columns of 0 and 2 one row, in that of 1 two are no decisions


@pytest.mark.parametrize("fails_at", [{0: 3}, {0: 1, 1: 8}, {0: 2, 1: 2, 2: 6}], ids=str)
def test_how_episodes_count_does_not_depend_on_the_horizon(fails_at: dict[int, int]) -> None:
    found = []
    for horizon in (24, 12, 3, 2, 1):
        env = environments(fails_at, max_restarts=9)
        policy = make_policy(env.single_observation_space, env.single_action_space, PolicyOptions(), Generator())
        rollouts, told = VectorRollouts(env, 0), []
        for _ in range(24 // horizon):
            rollouts.collect(policy, horizon=horizon)
            told += rollouts.episodes
        found.append((sorted(told), rollouts.steps))
        assert env.restarts == len(fails_at)
    assert found == found[:1] * 5
    assert sum(e.length for e in found[0][0] if e.env == 1) >= 10


def test_failing_after_an_episode_s_end() -> None:
    env = environments({0: 6}, max_restarts=1)
    (steps,), _ = run(env, 8)
    assert column(steps)[4:] == [(0, 4, True, True), (0, 5, False, False), (0, 0, False, False), (1, 0, True, False)]


def test_too_many_failures_are_an_error_that_counts_them() -> None:
    env = environments({0: 2, 1: 2, 2: 2, 3: 2}, max_restarts=2)
    with pytest.raises(EnvWorkerError, match=r"environment 1 .* failed in step \d+; 2 restarts were tried.*worn out"):
        run(env, 40)


def test_without_restarts_the_first_failure_is_the_error() -> None:
    with pytest.raises(EnvWorkerError, match=r"environment 1 of Counting failed in step 3: RuntimeError"):
        run(environments({0: 3}, max_restarts=0), 6)


def test_one_that_cannot_be_reset_is_not_tried_again() -> None:
    env = environments({}, max_restarts=100, during="reset")
    with pytest.raises(EnvWorkerError, match="in its reset"):
        run(env, 8)


def test_the_new_environment_has_a_seed_of_its_own_the_same_in_every_run() -> None:
    seeds = []
    for _ in range(2):
        env = environments({0: 3, 1: 3}, max_restarts=2)
        run(env, 4)
        first = env.envs[1].seed  # pyright: ignore[reportAttributeAccessIssue]
        collect_more = [env.step(np.zeros(3, np.int64)) for _ in range(3)]
        assert len(collect_more) == 3
        seeds.append((first, env.envs[1].seed))  # pyright: ignore[reportAttributeAccessIssue]
    assert seeds[0] == seeds[1]
    assert len({1, *seeds[0]}) == 3


def test_a_segment_that_was_broken_off_leaves_no_restart_behind() -> None:
    """The next segment, in which nothing fails, is whole: its rows have the numbers of the broken one's."""
    env = environments({0: 3}, max_restarts=1)
    policy: Any = make_policy(env.single_observation_space, env.single_action_space, PolicyOptions(), Generator())
    rollouts, act, taken = VectorRollouts(env, 0), policy.act, []

    def interrupted(*arguments: Any) -> Any:
        taken.append(arguments)
        if len(taken) == 5:
            raise KeyboardInterrupt
        return act(*arguments)

    policy.act = interrupted
    with pytest.raises(KeyboardInterrupt):
        rollouts.collect(policy, horizon=8)
    assert env.restarts == 1
    steps, _ = rollouts.collect(policy, horizon=4)
    assert steps.mask[:, 1].all(), "life 1 begins an episode"
    assert not steps.done[:2, 1].any()
