"""Callbacks see what each environment told, however it is stepped; loggers and rows get their numbers."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from rich.console import Console
from test_logs import curves

import clipper
from clipper.environments.vector.serial import Serial
from clipper.environments.vector.workers import Workers
from clipper.errors import ConfigError
from clipper.runs.progress import ProgressDisplay
from clipper.runs.run import Run

QUICK = clipper.PPO(horizon=10, epochs=1, minibatches=1)


class Counting(gymnasium.Env):
    """Episodes of three steps; tells which it was, at its end a text, and a dict of two arrays."""

    observation_space = gymnasium.spaces.Box(0, 9, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    count = 0

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return np.zeros(1, np.float32), {"count": 0}

    def step(self, action):
        self.count += 1
        over = self.count == 3
        info = {"count": self.count} | ({"word": "over", "deep": {"x": np.arange(2)}} if over else {})
        return np.array([self.count], np.float32), 1.0, over, False, info


class Listening:
    """Keeps all infos but those of rows that are no decision."""

    def __init__(self) -> None:
        self.seen: list[list[dict[str, Any]]] = [[], []]

    def on_step(self, run: Run, infos: list[dict[str, Any]]) -> None:
        for kept, info in zip(self.seen, infos, strict=True):
            kept.extend([info] if info else [])


VECTORS: dict[str, Callable[[], gymnasium.vector.VectorEnv]] = {
    "serial": lambda: Serial([Counting, Counting]),
    "workers": lambda: Workers([Counting, Counting], 2),
    "gymnasium": lambda: SyncVectorEnv([Counting, Counting]),
    "same step": lambda: SyncVectorEnv([Counting, Counting], autoreset_mode=AutoresetMode.SAME_STEP),
    "disabled": lambda: SyncVectorEnv([Counting, Counting], autoreset_mode=AutoresetMode.DISABLED),
    "gymnasium's processes": lambda: AsyncVectorEnv([Counting, Counting]),
}


@pytest.mark.parametrize("kind", VECTORS)
def test_infos_are_what_the_environments_told(kind: str) -> None:
    listening = Listening()
    vector = VECTORS[kind]()
    run = clipper.train(vector, QUICK, callback=listening, total_steps=20)
    vector.close()
    for seen in listening.seen:
        assert len(seen) == run.steps // 2
        assert [info["count"] for info in seen] == [1 + i % 3 for i in range(len(seen))]
        for info in seen:
            assert info.get("word") == ("over" if info["count"] == 3 else None)
            assert np.array_equal(info["deep"]["x"], [0, 1]) if info["count"] == 3 else "deep" not in info


def test_listening_changes_no_bit_and_ends_with_the_run() -> None:
    vector = Serial([Counting, Counting])
    heard = clipper.train(vector, QUICK, callback=Listening(), total_steps=40, seed=3)
    silent = clipper.train(Counting, QUICK, num_envs=2, total_steps=40, seed=3)
    assert (heard.learner.parameters == silent.learner.parameters).all()
    assert vector.step(np.zeros(2, dtype=np.int64))[-1] == {}


def test_a_callback_of_steps_may_stop_the_run_and_must_have_some() -> None:
    class Stop:
        def on_step(self, run: Run, infos: list[dict[str, Any]]) -> np.bool_:
            return np.bool_(run.iteration < 1)

    assert clipper.train(Counting, QUICK, callback=Stop(), num_envs=2, total_steps=400).iteration == 2
    a_class: Any = Listening
    with pytest.raises(ConfigError, match="class Listening"):
        clipper.train(Counting, QUICK, callback=a_class, num_envs=2, total_steps=40)


class Noting:
    """Notes a number at each step and at each iteration."""

    def on_step(self, run: Run, infos: list[dict[str, Any]]) -> None:
        for info in infos:
            if "word" in info:
                run.note("ended", True)
            elif info:
                run.note("ended", np.float32(0))

    def __call__(self, run: Run) -> None:
        run.note("my/iteration", run.iteration)


def test_numbers_reach_metrics_tensorboard_loggers_and_the_terminal(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    screen = StringIO()
    display = ProgressDisplay(Console(file=screen, force_terminal=False))
    run = clipper.train(
        Counting, QUICK, callback=[Noting(), display], loggers=rows.append, num_envs=2, total_steps=40,
        run_dir=tmp_path,
    )  # fmt: skip
    written = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["my/iteration"] for row in written] == list(range(1, run.iteration + 1))
    assert all(0.2 < row["custom/ended"] < 0.5 for row in written)  # a third of all steps end an episode
    assert rows == run.history
    assert [x for _, x in curves(tmp_path)["my/iteration"]] == [row["my/iteration"] for row in written]
    assert f"my/iteration {run.iteration}" in screen.getvalue()


def test_rows_of_several_iterations_have_the_mean_of_what_was_noted() -> None:
    run = clipper.train(Counting, QUICK, callback=Noting(), num_envs=2, total_steps=80, log_every=30)
    iterations = [row["my/iteration"] for row in run.history]
    assert iterations[0] == pytest.approx(np.mean(range(1, int(run.history[0]["iteration"] or 0) + 1)))


def test_what_is_no_number_or_a_run_s_own_name_is_refused(tmp_path: Path) -> None:
    for name, number, message in (("x", "1", "no single number"), ("episode/x", 1, "a run's own are called")):
        with pytest.raises(ConfigError, match=message):
            clipper.train(
                Counting, QUICK, callback=lambda run, name=name, x=number: run.note(name, x), num_envs=2, total_steps=20
            )
    a_class: Any = Noting
    with pytest.raises(ConfigError, match="is no logger"):
        clipper.train(Counting, loggers=a_class, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_logger_that_fails_costs_one_warning_and_is_closed() -> None:
    class Failing:
        closed = 0

        def __call__(self, row: dict[str, Any]) -> None:
            raise OSError("the network is gone")

        def close(self) -> None:
            self.closed += 1

    failing, rows = Failing(), list[dict[str, Any]]()
    with pytest.warns(UserWarning, match="logger Failing cannot be written, training goes on: the network") as told:
        run = clipper.train(Counting, QUICK, loggers=[failing, rows.append], num_envs=2, total_steps=60)
    assert (len(told), failing.closed, len(rows)) == (1, 1, run.iteration)


def test_rows_are_on_the_disk_while_a_run_trains(tmp_path: Path) -> None:
    seen: list[int] = []

    def look(run: Run) -> None:
        if run.iteration == 3:
            seen.append(len(curves(tmp_path)["loss/policy"]))

    clipper.train(Counting, QUICK, callback=look, num_envs=2, total_steps=60, run_dir=tmp_path)
    assert seen == [2]
