"""Callbacks that would be heard too late, or never."""

import functools
from typing import Any

import pytest

import clipper
from clipper.errors import ConfigError
from clipper.runs.callbacks import Callbacks


async def later(run: object) -> None: ...
def bit_by_bit(run: object) -> Any:
    yield


class Later:
    async def __call__(self, run: object) -> None: ...


class OfSteps:
    def on_step(self, run: object) -> None: ...


class Asked:
    def on_step(self, run: object, infos: object) -> Any:
        yield


@pytest.mark.parametrize(
    ("callback", "why"),
    [
        (later, "is async"), (bit_by_bit, "has a yield"), (Later(), "is async"), (Asked(), "has a yield"),
        (functools.partial(later), "is async"), (lambda: None, "called with run"),
        (lambda a, b: None, "called with run"), (OfSteps(), "called with run and infos"),
        (lambda *, run: None, "called with run"), (functools.partial(lambda a: None, 1), "called with run"),
        ([print, later], "is async"),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_would_not_be_heard_is_refused_at_the_start(callback: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        clipper.train("CartPole-v1", total_steps=100, callback=callback)


@pytest.mark.parametrize(
    "callback", [print, lambda run, more=1: None, lambda *all: None, functools.partial(print, 1)], ids=range(4)
)
def test_what_can_be_called_with_a_run_is_taken(callback: Any) -> None:
    assert Callbacks(callback).of_iterations == [callback]


@pytest.mark.parametrize(("name", "number"), [(3, 1.0), (None, 1.0), ("a", 10**400), (b"a", 1.0)])
def test_a_note_that_no_row_can_hold_is_refused(name: Any, number: Any) -> None:
    def note(run: clipper.Run) -> None:
        run.note(name, number)

    with pytest.raises(ConfigError, match=r"run\.note"):
        clipper.train("CartPole-v1", clipper.PPO(horizon=16), num_envs=2, total_steps=32, callback=note)
