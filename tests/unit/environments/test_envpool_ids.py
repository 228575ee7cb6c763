"""EnvPool's own environments, by ids that Gymnasium lacks."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import clipper
from clipper.environments.from_file import why_asked
from clipper.environments.make import make_single
from clipper.environments.vector.stepping import vectorise
from clipper.errors import ClipperError, ConfigError, EnvWorkerError, UnknownEnvironmentError, UnknownFieldError
from clipper.networks.policy_options import EncoderOptions
from clipper.pictures.play import play
from clipper.unroll import UnrollError, unroll

try:
    import envpool  # noqa: F401
except (ImportError, OSError) as problem:
    pytest.skip(f"EnvPool cannot be imported: {problem}", allow_module_level=True)

CATCH = "envpool:Catch-v0"  # of bsuite: a ball falls from the first row to the last, where a paddle catches it


def towards(board: np.ndarray) -> np.ndarray:
    """Where the paddle has to go to be under the ball: 0 left, 1 stay, 2 right; boards ``[N, 10, 5]``."""
    ball, paddle = board[:, :-1].max(1).argmax(-1), board[:, -1].argmax(-1)
    return 1 + np.sign(ball - paddle)


def test_catch_is_bsuite_s_and_is_won_by_who_follows_the_ball() -> None:
    env = vectorise(CATCH, 6).env
    obs, _ = env.reset(seed=3)
    total, ended = np.zeros(6), np.zeros(6, dtype=int)
    for _ in range(30):
        obs, reward, terminated, truncated, _ = env.step(towards(obs))
        total, ended = total + reward, ended + terminated
        assert not truncated.any()
    env.close()
    # Nine steps an episode, and a row between two: what ended is won, each with 1.
    assert (ended == 3).all()
    assert (total == ended).all()


def test_one_by_itself_is_the_one_in_a_pool() -> None:
    env, lone = vectorise(CATCH, 3).env, [make_single(CATCH) for _ in range(3)]
    obs, _ = env.reset(seed=11)
    alone = [single.reset(seed=11 + i)[0] for i, single in enumerate(lone)]
    for _ in range(8):
        np.testing.assert_array_equal(obs, alone)
        actions = np.array([0, 1, 2])
        obs, reward, *_ = env.step(actions)
        steps = [single.step(action) for single, action in zip(lone, actions, strict=True)]
        alone = [step[0] for step in steps]
        assert [step[1] for step in steps] == reward.tolist()
    for one in (env, *lone):
        one.close()


def test_spaces_and_time_limits_are_true() -> None:
    made: list[Any] = [make_single(f"envpool:{name}") for name in ("CheetahRun-v1", "Catch-v0", "CartPole-v1")]
    cheetah, catch, cartpole = made
    assert cheetah.observation_space["position"] == gymnasium.spaces.Box(-np.inf, np.inf, (8,), np.float64)
    assert cheetah.action_space == gymnasium.spaces.Box(-1, 1, (6,), np.float64)
    assert [one.spec.max_episode_steps for one in (cheetah, catch, cartpole)] == [1000, None, 500]
    theirs = gymnasium.make("CartPole-v1")
    assert cartpole.observation_space == theirs.observation_space
    for one in (cheetah, catch, cartpole, theirs):
        one.close()


def test_a_run_learns_is_loaded_and_goes_on(tmp_path: Path) -> None:
    run = clipper.train(CATCH, clipper.PPO(horizon=64), total_steps=12_000, num_envs=8, seed=1, run_dir=tmp_path)
    assert run.evaluate(20).mean > 0.5, "who moves at random gets −0.6"
    assert clipper.evaluate(tmp_path, episodes=20).mean > 0.5, "an installed id, by itself, runs no code of a file's"
    assert clipper.train(resume=tmp_path, total_steps=12_500).exact is False
    with pytest.raises(ConfigError, match="render_modes"):
        play(clipper.load(tmp_path), CATCH)
    with pytest.raises(UnrollError, match="EnvPool's threads"):
        unroll(run.config)


def test_success_and_keys_that_are_left_out_are_as_elsewhere() -> None:
    reach = clipper.train("envpool:FetchReach-v4", clipper.PPO(horizon=32), total_steps=64, num_envs=2)
    assert reach.evaluate(2).success_rate is not None
    without = clipper.PolicyOptions(hidden=(8,), encoder=EncoderOptions(ignore=("mission", "image")))
    grid = clipper.train(
        "envpool:MiniGrid-Empty-5x5-v0", clipper.PPO(horizon=32), policy=without, total_steps=64, num_envs=2
    )
    assert list(grid.policy.encoder.space) == ["direction"]
    grid.evaluate(2)


@pytest.mark.parametrize(
    ("source", "vector", "error", "why"),
    [
        ("envpool:Catc-v0", "auto", UnknownEnvironmentError, "did you mean envpool:Catch-v0"),
        ("envpool:", "auto", UnknownEnvironmentError, "no environment ''"),
        ("Catch-v0", "envpool", UnknownEnvironmentError, "write envpool:Catch-v0"),
        (f"{CATCH},colour=1", "auto", UnknownFieldError, "not made with colour"),
        (f"{CATCH},num_threads=900", "serial", ConfigError, "not given num_threads"),
        (CATCH, "native", ConfigError, "--vector envpool"),
        ("envpool:BigfishEasy-v0,num_levels=x", "auto", (UnknownFieldError, EnvWorkerError), "BigfishEasy"),
    ],
)
def test_mistakes_are_named_in_a_line(source: str, vector: Any, error: type[ClipperError], why: str) -> None:
    with pytest.raises(error, match=why) as caught:
        vectorise(source, 2, vector)
    assert "\n" not in str(caught.value)


def test_a_file_may_name_an_id_and_numbers_but_no_text() -> None:
    assert not why_asked(f"{CATCH},height=12")
    assert "is a text" in why_asked("envpool:VizdoomCustom-v1,cfg_path=/etc/passwd")
    assert why_asked("elsewhere:Catch-v0")
