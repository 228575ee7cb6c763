"""Where the time goes: parts without those inside them, nothing left behind, and nothing changed by looking."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import stepped

import clipper
from clipper.runs.profile import PARTS, Profile

SHORT = clipper.PPO(horizon=16, epochs=1, minibatches=2)


class Clock:
    """Time that passes where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


def test_each_part_is_counted_without_those_inside_it(clock: Clock) -> None:
    profile = Profile()
    with profile.part("outer"):
        clock.now += 1
        for _ in range(2):
            with profile.part("inner"):
                clock.now += 4
                with profile.part("innermost"):
                    clock.now += 16
        clock.now += 2
    failing = profile.part("inner")
    failing.__enter__()
    clock.now += 32
    failing.__exit__(None, None, None)
    assert profile.seconds == {"outer": 3, "inner": 40, "innermost": 32}
    assert profile.row() == {"time/outer": 3, "time/inner": 40, "time/innermost": 32}
    with profile.part("outer"):
        clock.now += 5
    assert profile.row() == {"time/outer": 5, "time/inner": 0, "time/innermost": 0}
    assert profile.seconds["outer"] == 8


class Watched:
    def wait(self, clock: Clock) -> int:
        clock.now += 3
        return 7


@pytest.mark.parametrize("of_class", [False, True])
def test_methods_are_timed_until_the_end(clock: Clock, of_class: bool) -> None:
    profile, x = Profile(), Watched()
    original = Watched.wait
    profile.watch(Watched if of_class else x, "wait", "waiting")
    assert x.wait(clock) == 7
    profile.close()
    assert x.wait(clock) == 7
    assert profile.seconds == {"waiting": 3}
    assert Watched.wait is original
    assert not vars(x)


def test_training_is_the_same_and_its_time_is_told(tmp_path: Path) -> None:
    options: Any = {"total_steps": 200, "num_envs": 4, "policy": clipper.PolicyOptions(hidden=(8,))}
    plain = clipper.train("CartPole-v1", SHORT, **options)
    before = vars(clipper.PPO)["targets"]
    run = clipper.train("CartPole-v1", SHORT, profile=True, run_dir=tmp_path / "run", eval_every=100, **options)
    assert torch.equal(plain.learner.parameters, run.learner.parameters)
    assert vars(clipper.PPO)["targets"] is before
    assert "step" not in vars(stepped(run).env)
    assert run.profile is not None
    assert set(run.profile.seconds) == set(PARTS)
    row = run.history[-1]
    told = sum(row[f"time/{name}"] or 0 for name in ("environment", "acting", "targets", "update"))
    assert all(row[f"time/{name}"] > 0 for name in ("environment", "acting", "targets", "update"))  # pyright: ignore
    assert told <= (row["time/seconds"] or 0)
    assert not any(name.startswith("time/environment") for name in plain.history[-1])


class Slots:
    """As rollouts of one's own may be: without a dict."""

    __slots__ = ("clock",)

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def wait(self) -> int:
        self.clock.now += 3
        return 7


class Heirs(Slots):
    __slots__ = ()


@pytest.mark.parametrize("kind", [Slots, Heirs])
def test_an_object_of_slots_is_watched_through_its_class(kind: type[Slots], clock: Clock) -> None:
    profile, before = Profile(), dict(vars(kind))
    watched = kind(clock)
    profile.watch(watched, "wait", "update")
    assert watched.wait() == 7
    assert profile.seconds == {"update": 3}
    profile.close()
    assert watched.wait() == 7
    assert profile.seconds == {"update": 3}
    assert dict(vars(kind)) == before
