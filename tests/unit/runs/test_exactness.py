"""Whether a run that goes on counts as exact, and what is named where it does not."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from test_resume import assert_equal_runs, stop_after

import clipper
from clipper.errors import ConfigError
from clipper.learning.schedules import Annealed, Linear
from clipper.networks.heads.scales import Fixed, LinearStd
from clipper.runs.exactness import followers
from clipper.runs.header import Header
from clipper.runs.terminal import Terminal
from clipper.settings.config import Config
from clipper.storage import checkpoint

PPO = clipper.PPO(horizon=16, epochs=1, minibatches=2, learning_rate=1e-3)
PLAN: dict[str, Any] = {"num_envs": 2, "total_steps": 64, "policy": clipper.PolicyOptions(hidden=(8,))}

LONGER: dict[str, Any] = PLAN | {"total_steps": 160}


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipper.runs.train.plot_run", lambda run: None)


def begun(folder: Path, algorithm: Any = PPO, env: Any = "CartPole-v1", **given: Any) -> Path:
    clipper.train(env, algorithm, run_dir=folder, **(PLAN | given))
    return folder


def test_a_larger_budget_changes_nothing_where_nothing_follows_it(tmp_path: Path) -> None:
    """The weights are those of a run that was planned so, number for number, and so are the rows."""
    whole = clipper.train("CartPole-v1", PPO, run_dir=tmp_path / "whole", **LONGER)
    longer = clipper.train(resume=begun(tmp_path / "short"), total_steps=160)
    assert longer.exact
    assert longer.inexact == ""
    assert_equal_runs(whole, longer)


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [
        (replace(PPO, learning_rate=Linear(1e-3)), "algorithm.learning_rate follows"),
        (
            replace(PPO, clip=Linear(0.2, 0.1), entropy_coef=lambda progress: progress),
            r"algorithm.clip and algorithm.entropy_coef \(code of your own\) follow",
        ),
    ],
)
def test_what_follows_a_larger_budget_is_named(algorithm: Any, words: str, tmp_path: Path) -> None:
    whole = clipper.train("CartPole-v1", algorithm, **LONGER)
    again = algorithm if "own" in words else None
    longer = clipper.train(algorithm=again, resume=begun(tmp_path / "run", algorithm), total_steps=160)
    assert not longer.exact
    assert longer.inexact.startswith("total-steps 160 instead of 64, which algorithm.")
    assert re.search(words, longer.inexact)
    assert not torch.equal(whole.learner.parameters, longer.learner.parameters)


class Own:
    """An algorithm that somebody has written."""

    horizon = 16
    init, update = PPO.init, PPO.update


@pytest.mark.parametrize(
    ("algorithm", "policy", "expected"),
    [
        (PPO, {}, []),
        (replace(PPO, learning_rate=Linear(1e-3, 1e-3)), {}, []),
        (clipper.Exploring(replace(PPO, learning_rate=Linear(1e-3))), {}, ["algorithm.algorithm.learning_rate"]),
        (clipper.DQN(), {}, ["algorithm.exploration.epsilon"]),
        (clipper.DQN(exploration=clipper.exploration.EpsilonGreedy(Annealed(0.1, 0.1))), {}, []),
        (Own(), {}, ["algorithm (code of your own)"]),
        (PPO, {"std": LinearStd(0.1)}, ["policy.head.log_std"]),
        (PPO, {"std": Fixed()}, []),
    ],
)
def test_what_follows_the_progress_of_a_run(algorithm: Any, policy: dict[str, Any], expected: list[str]) -> None:
    config = Config(env="x", algorithm=algorithm)
    box = gymnasium.spaces.Box(-1, 1, (2,))
    options = clipper.PolicyOptions(hidden=(4,), head=clipper.HeadOptions(**policy))
    module = clipper.make_policy(box, box, options, torch.Generator())
    assert list(followers(config, module)) == expected


def test_reasons_are_in_the_file_and_in_what_the_resumption_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = begun(tmp_path / "run", callback=stop_after(1))
    run = clipper.train(resume=folder, algorithm=replace(PPO, clip=0.1), callback=[Header(Terminal()), stop_after(2)])
    assert run.inexact == "clip 0.1 instead of 0.2"
    assert "exact: false, since clip 0.1 instead of 0.2" in capsys.readouterr().out
    assert checkpoint.load_latest(folder)[1]["inexact"] == run.inexact
    # From there on nothing changes, and what was said stays.
    again = clipper.train(resume=folder, algorithm=replace(PPO, clip=0.1), eval_every=32, eval_episodes=1)
    assert (again.exact, again.inexact) == (False, run.inexact)


def test_environments_that_cannot_be_restored_are_a_reason(tmp_path: Path) -> None:
    class Opaque(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (2,))
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
            return self.observation_space.sample(), {}

        def step(self, action: Any) -> Any:
            return self.observation_space.sample(), 1.0, False, True, {}

    run = clipper.train(Opaque, resume=begun(tmp_path / "run", env=Opaque, callback=stop_after(1)))
    assert not run.exact
    assert "begin new episodes" in run.inexact


def test_files_that_do_not_say_why_are_read(tmp_path: Path) -> None:
    folder = begun(tmp_path / "run")
    path = folder / "checkpoint.safetensors"
    tensors, values = checkpoint.load(path)
    path.unlink()
    del values["inexact"]
    checkpoint.save(path, tensors, values | {"exact": False}, 1)
    run = clipper.train(resume=folder, total_steps=96)
    assert (run.exact, run.inexact) == (False, "")


def other_parts(kind: str) -> tuple[Any, Any, str]:
    """What a run was made of, and what is handed over when it goes on, with words of the error."""
    from clipper.environments.agents.tic_tac_toe import TicTacToe
    from clipper.learning.critic_targets import Polyak, TDLambda

    if kind == "pool":
        pool = clipper.Pool(PLAN["policy"], size=2, every=1)
        return (
            (clipper.Turns(TicTacToe, 2, pool), PPO, {"callback": [pool, stop_after(1)]}),
            (clipper.Turns(TicTacToe, 2), None),
            "environments.*opponent",
        )
    if kind == "no pool":
        pool = clipper.Pool(PLAN["policy"], size=2, every=1)
        return (
            (clipper.Turns(TicTacToe, 2), PPO, {"callback": stop_after(1)}),
            (clipper.Turns(TicTacToe, 2, pool), None),
            "environments.*opponent",
        )
    lagging = replace(PPO, critic_target=TDLambda(0.9, lag=Polyak(0.1)))
    return (
        ("CartPole-v1", lagging, {"callback": stop_after(1)}),
        (None, PPO),
        "algorithm .*critic-target .* instead of .*lagged",
    )


@pytest.mark.parametrize("kind", ["pool", "no pool", "lag"])
def test_a_whole_file_that_does_not_fit_what_was_handed_over_is_no_damaged_one(kind: str, tmp_path: Path) -> None:
    (env, algorithm, given), (again, other), words = other_parts(kind)
    begun(tmp_path, algorithm, env, **given)
    with pytest.raises(ConfigError, match=f"the checkpoint is whole, and does not fit what was handed over, {words}"):
        clipper.train(again, other, resume=tmp_path)
