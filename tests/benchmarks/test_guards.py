"""What measures the guards: that they are taken out and nothing else, by turns, on the engine that is insisted on."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch

import clipper
from clipper.environments import checks
from clipper.rollout import vector_rollouts

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
guards = importlib.import_module("guards")

SMALL = guards.Work(2, 16, "serial", {"torch": 9, "cpu": 9})
FOUND = [(engine, guard) for engine in guards.GUARDS for guard in guards.GUARDS[engine]]


@pytest.fixture(autouse=True)
def no_engine_from_outside(monkeypatch):
    monkeypatch.delenv("CLIPPER_ENGINE", raising=False)


def train(engine):
    algorithm = clipper.PPO(horizon=16, epochs=2, minibatches=2)
    return clipper.train("CartPole-v1", algorithm, num_envs=2, vector="serial", total_steps=96, engine=engine)


@pytest.mark.parametrize(("engine", "guard"), FOUND, ids=[f"{engine}-{guard.name}" for engine, guard in FOUND])
def test_what_is_taken_out_is_what_a_run_calls(engine, guard):
    called = mock.Mock(side_effect=getattr(guard.owner, guard.name))
    with mock.patch.object(guard.owner, guard.name, called):
        assert train(engine).engine.name == engine
    assert called.called


@pytest.mark.parametrize("engine", dict.fromkeys(engine for engine, _ in FOUND))
def test_a_run_without_guards_does_the_same_work(engine):
    """On good input they change no bit."""
    guarded = train(engine)
    with guards.unguarded(engine):
        bare = train(engine)
    assert torch.equal(guarded.learner.parameters, bare.learner.parameters)
    assert guarded.steps == bare.steps


@pytest.mark.parametrize("first", [0, 1])
def test_iterations_take_turns_and_their_times_stand_where_they_belong(monkeypatch, first):
    """By a clock that only a step without its guard moves."""
    clock = [0.0]

    def slow(env, actions, *_):
        clock[0] += 0.25
        return env.step(actions)

    monkeypatch.setattr(guards, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setitem(guards.GUARDS, "torch", (guards.Guard(vector_rollouts, "checked_step", slow),))
    guarded, bare = guards.times("torch", SMALL, first)
    assert guarded == [0.0, 0.0]
    assert bare == [16 * 0.25] * 2
    assert checks.checked_step is not slow


def test_another_engine_is_refused(monkeypatch):
    monkeypatch.setenv("CLIPPER_ENGINE", "torch")
    with pytest.raises(SystemExit, match="on the torch engine, not on cpu"):
        guards.times("cpu", SMALL, 0)
