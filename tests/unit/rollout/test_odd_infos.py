"""What a vector environment's info may hold: masks in time, last observations of all, and whatever else it likes."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from batches import stepped
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv

import clipper
from clipper.errors import EnvironmentContractError

Info = Callable[[int], dict[str, Any]]
N, LENGTH = 2, 3
ENGINES = ("torch", "cpu")
ROW = np.zeros(3, np.float32)


class Odd(VectorEnv):
    """Two environments whose episodes have three steps; ``info`` of 0 is the reset's, of 1 a step's."""

    def __init__(
        self, info: Info = lambda _: {}, mode: AutoresetMode = AutoresetMode.NEXT_STEP, final: Any = None
    ) -> None:
        self.num_envs, self.metadata, self.spec = N, {"autoreset_mode": mode}, None
        self.single_observation_space, self.single_action_space = Box(-9, 9, (3,)), Discrete(2)
        self.info, self.mode, self.final, self.time = info, mode, final, 0

    def look(self) -> np.ndarray:
        return np.zeros((N, 3), np.float32)

    def reset(self, *, seed: Any = None, options: Any = None):
        return self.look(), self.info(0)

    def step(self, actions):
        self.time += 1
        done, info = np.full(N, self.time % LENGTH == 0), dict(self.info(1))
        if self.mode is AutoresetMode.SAME_STEP and done.any():
            info["final_obs"] = self.final
        return self.look(), np.ones(N), done, np.zeros(N, dtype=bool), info


class Mirrored(Odd):
    """Its observations are views that run backwards."""

    def look(self) -> np.ndarray:
        return np.arange(6, dtype=np.float32).reshape(N, 3)[:, ::-1]


class Half(gymnasium.Env):
    """Every second choice is legal, which only a method tells."""

    observation_space, action_space = Box(-1, 1, (2,)), Discrete(4)

    def action_masks(self) -> np.ndarray:
        return np.array([True, False, True, False])

    def reset(self, *, seed: int | None = None, options: Any = None):
        self.time = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        if action % 2:
            raise ValueError("illegal")
        self.time += 1
        return np.zeros(2, np.float32), 1.0, False, self.time >= 5, {}


def train(env: VectorEnv, engine: Any = "torch") -> clipper.Run:
    return clipper.train(env, clipper.PPO(horizon=8, minibatches=2, epochs=1), total_steps=32, engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_masks_that_come_after_the_reset_are_refused(engine: str) -> None:
    env = Odd(lambda step: {"action_mask": np.ones((N, 2), dtype=bool)} if step else {})
    with pytest.raises(EnvironmentContractError, match="none in that of its reset"):
        train(env, engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("value", [np.ones(N, dtype=bool), np.ones(N), [1, 2], None], ids=repr)
def test_no_word_of_an_info_is_taken_for_a_restart(engine: str, value: Any) -> None:
    run = train(Odd(lambda _: {"restarted": value}), engine)
    assert run.steps >= 32


@pytest.mark.parametrize("value", [3.5, None, {"name": "x"}, [1, 2, 3], np.zeros(5)], ids=repr)
def test_an_info_may_hold_anything_where_environments_wait_to_be_reset(value: Any) -> None:
    run = train(Odd(lambda _: {"own": value}, AutoresetMode.DISABLED))
    assert run.steps == 32


def test_masks_of_another_number_are_refused_where_environments_wait_to_be_reset() -> None:
    env = Odd(lambda step: {"action_mask": [np.ones(2, dtype=bool)] * (N + step)}, AutoresetMode.DISABLED)
    with pytest.raises(EnvironmentContractError, match="mask"):
        train(env)


@pytest.mark.parametrize("final", [ROW[None], 1.0, (ROW,) * 3, "x", None, [ROW]], ids=repr)
def test_last_observations_of_other_numbers_than_environments_are_refused(final: Any) -> None:
    with pytest.raises(EnvironmentContractError, match="an entry for each of the 2 environments"):
        train(Odd(mode=AutoresetMode.SAME_STEP, final=final))


@pytest.mark.parametrize("final", [[ROW] * N, (ROW,) * N, np.stack([ROW] * N)], ids=["list", "tuple", "array"])
def test_last_observations_may_come_in_any_sequence(final: Any) -> None:
    assert train(Odd(mode=AutoresetMode.SAME_STEP, final=final)).steps == 32


@pytest.mark.parametrize("engine", ENGINES)
def test_observations_may_be_views_that_run_backwards(engine: str) -> None:
    assert stepped(train(Mirrored(), engine)).obs[0].tolist() == [2.0, 1.0, 0.0]


def test_a_method_of_environments_in_other_processes_gives_masks() -> None:
    env = AsyncVectorEnv([Half, Half])
    try:
        assert stepped(train(env)).mask_source is not None
    finally:
        env.close()
