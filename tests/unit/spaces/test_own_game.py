"""A game of one's own, with skills, targets and masks: trained, resumed, evaluated and plotted by command."""

import json
from pathlib import Path

import pytest
from spaces.skills import Arena
from test_resume import assert_equal_runs, stop_after

import clipper
from clipper.cli.commands import run_command
from clipper.environments import make
from clipper.errors import UnknownEnvironmentError

ALGORITHM = clipper.PPO(horizon=16, epochs=4, minibatches=2, learning_rate=3e-3)


@pytest.mark.parametrize(("steps", "score"), [(10_000, 3.0), pytest.param(20_000, 3.4, marks=pytest.mark.long)])
def test_it_learns_what_is_legal_where_the_target_lies_and_which_branch(steps: int, score: float) -> None:
    """A policy that does not look strikes at 0, and scores 0.5 for each strike: 2.5 in an episode, of 5 at best."""
    run = clipper.train(Arena, ALGORITHM, num_envs=16, total_steps=steps, seed=1)
    assert run.evaluate(50, seed=7).mean > score


def test_interrupted_equals_uninterrupted(tmp_path: Path) -> None:
    """Masks lie in the checkpoint: the first action after resuming obeys them."""
    plan: dict = {"total_steps": 320, "num_envs": 2, "seed": 3}
    whole = clipper.train(Arena, ALGORITHM, run_dir=tmp_path / "whole", **plan)
    clipper.train(Arena, ALGORITHM, run_dir=tmp_path / "halved", callback=stop_after(4), **plan)
    resumed = clipper.train(Arena, resume=tmp_path / "halved")
    assert resumed.exact
    assert_equal_runs(whole, resumed)


def test_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def command(*words: str) -> str:
        assert run_command(words) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    folder = tmp_path / "arena"
    command("train", "skills:Arena", "--run-dir", str(folder), "--total-steps", "600", "--num-envs", "2")
    assert json.loads((folder / "config.json").read_text())["env"] == "skills:Arena"
    assert "return" in command("evaluate", str(folder), "--env", "skills:Arena", "--episodes", "3")
    assert (folder / "curve.png").stat().st_size > 1000
    command("plot", str(folder), "--output", str(tmp_path / "curves.png"))
    assert (tmp_path / "curves.png").stat().st_size > 1000
    command("resume", str(folder), "--env", "skills:Arena", "--total-steps", "900")
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["steps"] >= 900
    assert last["policy/entropy/choice"] == 0  # one skill is ready at a time
    assert last["policy/entropy/0"] > 0


def test_a_module_without_that_name_is_refused() -> None:
    with pytest.raises(UnknownEnvironmentError, match=r"no environment 'spaces.skills:Nothing'"):
        make("spaces.skills:Nothing", 1)
