"""What a run records is the same whether it was interrupted or not: metrics, the best policy, initial states."""

import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import clipper
from clipper.runs.run import Run
from clipper.storage import checkpoint

SCORES = (1, 4, 2, 1, 3, 0, 3)
"""What the policy scores when iteration 2, 3 … has ended: the best comes early."""


class Paying(gymnasium.Env):
    """One step, which pays the number of the action."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(5)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        return np.zeros(1, np.float32), float(action), True, False, {}

    def get_state(self) -> Any:
        return 0

    def set_state(self, state: Any) -> None:
        pass


class Lottery(Paying):
    """Pays what was drawn when the episode began."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        obs, info = super().reset(seed=seed)
        self.prize = self.np_random.random()
        return obs, info

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        return np.zeros(1, np.float32), self.prize, True, False, {}

    def get_state(self) -> Any:
        return self.prize

    def set_state(self, state: Any) -> None:
        self.prize = state


def play_a_script(run: Run) -> None:
    """Let the greedy action be what the next iteration's score has to be; nothing else moves the policy."""
    if run.iteration <= len(SCORES):
        with torch.no_grad():
            run.policy.head.logits.weight.zero_()
            run.policy.head.logits.bias.copy_(torch.eye(5)[SCORES[run.iteration - 1]])


def train(env: type[gymnasium.Env], *callbacks: Any, **settings: Any) -> Run:
    plan = {"num_envs": 2, "total_steps": 4 * (len(SCORES) + 1), "eval_every": 4, "eval_episodes": 3, "seed": 5}
    algorithm = clipper.PPO(horizon=4, epochs=1, minibatches=1, learning_rate=0.0)
    begun: dict[str, Any] = {} if "resume" in settings else {"algorithm": algorithm, **plan}
    policy = None if "resume" in settings else clipper.PolicyOptions(hidden=(4,))
    return clipper.train(env, policy=policy, callback=callbacks, engine="torch", **begun | settings)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]


def assert_same_records(run: Run, other: Run) -> None:
    assert run.path is not None
    assert other.path is not None
    assert rows_of(run.path) == rows_of(other.path)
    assert [row["iteration"] for row in rows_of(other.path)] == list(range(1, len(SCORES) + 2))
    assert [row["iteration"] for row in other.history] == list(range(1, len(SCORES) + 2))
    assert run.best == other.best == max(SCORES)
    ours, theirs = (checkpoint.load(x.path / "best.safetensors") for x in (run, other) if x.path)
    assert ours[1] == theirs[1]
    assert ours[1]["return"] == max(SCORES)
    assert ours[0].keys() == theirs[0].keys()
    assert all(torch.equal(x, theirs[0][name]) for name, x in ours[0].items())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that was not interrupted."""
    return train(Paying, play_a_script, run_dir=tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize("halt", [3, 5])
def test_the_best_policy_stays_the_best_after_a_resumption(halt: int, whole: Run, tmp_path: Path) -> None:
    assert [row["eval/return"] for row in whole.history][1:] == list(SCORES)
    stop = lambda run: run.iteration < halt  # noqa: E731 (a callback)
    train(Paying, play_a_script, stop, run_dir=tmp_path / "halted")
    resumed = train(Paying, play_a_script, resume=tmp_path / "halted")
    assert resumed.exact
    assert_same_records(whole, resumed)
    best = clipper.load(tmp_path / "halted", best=True)
    assert int(best.predict(np.zeros(1, np.float32))) == max(SCORES)


def test_rows_after_the_checkpoint_are_of_no_run(whole: Run, tmp_path: Path) -> None:
    """The power fails: the last checkpoint is older than what else the folder holds, which is then told once."""
    kept = tmp_path / "kept.safetensors"

    def keep(run: Run) -> None:
        if run.iteration == 3:
            run.save()
            shutil.copy(tmp_path / "cut" / "checkpoint.safetensors", kept)

    stop = lambda run: run.iteration < 6  # noqa: E731 (a callback)
    train(Paying, play_a_script, keep, stop, run_dir=tmp_path / "cut")
    shutil.copy(kept, tmp_path / "cut" / "checkpoint.safetensors")
    assert len(rows_of(tmp_path / "cut")) == 6
    assert_same_records(whole, train(Paying, play_a_script, resume=tmp_path / "cut"))


def test_every_evaluation_of_a_run_begins_in_the_same_states(tmp_path: Path) -> None:
    stop = lambda run: run.iteration < 3  # noqa: E731 (a callback)
    train(Lottery, stop, run_dir=tmp_path / "run")
    run = train(Lottery, resume=tmp_path / "run")
    rows = rows_of(tmp_path / "run")
    assert len(rows) == len(SCORES) + 1
    assert len({row["eval/return"] for row in rows}) == 1
    assert len({row["episode/return"] for row in rows}) == len(rows)  # while training goes on to others
    assert run.evaluate(3, seed=run.config.seed).mean != rows[0]["eval/return"]


def test_evaluations_are_due_when_they_would_have_been(tmp_path: Path) -> None:
    """Every other iteration, also after a resumption in between."""
    train(Lottery, run_dir=tmp_path / "whole", eval_every=8)
    stop = lambda run: run.iteration < 3  # noqa: E731 (a callback)
    train(Lottery, stop, run_dir=tmp_path / "halted", eval_every=8)
    train(Lottery, resume=tmp_path / "halted")
    rows = rows_of(tmp_path / "halted")
    assert rows == rows_of(tmp_path / "whole")
    assert [row["iteration"] for row in rows if "eval/return" in row] == [2, 4, 6, 8]
