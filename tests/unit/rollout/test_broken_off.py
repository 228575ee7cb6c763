"""A segment that is broken off leaves nothing behind, and closed environments are collected from no more."""

import copy
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from buffers import Buffers, made
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import clipper
from clipper.data.trees import leaves
from clipper.environments.vector.serial import Serial
from clipper.errors import ClipperError, ConfigError

ENGINES = ["torch", "cpu"] if find_spec("numba") else ["torch"]


@pytest.fixture(autouse=True)
def as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPER_ENGINE")


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt], ids=lambda kind: kind.__name__)
def test_the_next_segment_begins_with_a_reset(error: type[BaseException], engine: str, mode: AutoresetMode) -> None:
    """The rows that nobody got count for nothing, and no episode is put together of two."""
    env = Buffers((6, 50), mode, fail=9, error=error)
    rollouts, acting = made(env, engine)
    rollouts.collect(acting.actor, horizon=4)
    with pytest.raises(error):
        rollouts.collect(acting.actor, horizon=6)
    assert rollouts.steps == 8
    steps, _ = rollouts.collect(acting.actor, horizon=6)
    assert steps.obs[0, :, 0].tolist() == [0, 0]  # time
    assert [steps.obs[t, 1, 0].item() for t in range(6)] == [0, 1, 2, 3, 4, 5]
    assert rollouts.steps == 8 + int(steps.mask.sum())
    assert rollouts.episodes == [(0, 6.0, 6)]


def test_a_failure_outside_the_environment_counts_as_well() -> None:
    class Late(clipper.VectorRollouts):
        def fails(self, t: int, answer: Any) -> Any:
            if t == 3:
                raise ValueError("no")
            return answer

    rollouts, acting = made(Buffers((50, 50)))
    late = Late(Buffers((50, 50)))
    late.first = [late.fails]
    with pytest.raises(ValueError, match="no"):
        late.collect(acting.actor, horizon=6)
    late.join(acting.actor)
    assert late.steps == 0
    late.on_step.clear()
    found, _ = late.collect(acting.actor, horizon=3)
    expected, _ = rollouts.collect(acting.actor, horizon=3)
    assert torch.equal(found.obs[..., 0], expected.obs[..., 0])


class Games(gymnasium.Env):
    """Tells its episodes, of 3 decisions, itself; the 8th decision fails."""

    observation_space, action_space = gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.Discrete(2)
    metadata = {"tells_episodes": True}  # noqa: RUF012 (as Gymnasium has it)
    taken = 0

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.time, self.taken = self.time + 1, self.taken + 1
        if self.taken == 8:
            raise RuntimeError("no")
        told = {"episode_return": 100.0 + self.taken, "episode_length": 3} if self.time == 3 else {}
        return np.zeros(2, np.float32), 1.0, self.time == 3, False, told


def test_episodes_that_were_told_in_it_are_forgotten() -> None:
    rollouts, acting = made(Serial([Games]))
    with pytest.raises(ClipperError):
        rollouts.collect(acting.actor, horizon=20)
    rollouts.collect(acting.actor, horizon=4)
    assert [e.total for e in rollouts.episodes] == [111.0]


def closed_by_env(rollouts: clipper.VectorRollouts) -> None:
    rollouts.env.close()


@pytest.mark.parametrize("close", [clipper.VectorRollouts.close, closed_by_env], ids=["rollouts", "environments"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "wrapped"])
@pytest.mark.parametrize("quota", [{"horizon": 3}, {"episodes": 2}], ids=["horizon", "episodes"])
def test_closed_environments_are_not_collected_from(
    close: Callable[[clipper.VectorRollouts], None], wrapped: bool, quota: dict[str, int]
) -> None:
    env: Any = Buffers((5, 5))
    rollouts, acting = made(RecordEpisodeStatistics(env) if wrapped else env)
    rollouts.collect(acting.actor, horizon=3)
    close(rollouts)
    calls = env.calls
    with pytest.raises(ConfigError, match="were closed, as train closes those that it made"):
        rollouts.collect(acting.actor, **quota)
    assert env.calls == calls


def test_a_run_s_own_environments_are_closed_with_it() -> None:
    run = clipper.train(
        "CartPole-v1", clipper.PPO(horizon=8, epochs=1, minibatches=1), total_steps=32, num_envs=2, vector="serial"
    )
    with pytest.raises(ConfigError, match="were closed"):
        run.rollouts.collect(run.policy, horizon=2)


