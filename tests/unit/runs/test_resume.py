"""A run that was interrupted and resumed equals the one that was not, bit for bit."""

import json
from pathlib import Path

import pytest
import torch
from batches import stepped

import clipper
from clipper.algorithms import quota_of
from clipper.errors import ConfigError, CorruptCheckpointError, SpaceMismatchError
from clipper.learning.critic_targets import TDLambda
from clipper.learning.rewards import Scaled
from clipper.learning.schedules import Linear
from clipper.runs.make_run import Settings
from clipper.runs.restore import restore
from clipper.runs.run import Run
from clipper.storage import checkpoint

SMALL = clipper.PolicyOptions(hidden=(16, 16), normalise_obs=True, normalise_returns=True)


def stop_after(iteration: int):
    return lambda run: run.iteration < iteration


def lines_without_time(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]


def assert_equal_runs(a: Run, b: Run) -> None:
    assert a.iteration == b.iteration
    ours, theirs = a.state_dict(), b.state_dict()
    assert ours[0].keys() == theirs[0].keys()
    for name, x in ours[0].items():
        assert torch.equal(x, theirs[0][name]), name
    assert ours[1] | {"seconds": 0} == theirs[1] | {"seconds": 0}
    assert a.path is not None
    assert b.path is not None
    assert lines_without_time(a.path) == lines_without_time(b.path)


@pytest.mark.parametrize(
    ("env", "algorithm"),
    [
        (
            "CartPole-v1",
            clipper.PPO(
                horizon=8, epochs=2, learning_rate=clipper.schedules.Linear(1e-2), clip=clipper.schedules.Linear(0.3)
            ),
        ),
        ("Pendulum-v1", clipper.PPO(horizon=8, epochs=2, rewards=Scaled())),
        ("Hopper-v5", clipper.PPO(horizon=8, epochs=2, rewards=Scaled())),
        ("CartPole-v1", clipper.Reinforce(episodes=4)),
        ("Pendulum-v1", clipper.TRPO(horizon=8, rewards=Scaled())),
        ("CartPole-v1", clipper.A2C()),
        ("Pendulum-v1", clipper.PPOPenalty(horizon=8, epochs=2)),
        (
            "CartPole-v1",
            clipper.PPOSeparate(
                horizon=8,
                epochs=2,
                value_epochs=2,
                critic_target=TDLambda(0.97, lag=clipper.critic_targets.Polyak(0.2)),
            ),
        ),
    ],
    ids=["cartpole", "pendulum", "hopper", "reinforce", "trpo", "a2c", "penalty", "apart"],
)
def test_interrupted_equals_uninterrupted(env: str, algorithm, tmp_path: Path) -> None:
    check_exact(env, algorithm, tmp_path, iterations=24)


@pytest.mark.long
@pytest.mark.parametrize(
    "env",
    ["CartPole-v1", "Acrobot-v1", "Pendulum-v1", "MountainCarContinuous-v0", "Hopper-v5", "HalfCheetah-v5"],
)
def test_512_equals_256_and_256(env: str, tmp_path: Path) -> None:
    check_exact(env, clipper.PPO(horizon=32, epochs=2, rewards=Scaled()), tmp_path, iterations=512)


