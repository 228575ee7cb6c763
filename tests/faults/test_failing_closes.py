"""Environments whose ``close``, or whose attributes, raise."""

import gymnasium
import numpy as np
import pytest

import clipper
from clipper.environments.make import make
from clipper.errors import EnvironmentContractError


class Silent(Exception):
    """Its text cannot be made."""

    def __str__(self) -> str:
        raise ZeroDivisionError


RAISED = [
    RuntimeError("no display"), OSError(28, "No space left"), SystemExit(3), MemoryError(), StopIteration("x"),
    clipper.ClipperError("mine"), Silent(), ValueError("one\ntwo\x1b[31m"), RecursionError("deep"),
]  # fmt: skip


class Stuck(gymnasium.Wrapper):
    """Raises where it is closed."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(gymnasium.make("CartPole-v1"))
        self.error = error

    def close(self) -> None:
        raise self.error


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_what_was_learned_is_not_lost_where_close_raises(error: BaseException) -> None:
    plan = {"num_envs": 2, "vector": "serial", "total_steps": 64}
    with pytest.warns(
        UserWarning, match=rf"environment [01] of CartPoleEnv failed in close.*{type(error).__name__}"
    ) as caught:
        run = clipper.train(lambda: Stuck(error), clipper.PPO(horizon=16), **plan)
    assert run.steps >= 64
    assert "\x1b" not in str(caught[-1].message)
    with pytest.warns(UserWarning, match="failed in close"):
        assert len(clipper.evaluate(run.policy, lambda: Stuck(error), episodes=2).returns) == 2


def test_an_interrupt_is_heard_in_close_too() -> None:
    with pytest.raises(KeyboardInterrupt):
        make(lambda: Stuck(KeyboardInterrupt()), 1).close()


def test_where_one_cannot_be_made_those_before_are_closed_and_its_error_is_told() -> None:
    made: list[Stuck] = []

    def factory() -> gymnasium.Env:
        if len(made) == 2:
            raise RuntimeError("the third")
        made.append(Stuck(OSError("close")))
        return made[-1]

    with pytest.warns(UserWarning, match="failed in close"), pytest.raises(clipper.ClipperError, match="the third"):
        make(factory, 3)


@pytest.mark.parametrize("name", ["spec", "metadata", "observation_space", "action_space", "unwrapped"])
def test_attributes_that_raise_are_told(name: str) -> None:
    def raises(self: object) -> object:
        raise RuntimeError("not before the licence is read")

    kind = type("Own", (gymnasium.Env,), {
        "observation_space": gymnasium.spaces.Box(-1, 1, (2,), np.float32),
        "action_space": gymnasium.spaces.Discrete(2), name: property(raises),
    })  # fmt: skip
    with pytest.raises(EnvironmentContractError, match=r"Own raises RuntimeError where .* not before the licence"):
        clipper.train(kind, total_steps=10, num_envs=1)
