"""Environments inside a vector environment are reached whatever steps them; closed ones answer nothing more."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import clipper
from clipper.environments.vector.serial import Serial
from clipper.environments.vector.workers import Workers
from clipper.errors import ConfigError, EnvWorkerError


class Levels(gymnasium.Env):
    """Pays its level; has one attribute that cannot be sent to another process."""

    observation_space, action_space = Box(-1, 1, (2,)), Discrete(2)

    def __init__(self) -> None:
        self.level, self.closings, self.secret = 1, 0, lambda: 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), float(self.level), False, False, {}

    def scaled(self, x: int) -> int:
        return x * self.level

    def fails(self) -> None:
        raise RuntimeError("no")

    def close(self) -> None:
        self.closings += 1


MADE: dict[str, Callable[[], VectorEnv]] = {
    "serial": lambda: Serial([Levels] * 4),
    "workers": lambda: Workers([Levels] * 4, 2),
    "sync": lambda: SyncVectorEnv([Levels] * 4),
    "async": lambda: AsyncVectorEnv([Levels] * 4),
    "wrapped": lambda: RecordEpisodeStatistics(RecordEpisodeStatistics(SyncVectorEnv([Levels] * 4))),
    "wrapped serial": lambda: RecordEpisodeStatistics(Serial([Levels] * 4)),
}


@pytest.fixture
def rollouts(request: pytest.FixtureRequest) -> Iterator[clipper.VectorRollouts]:
    env = MADE[request.param]()
    yield clipper.VectorRollouts(env)
    env.close()


@pytest.mark.parametrize("rollouts", MADE, indirect=True)
def test_separate_environments_are_reached_however_they_are_wrapped(rollouts: clipper.VectorRollouts) -> None:
    rollouts.set_attr("level", [2, 3, 4, 5])
    assert rollouts.get_attr("level") == (2, 3, 4, 5)
    assert rollouts.call("scaled", 10) == (20, 30, 40, 50)
    rollouts.set_attr("level", 7)
    assert rollouts.call("scaled", x=2) == (14,) * 4
    with pytest.raises(ConfigError, match="2 values for 4 environments"):
        rollouts.set_attr("level", [1, 2])


def answers(rollouts: clipper.VectorRollouts) -> list[float]:
    return rollouts.env.step(np.zeros(4, np.int64))[1].tolist()


MISTAKES: dict[str, Callable[[clipper.VectorRollouts], object]] = {
    "no such attribute": lambda x: x.get_attr("levle"),
    "no such method": lambda x: x.call("sacled", 10),
    "an argument too many": lambda x: x.call("scaled", 1, 2),
    "a method that raises": lambda x: x.call("fails"),
    "what cannot come back": lambda x: x.get_attr("secret"),
    "what cannot be sent": lambda x: x.set_attr("level", [1, 2, 3, lambda: 0]),
}


@pytest.mark.parametrize("rollouts", ["workers"], indirect=True)
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_reaching_them_ends_no_process(name: str, rollouts: clipper.VectorRollouts) -> None:
    """Nor does it leave an answer behind that the next question would take for its own."""
    rollouts.set_attr("level", [2, 3, 4, 5])
    with pytest.raises((AttributeError, TypeError, RuntimeError, ConfigError)):
        MISTAKES[name](rollouts)
    assert rollouts.get_attr("level") == (2, 3, 4, 5)
    assert answers(rollouts) == [2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("rollouts", ["serial", "workers"], indirect=True)
def test_looking_at_a_method_does_not_call_it(rollouts: clipper.VectorRollouts) -> None:
    with suppress(ConfigError):  # it may be one that cannot be sent from another process
        assert callable(rollouts.get_attr("close")[0])
    assert rollouts.get_attr("closings") == (0,) * 4


class AsOne(VectorEnv):
    """Steps three environments at once."""

    metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP}  # noqa: RUF012 (as Gymnasium has it)
    single_observation_space, single_action_space = Box(-1, 1, (2,)), Discrete(2)
    observation_space, action_space = Box(-1, 1, (3, 2)), gymnasium.spaces.MultiDiscrete([2, 2, 2])
    num_envs = 3

    def __init__(self) -> None:
        self.gravity, self.left = 9.8, np.array([1, 2, 3])

    def reset(self, *, seed=None, options=None):
        return np.zeros((3, 2), np.float32), {}

    def doubled(self) -> np.ndarray:
        return 2 * self.left


@pytest.mark.parametrize("wrapped", [False, True])
def test_what_steps_all_as_one_gives_its_own(wrapped: bool) -> None:
    env = AsOne()
    rollouts = clipper.VectorRollouts(RecordEpisodeStatistics(env) if wrapped else env)
    assert rollouts.get_attr("gravity") == rollouts.call("gravity") == (9.8,) * 3
    assert rollouts.get_attr("left") == (1, 2, 3)
    assert rollouts.call("doubled") == (2, 4, 6)
    rollouts.set_attr("left", [4, 5, 6])
    rollouts.set_attr("gravity", 5.0)
    assert (env.left.tolist(), env.gravity) == ([4, 5, 6], 5.0)
    rollouts.set_attr("gravity", [3.0, 3.0, 3.0])
    assert env.gravity == 3.0
    for mistaken in (rollouts.get_attr, rollouts.call, lambda name: rollouts.set_attr(name, 1)):
        with pytest.raises(ConfigError, match="steps its 3 environments as one, and has no 'gravitiy' itself"):
            mistaken("gravitiy")
    with pytest.raises(ConfigError, match="has one gravity for all of its environments"):
        rollouts.set_attr("gravity", [1.0, 2.0, 3.0])


def test_clipper_s_own_environments_are_reached_where_they_are_stepped_as_one() -> None:
    rollouts = clipper.VectorRollouts(clipper.make_env("clipper/Platform-v0", 3))
    assert rollouts.get_attr("num_envs") == (3, 3, 3)
    with pytest.raises(ConfigError, match="no 'no_such' itself"):
        rollouts.get_attr("no_such")


@pytest.mark.parametrize("failed", [False, True], ids=["by hand", "by a failure"])
def test_closed_processes_are_asked_nothing_more(failed: bool) -> None:
    env = Workers([Levels] * 2, 2)
    env.reset(seed=0)
    if failed:
        env.set_attr("level", ["none", 1.0])
        with pytest.raises(EnvWorkerError):
            env.step(np.zeros(2, np.int64))
    else:
        env.close()
    asked: list[Callable[[], object]] = [
        env.reset, lambda: env.step(np.zeros(2, np.int64)), lambda: env.call("scaled", 1), env.get_states,
        lambda: env.get_attr("level"), lambda: env.set_attr("level", 1), lambda: env.set_states([]),
    ]  # fmt: skip
    for question in asked:
        with pytest.raises(EnvWorkerError, match=r"these environments of \w+ are closed"):
            question()
    env.close()