def check_exact(env: str, algorithm, tmp_path: Path, iterations: int) -> None:
    rows = quota_of(algorithm).get("horizon", 40) * 2
    plan: Settings = {
        "total_steps": iterations * rows,
        "num_envs": 2,
        "seed": 3,
        "eval_every": 7 * rows,
        "eval_episodes": 2,
    }
    last = stop_after(iterations)
    whole = clipper.train(env, algorithm, policy=SMALL, run_dir=tmp_path / "whole", callback=last, **plan)
    halfway = stop_after(whole.iteration // 2)
    clipper.train(env, algorithm, policy=SMALL, run_dir=tmp_path / "halved", callback=halfway, **plan)
    resumed = clipper.train(resume=tmp_path / "halved", callback=last)
    assert resumed.exact
    assert_equal_runs(whole, resumed)


def test_a_crash_loses_only_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    plan: Settings = {"total_steps": 640, "num_envs": 2, "checkpoint_every": 160}
    algorithm = clipper.PPO(horizon=16, epochs=1)
    whole = clipper.train("CartPole-v1", algorithm, policy=SMALL, run_dir=tmp_path / "whole", **plan)

    def crash(run: Run) -> None:
        if run.iteration == 13:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        clipper.train("CartPole-v1", algorithm, policy=SMALL, run_dir=tmp_path / "cut", callback=crash, **plan)
    resumed = clipper.train(resume=tmp_path / "cut")
    assert_equal_runs(whole, resumed)


def test_opaque_environments_resume_inexactly_and_say_so(tmp_path: Path) -> None:
    plan: Settings = {"total_steps": 512, "num_envs": 2}
    algorithm = clipper.PPO(horizon=32, epochs=1)
    clipper.train("LunarLander-v3", algorithm, run_dir=tmp_path / "run", callback=stop_after(4), **plan)
    first, again = (stepped(restore(tmp_path / "run", None, None, None, {})) for _ in range(2))
    beginning = clipper.VectorRollouts(clipper.make_env("LunarLander-v3", 2), seed=1)
    assert torch.equal(first.obs, again.obs)
    assert not torch.equal(first.obs, beginning.obs), "episodes that were played already"
    assert first.steps > 0
    resumed = clipper.train(resume=tmp_path / "run")
    assert not resumed.exact
    assert resumed.steps >= 512


def test_longer_training_is_not_exact_where_a_schedule_follows_it(tmp_path: Path) -> None:
    algorithm = clipper.PPO(horizon=32, epochs=1, learning_rate=Linear(1e-3))
    clipper.train("CartPole-v1", algorithm, run_dir=tmp_path / "run", total_steps=128, num_envs=2)
    longer = clipper.train(resume=tmp_path / "run", total_steps=256)
    assert not longer.exact
    assert longer.steps >= 256
    assert json.loads((tmp_path / "run" / "config.json").read_text())["total_steps"] == 256


def test_code_of_ones_own_is_named_again(tmp_path: Path) -> None:
    import gymnasium

    algorithm = clipper.PPO(horizon=32, epochs=1)

    def factory() -> gymnasium.Env:
        return gymnasium.make("CartPole-v1")

    clipper.train(factory, algorithm, run_dir=tmp_path / "run", total_steps=256, num_envs=2, callback=stop_after(2))
    with pytest.raises(ConfigError, match="name it again"):
        clipper.train(resume=tmp_path / "run")
    assert clipper.train(factory, resume=tmp_path / "run").exact


def test_other_spaces_are_refused_with_the_difference(tmp_path: Path) -> None:
    clipper.train("CartPole-v1", clipper.PPO(horizon=32), run_dir=tmp_path / "run", total_steps=128, num_envs=2)
    with pytest.raises(SpaceMismatchError, match=r"action: saved Discrete\(2\), here Discrete\(3\)"):
        clipper.train("Acrobot-v1", resume=tmp_path / "run", total_steps=256)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    plan: Settings = {"total_steps": 256, "num_envs": 2, "checkpoint_every": 64}
    clipper.train("CartPole-v1", clipper.PPO(horizon=32), run_dir=tmp_path / "run", **plan)
    newest = tmp_path / "run" / "checkpoint.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="going back to checkpoint.previous"):
        resumed = clipper.train(resume=tmp_path / "run")
    assert resumed.steps >= 256
    for name in ("checkpoint.safetensors", "checkpoint.previous.safetensors"):
        (tmp_path / "run" / name).write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="going back"),
        pytest.raises(CorruptCheckpointError, match="no whole checkpoint"),
    ):
        clipper.train(resume=tmp_path / "run")


def test_a_full_disk_in_mid_run_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan: Settings = {"total_steps": 256, "num_envs": 2, "checkpoint_every": 64}
    save, failures = checkpoint.save, iter([False, True, False, False, False, False])

    def sometimes_full(*arguments) -> None:
        if next(failures):
            raise OSError(28, "No space left on device")
        save(*arguments)

    monkeypatch.setattr(checkpoint, "save", sometimes_full)
    with pytest.warns(UserWarning, match="the one before stays: .*No space left"):
        run = clipper.train("CartPole-v1", clipper.PPO(horizon=32), run_dir=tmp_path / "run", **plan)
    assert run.steps >= 256
    assert checkpoint.load_latest(tmp_path / "run")[1]["iteration"] == run.iteration