def cart_poles() -> Any:
    return clipper.make_env("CartPole-v1", 2)


def same(a: Any, b: Any) -> bool:
    return all(torch.equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


HISTORIES: dict[str, list[dict[str, int]]] = {
    "at once": [],
    "in an episode": [{"horizon": 7}],
    "after an end": [{"horizon": 60}],
    "after whole episodes": [{"horizon": 7}, {"episodes": 2}],
}


@pytest.mark.parametrize("elsewhere", [False, True], ids=["the same", "another"])
@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("engine", [*ENGINES, "memory"])
def test_going_back_gives_what_came_before(engine: str, history: str, elsewhere: bool) -> None:
    """Rows and episodes, however far the rollouts went on since, and as often as one likes."""
    env, policy = cart_poles(), None
    if engine == "memory":
        policy = clipper.make_policy(
            env.single_observation_space, env.single_action_space,
            clipper.PolicyOptions(hidden=(8,), memory=clipper.memory.GRU()), torch.Generator().manual_seed(0),
        )  # fmt: skip
    rollouts, acting = made(env, "torch" if engine == "memory" else engine, policy=policy)
    for quota in HISTORIES[history]:
        rollouts.collect(acting.actor, **quota)
    state = rollouts.state_dict()
    expected, told = rollouts.collect(acting.actor, horizon=50), rollouts.episodes
    rollouts.collect(acting.actor, episodes=3)
    if elsewhere:
        rollouts = made(cart_poles(), policy=policy, seed=9)[0]
    for _ in range(2):
        assert rollouts.load_state_dict(*state, acting.actor)
        found = rollouts.collect(acting.actor, horizon=50)
        assert same(found, expected)
        assert rollouts.episodes == told


def test_a_state_of_before_that_says_nothing_of_whole_episodes_is_taken() -> None:
    rollouts, acting = made(cart_poles())
    rollouts.collect(acting.actor, horizon=5)
    tensors, values = rollouts.state_dict()
    del values["stale"]
    expected = rollouts.collect(acting.actor, horizon=9)
    rollouts.collect(acting.actor, episodes=2)
    rollouts.load_state_dict(tensors, values, acting.actor)
    assert same(rollouts.collect(acting.actor, horizon=9), expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("quota", [None, {"horizon": 9}, {"episodes": 2}], ids=str)
def test_a_copy_goes_on_apart(quota: dict[str, int] | None, engine: str) -> None:
    rollouts, acting = made(cart_poles(), engine)
    if quota is not None:
        rollouts.collect(acting.actor, **quota)
    other = copy.deepcopy(rollouts)
    expected = rollouts.collect(acting.actor, horizon=40)
    found = other.collect(acting.actor, horizon=40)
    assert same(found, expected)
    assert other.episodes == rollouts.episodes


class Turn(gymnasium.Env):
    """Legal is one action, which is drawn at each step; any other raises."""

    observation_space, action_space = gymnasium.spaces.Box(0, 1, (3,)), gymnasium.spaces.Discrete(3)

    def look(self) -> tuple[np.ndarray, dict[str, Any]]:
        self.legal = int(self.np_random.integers(3))
        return np.eye(3, dtype=np.float32)[self.legal], {"action_mask": np.arange(3) == self.legal}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left, self.level = 9, (options or {}).get("level", 0)
        return self.look()

    def step(self, action):
        assert int(action) == self.legal
        self.left -= 1
        obs, info = self.look()
        return obs, float(self.level), False, self.left == 0, info


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("vector", [Serial, *(partial(SyncVectorEnv, autoreset_mode=mode) for mode in AutoresetMode)])
def test_a_reset_by_hand_renews_what_is_legal(vector: Any, engine: str) -> None:
    rollouts, acting = made(vector([Turn] * 4), engine)
    rollouts.collect(acting.actor, horizon=5)
    found = []
    for _ in range(2):
        rollouts.reset(3)
        found.append(rollouts.collect(acting.actor, horizon=25)[0].obs)
    assert torch.equal(*found)  # the seed, too
    rollouts.reset(options={"level": 2})
    assert rollouts.collect(acting.actor, horizon=5)[0].reward.eq(2).all()
