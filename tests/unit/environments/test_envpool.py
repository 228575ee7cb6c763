"""EnvPool's environments beside Gymnasium's and ale-py's under the same ids."""

import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import clipper
from clipper.environments.make import make_single
from clipper.environments.vector.stepping import vectorise
from clipper.errors import ConfigError, MissingPackageError, UnknownEnvironmentError
from clipper.networks.policy_options import EncoderOptions, PolicyOptions

try:
    import envpool  # noqa: F401
except (ImportError, OSError) as problem:
    pytest.skip(f"EnvPool cannot be imported: {problem}", allow_module_level=True)

BREAKOUT = "ALE/Breakout-v5"


@pytest.fixture
def pool():
    made: list[Any] = []

    def make(source: Any, num_envs: int = 3) -> Any:
        made.append(vectorise(source, num_envs, "envpool").env)
        return made[-1]

    yield make
    for env in made:
        env.close()


def begin_at(name: str, env: Any, obs: np.ndarray) -> None:
    """Bring Gymnasium's environment into the state that EnvPool shows."""
    inner = env.unwrapped
    if name == "CartPole-v1":
        inner.state = obs.astype(np.float64)
    elif name == "Pendulum-v1":
        inner.state = np.array([np.arctan2(obs[1], obs[0]), obs[2]], dtype=np.float64)
    else:  # HalfCheetah shows all but where it is
        inner.set_state(np.array([0.0, *obs[:8]]), obs[8:])


@pytest.mark.parametrize(
    ("name", "exactness"), [("CartPole-v1", 1e-6), ("Pendulum-v1", 1e-4), ("HalfCheetah-v5", 1e-6)]
)
def test_a_step_is_gymnasiums(pool: Any, name: str, exactness: float) -> None:
    env, single = pool(name), gymnasium.make(name)
    single.reset(seed=0)
    obs, _ = env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(8):
        actions = env.action_space.sample()
        after, reward, terminated, truncated, _ = env.step(actions)
        for i in range(3):
            begin_at(name, single, obs[i])
            expected, expected_reward, *_ = single.unwrapped.step(actions[i])
            np.testing.assert_allclose(after[i], expected, atol=exactness, rtol=1e-4)
            np.testing.assert_allclose(reward[i], float(expected_reward), atol=max(exactness, 1e-5), rtol=1e-4)
        assert not (terminated | truncated).any()
        obs = after
    single.close()


def test_a_seed_gives_each_environment_its_own_and_the_same_again(pool: Any) -> None:
    env = pool("CartPole-v1")
    first, again, next_one = (env.reset(seed=seed)[0].copy() for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert np.array_equal(first[1:], next_one[:-1])
    assert not np.array_equal(first[0], first[1])


def test_the_row_after_an_end_is_no_decision(pool: Any) -> None:
    env = pool("CartPole-v1")
    policy = clipper.make_policy(
        env.single_observation_space, env.single_action_space, PolicyOptions(hidden=(8,)), torch.Generator()
    )
    state = clipper.VectorRollouts(env, 0)
    steps, _ = state.collect(policy, horizon=120)
    assert steps.done[:-1].sum() > 5
    assert torch.equal(~steps.mask[1:], steps.done[:-1])
    after = steps.obs[1:][~steps.mask[1:]]
    assert (after.abs().amax(-1) > 0.05).all(), "it shows how the last episode ended"
    assert (steps.reward[steps.mask] == 1).all()
    assert [e.total for e in state.episodes] == [e.length for e in state.episodes]


def test_games_show_lives_and_tell_scores(pool: Any) -> None:
    env = pool(f"{BREAKOUT},noop_max=1")
    encoder = EncoderOptions(cnn_features=8)
    policy = clipper.make_policy(
        env.single_observation_space,
        env.single_action_space,
        PolicyOptions(hidden=(), shared=True, encoder=encoder),
        torch.Generator().manual_seed(0),
    )
    state = clipper.VectorRollouts(env, 0)
    steps, _ = state.collect(policy, horizon=300)
    assert set(steps.reward.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(~steps.mask[1:], steps.done[:-1])
    assert steps.done.sum() > 2 * len(state.episodes) > 0, "lives, not games"
    for one in {e.env: e for e in reversed(state.episodes)}.values():  # the first of its environment
        last = steps.done[:, one.env].nonzero().flatten()[4]
        assert one.length == int(steps.mask[: last + 1, one.env].sum())
        assert one.total == float(steps.reward[: last + 1, one.env].sum()), "these bricks count 1"


def test_a_game_looks_as_ale_py_shows_it(pool: Any) -> None:
    source = "ALE/Pong-v5,noop_max=1,use_fire_reset=false"
    env, single = pool(source, 1), make_single(source)
    theirs, ours = env.reset(seed=0)[0], single.reset(seed=0)[0]
    for _ in range(40):
        theirs, ours = env.step(np.zeros(1, np.int64))[0], single.step(0)[0]
    apart = np.abs(theirs[0, -1].astype(float) - ours[-1])
    assert theirs.shape == (1, *ours.shape)
    assert (apart > 2).mean() < 0.02, "some pixels, where a ball is, if they are some frames apart"
    assert ours[-1].std() > 10


def test_a_run_learns_is_evaluated_by_gymnasium_and_says_what_it_cannot(tmp_path: Path) -> None:
    plan: Any = {"vector": "envpool", "num_envs": 8, "seed": 1, "run_dir": tmp_path}
    run = clipper.train("CartPole-v1", total_steps=15_000, **plan)
    assert run.evaluate(10).mean > 150
    resumed = clipper.train(resume=tmp_path, total_steps=16_000)
    assert (resumed.exact, resumed.config.vector) == (False, "envpool")


@pytest.mark.parametrize(
    ("source", "error", "why"),
    [
        ("Blackjack-v1", ConfigError, "other spaces than Gymnasium's"),
        ("clipper/Platform-v0", ConfigError, "EnvPool has no clipper/Platform-v0"),
        ("Cartpole-v1", UnknownEnvironmentError, "Did you mean CartPole-v1"),
        ("LunarLander-v3,continuous=true", ConfigError, "taken as it is, without continuous"),
        ("ALE/Pong-v5,mode=1", ConfigError, "know no mode"),
        ("ALE/Pong-v5,maxpool=false", ConfigError, "know no maxpool=false"),
        (lambda: gymnasium.make("CartPole-v1"), ConfigError, "needs an environment's id"),
    ],
)
def test_what_it_lacks_is_named(source: Any, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        vectorise(source, 2, "envpool")


def test_without_the_package_one_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(MissingPackageError, match="pip install"):
        vectorise("CartPole-v1", 2, "envpool")
