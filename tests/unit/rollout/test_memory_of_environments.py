"""Whose memory is whose: an environment may keep and overwrite all that it was given, and all that it gave."""

from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from buffers import Buffers, made
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector import AutoresetMode

from clipper.data.trees import each, leaves

ENGINES = ["torch", "cpu"] if find_spec("numba") else ["torch"]
SPACES: dict[str, gymnasium.Space] = {
    "discrete": Discrete(3),
    "discrete from 5": Discrete(3, start=5),
    "multi": MultiDiscrete([3, 4]),
    "binary": MultiBinary(3),
    "box": Box(-1, 1, (2,), np.float32),
    "box of float64": Box(-1, 1, (2,), np.float64),
    "dict": Dict({"a": Box(-1, 1, (2,), np.float32), "b": Discrete(3)}),
}


@pytest.fixture(autouse=True)
def as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPER_ENGINE")


class Spoils(Buffers):
    """Overwrites its actions as soon as it has seen them."""

    def step(self, actions: Any) -> Any:
        answer = super().step(actions)
        for x in leaves(actions):
            x[...] = 0
        return answer


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SPACES)
def test_an_environment_may_keep_its_actions(name: str, engine: str) -> None:
    if engine == "cpu" and name == "dict":
        pytest.skip("kernels have no trees")
    env = Buffers((3, 50), space=SPACES[name])
    rollouts, made_for = made(env, engine)
    as_given: list[Any] = []
    step = env.step

    def noting(actions: Any) -> Any:
        as_given.append(each(np.copy, actions))
        return step(actions)

    env.step = noting
    for _ in range(3):
        rollouts.collect(made_for.actor, horizon=4)
    assert len(as_given) == 12
    for kept, given in zip(env.given, as_given, strict=True):
        for a, b in zip(leaves(kept), leaves(given), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SPACES)
def test_an_environment_may_write_into_its_actions(name: str, engine: str) -> None:
    if engine == "cpu" and name == "dict":
        pytest.skip("kernels have no trees")
    found = []
    for kind in (Buffers, Spoils):
        rollouts, made_for = made(kind((3, 50), space=SPACES[name]), engine)
        found.append([rollouts.collect(made_for.actor, horizon=6)[0] for _ in range(2)])
    for plain, spoiled in zip(*found, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(leaves(plain.action), leaves(spoiled.action), strict=True))
        assert torch.equal(plain.log_prob, spoiled.log_prob)


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("quota", [{"horizon": 12}, {"episodes": 8}], ids=["horizon", "episodes"])
def test_rows_and_last_observations_are_as_they_were_when_they_were_given(
    mode: AutoresetMode, quota: dict[str, int]
) -> None:
    lengths = (2, 3)
    rollouts, engine = made(Buffers(lengths, mode))
    steps, _ = rollouts.collect(engine.actor, **quota)
    for column, length in enumerate(lengths):
        mask, done = steps.mask[:, column], steps.done[:, column]
        assert torch.equal(steps.reward[mask, column], torch.ones(int(mask.sum())))
        assert torch.equal(steps.terminated[:, column], done)
        assert int(done.sum()) >= 3
        for row in done.nonzero().flatten().tolist():
            episode = steps.obs[row, column, 1]
            assert steps.obs[row, column].tolist() == [length - 1, episode]
            last = steps.obs[row + 1, column] if row + 1 < len(steps.obs) else rollouts.obs[column]
            if not steps.mask[row + 1 : row + 2, column].any():
                assert last.tolist() == [length, episode]
    assert {(e.env, e.total, e.length) for e in rollouts.episodes} == {(0, 2.0, 2), (1, 3.0, 3)}
