"""With ``log_every`` nothing but rows of metrics waits: all else comes when it does without it."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import clipper
from clipper.cli import session
from clipper.errors import NonFiniteError
from clipper.runs.run import Run
from clipper.storage import checkpoint
from clipper.storage.saved import value_of

SMALL = clipper.PolicyOptions(hidden=(8,))
ALGORITHM = clipper.PPO(horizon=16, epochs=1, minibatches=1)
PLAN: Any = {"policy": SMALL, "num_envs": 2, "vector": "serial"}
LATE = 10**6


class Ten(gymnasium.Env):
    """Episodes of ten steps; at some step of all something may happen."""

    observation_space, action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)
    taken, at, happens = 0, -1, staticmethod(lambda: None)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t, Ten.taken = self.t + 1, Ten.taken + 1
        if Ten.taken == Ten.at:
            Ten.happens()
        return np.zeros(2, np.float32), 1.0, self.t == 10, False, {}


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ten, "taken", 0)
    monkeypatch.setattr(Ten, "at", -1)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def interrupt() -> None:
    raise KeyboardInterrupt


def test_checkpoints_evaluations_and_callbacks_come_when_they_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves, save = list[int](), Run.save
    monkeypatch.setattr(Run, "save", lambda run, *rest: (saves.append(run.steps), save(run, *rest))[1])
    told = []
    for log_every in (0, LATE):
        saves.clear()
        calls, folder = list[int](), tmp_path / str(log_every)
        run = clipper.train(
            "CartPole-v1", ALGORITHM, total_steps=1500, log_every=log_every, checkpoint_every=200, eval_every=500,
            eval_episodes=1, run_dir=folder, callback=lambda run, to=calls: to.append(run.steps), **PLAN,
        )  # fmt: skip
        evaluated = [(row["steps"], row["eval/return"]) for row in run.history if "eval/return" in row]
        counted = sum(row["episode/count"] or 0 for row in run.history)
        told.append((list(saves), calls, evaluated, counted, run.learner.parameters.tolist()))
        assert rows(folder)[-1]["iteration"] == run.iteration
    assert told[0] == told[1]
    assert len(run.history) < run.iteration / 3


def test_a_callback_is_called_after_each_iteration_and_ends_the_run_at_once(tmp_path: Path) -> None:
    seen = list[tuple[int, int]]()

    def look(run: Run) -> bool:
        seen.append((run.iteration, len(run.history)))
        return run.iteration < 5

    run = clipper.train(Ten, ALGORITHM, total_steps=4000, log_every=LATE, run_dir=tmp_path, callback=look, **PLAN)
    assert seen == [(i, 0) for i in range(1, 6)]
    assert run.iteration == 5
    assert [(row["iteration"], row["steps"]) for row in rows(tmp_path)] == [(5, run.steps)]


def test_until_solved_ends_the_run_at_the_evaluation() -> None:
    gymnasium.register("tests/Ten-v0", lambda **_: Ten(), reward_threshold=10.0)
    try:
        run = clipper.train(
            "tests/Ten-v0", ALGORITHM, total_steps=4000, log_every=LATE, until_solved=True, eval_every=100,
            eval_episodes=1, **PLAN,
        )  # fmt: skip
    finally:
        del gymnasium.registry["tests/Ten-v0"]
    assert run.solved
    assert run.steps < 200


def test_a_broken_policy_is_noticed_in_the_iteration_that_breaks_it() -> None:
    iterations = list[int]()
    with pytest.raises(NonFiniteError, match="by iteration"):
        clipper.train(
            Ten, clipper.PPO(horizon=16, epochs=1, minibatches=1, learning_rate=1e38), total_steps=4000,
            log_every=LATE, callback=lambda run: iterations.append(run.iteration), **PLAN,
        )  # fmt: skip
    assert len(iterations) < 20


def test_interrupted_in_mid_row_no_iteration_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ten, "at", 1000)
    monkeypatch.setattr(Ten, "happens", interrupt)
    with pytest.raises(KeyboardInterrupt):
        clipper.train(Ten, ALGORITHM, total_steps=2000, log_every=LATE, run_dir=tmp_path, **PLAN)
    tensors, values = checkpoint.load_latest(tmp_path)
    first = rows(tmp_path)
    assert [row["steps"] for row in first] == [values["steps"]]
    assert value_of("steps", int, values) > 900
    assert len(tensors["recent"]) == first[0]["episode/count"]
    run = clipper.train(Ten, resume=tmp_path)
    assert rows(tmp_path)[0] == first[0]
    assert [row["steps"] for row in run.history] == [values["steps"], run.steps]


def test_what_a_callback_saves_in_mid_row_goes_on_without_a_gap(tmp_path: Path) -> None:
    def save(run: Run) -> None:
        if run.iteration == 7:
            run.save()
            shutil.copytree(tmp_path / "run", tmp_path / "killed")

    plan = {"total_steps": 640, "log_every": LATE, **PLAN}
    run = clipper.train("CartPole-v1", ALGORITHM, run_dir=tmp_path / "run", callback=save, **plan)
    again = clipper.train(resume=tmp_path / "killed")
    told = [[{k: v for k, v in row.items() if "time/" not in k} for row in one.history] for one in (run, again)]
    assert told[0] == told[1]
    assert [row["iteration"] for row in rows(tmp_path / "killed")] == [7, run.iteration]
    assert again.exact
    assert torch.equal(again.learner.parameters, run.learner.parameters)


def test_a_signal_on_the_command_line_ends_the_run_after_the_iteration_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Ten, "at", 1000)
    monkeypatch.setattr(Ten, "happens", lambda: os.kill(os.getpid(), signal.SIGINT))
    plan = {"algorithm": ALGORITHM, "total_steps": 100_000, "log_every": LATE, **PLAN}
    assert session.show({"env": Ten, "run_dir": tmp_path, **plan}) == 130
    saved = value_of("steps", int, checkpoint.load_latest(tmp_path)[1])
    assert rows(tmp_path)[-1]["steps"] == saved < 1024
    assert "stopped by SIGINT" in capsys.readouterr().out


def test_an_iteration_that_is_given_up_leaves_the_row_before_it(tmp_path: Path) -> None:
    """What the timer does after a signal: it saves what was learned, with all its rows."""
    ended = list[int]()

    def hang(run: Run) -> None:
        if run.iteration == 4:
            stop.run, run.phase = run, "collecting"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "_exit", ended.append)
                stop.leave()
            run.phase = ""
            shutil.copytree(tmp_path / "run", tmp_path / "left")

    stop = session.StopOnSignal()
    clipper.train(Ten, ALGORITHM, total_steps=640, log_every=LATE, run_dir=tmp_path / "run", callback=hang, **PLAN)
    assert ended == [128]
    assert [row["iteration"] for row in rows(tmp_path / "left")] == [4]
    assert checkpoint.load_latest(tmp_path / "left")[1]["iteration"] == 4
