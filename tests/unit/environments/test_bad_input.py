"""An environment that breaks its promises, or does not exist: the error names the culprit and says what to do."""

import sys
import traceback
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from torch import Generator

from clipper.environments import make, make_single
from clipper.environments.vector.serial import Serial
from clipper.errors import (
    ConfigError,
    EnvironmentContractError,
    EnvWorkerError,
    MissingPackageError,
    NonFiniteError,
    UnknownEnvironmentError,
    UnsupportedSpaceError,
)
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.vector_rollouts import VectorRollouts

torch.set_num_threads(1)


class Faulty(gymnasium.Env):
    """Does what it should, but for what a test gives it: values to return at the ``at``-th call (reset is call 0)."""

    def __init__(self, at: int = 10**9, obs: Any = None, reward: Any = None, error: Exception | None = None) -> None:
        self.observation_space: Any = spaces.Box(-10, 10, (2,), np.float32)
        self.action_space: Any = spaces.Discrete(2)
        self.at, self.wrong_obs, self.wrong_reward, self.error = at, obs, reward, error
        self.calls = -1

    def observe(self) -> Any:
        self.calls += 1
        if self.calls == self.at and self.error is not None:
            raise self.error
        wrong = self.calls == self.at and self.wrong_obs is not None
        return self.wrong_obs if wrong else np.zeros(2, np.float32)

    def reset(self, *, seed=None, options=None):
        return self.observe(), {}

    def step(self, action):
        obs = self.observe()
        reward = self.wrong_reward if self.calls == self.at and self.wrong_reward is not None else 1.0
        return obs, reward, False, self.calls % 5 == 0, {}


def serial(env: gymnasium.Env, index: int = 3, of: int = 4) -> Serial:
    """``env`` among well-behaved ones; the id is theirs in common."""
    made = Serial([(lambda i=i: env if i == index else Faulty()) for i in range(of)])
    made.spec = EnvSpec("MyEnv-v0")
    return made


def run(env: Any, horizon: int = 12) -> VectorRollouts:
    policy = make_policy(env.single_observation_space, env.single_action_space, PolicyOptions(), Generator())
    state = VectorRollouts(env, 0)
    state.collect(policy, horizon=horizon)
    return state


@pytest.mark.parametrize(("name", "near"), [("CartPol-v1", "CartPole-v1"), ("CartPole-v9", "CartPole-v1")])
def test_an_unknown_id_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownEnvironmentError, match=near) as error:
        make(name, 2)
    assert name in str(error.value)


@pytest.mark.parametrize("name", ["", "no such thing", "Qwertyuiop-v0", "a:b:c", "CartPole-v1-v2", "/CartPole-v1"])
def test_any_other_text_is_no_environment(name: str) -> None:
    with pytest.raises(UnknownEnvironmentError):
        make(name, 1)


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(UnknownEnvironmentError, match="no module 'surely_missing_module'"):
        make("surely_missing_module:MyEnv-v0", 1)


def test_a_module_that_imports_a_missing_one_names_that(tmp_path, monkeypatch) -> None:
    (tmp_path / "half_a_module.py").write_text("import surely_missing_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingPackageError, match="needs the module 'surely_missing_dependency'"):
        make("half_a_module:MyEnv-v0", 1)
    assert "half_a_module" not in sys.modules


@pytest.mark.parametrize(
    ("said", "command"),
    [
        ('Box2D is not installed, run `pip install "gymnasium[box2d]"`', ': pip install "gymnasium[box2d]"'),
        (
            'MuJoCo is not installed, run `pip install "gymnasium[mujoco]"`',
            ': pip install "gymnasium[mujoco]" "mujoco',
        ),
        ("fancy_physics is not installed, run `pip install fancy`", "pip install fancy"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, said: str, command: str) -> None:
    def refuse(*args, **kwargs):
        raise gymnasium.error.DependencyNotInstalled(said)

    monkeypatch.setattr(gymnasium, "make", refuse)
    with pytest.raises(MissingPackageError) as error:
        make_single("Something-v0")
    assert "Something-v0" in str(error.value)
    assert command in str(error.value)


def test_options_that_the_environment_does_not_take() -> None:
    with pytest.raises(TypeError, match="gravitation"):
        make("CartPole-v1", 1, gravitation=9.81)


def test_at_least_one_environment() -> None:
    with pytest.raises(ConfigError, match="num_envs"):
        make("CartPole-v1", 0)


@pytest.mark.parametrize("at", [0, 3, 6])
@pytest.mark.parametrize("obs", [np.zeros(3, np.float32), np.float32(0), [[0, 0]], {"x": 1}, "ab"])
def test_an_observation_of_another_shape(at: int, obs: Any) -> None:
    with pytest.raises(EnvironmentContractError, match=r"environment 3 of MyEnv-v0 .*shape \(.*\(2,\)"):
        run(serial(Faulty(at, obs)))


@pytest.mark.parametrize("obs", [np.array(["a", "b"]), np.array([1j, 1]), np.array([None, 1.0])])
def test_an_observation_that_is_no_numbers(obs: Any) -> None:
    with pytest.raises(EnvironmentContractError, match=r"environment 3 of MyEnv-v0 .*float32"):
        run(serial(Faulty(2, obs)))


def test_fractions_are_not_cut_to_integers_in_silence() -> None:
    env = Faulty(2, np.array([0.5, 0.5]))
    env.observation_space = spaces.Box(0, 255, (2,), np.uint8)
    with pytest.raises(EnvironmentContractError, match=r"environment 0.*float32.*uint8"):
        run(Serial([lambda: env]))


def test_a_list_or_a_wider_dtype_is_as_good_as_an_array() -> None:
    for obs in ([1, 2], (0.5, 0.25), np.ones(2), np.ones(2, np.int64), np.ones(2, bool)):
        assert run(serial(Faulty(2, obs))).steps == 4 * 10  # 12 rows, of which 2 stand between episodes


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_observation_that_is_not_finite_is_placed(value: float) -> None:
    # Each row but those after an episode's end holds 4 decisions; calls are counted from the reset.
    for at, decisions in ((0, 0), (1, 0), (4, 12), (5, 16), (6, 20), (7, 20)):
        with pytest.raises(NonFiniteError) as error:
            run(serial(Faulty(at, np.array([0, value]))))
        message = f"observation {value} from environment 3 of MyEnv-v0 at index [1], after {decisions} decisions in all"
        assert str(error.value).startswith(message)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_a_reward_that_is_not_finite_is_placed(value: float) -> None:
    with pytest.raises(NonFiniteError) as error:
        run(serial(Faulty(4, reward=value)))
    assert str(error.value).startswith(f"reward {value} from environment 3 of MyEnv-v0, after 12 decisions in all")


def test_a_number_too_large_for_float32_is_placed() -> None:
    env = Faulty(2, np.array([0, 1e300]))
    env.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    with pytest.raises(NonFiniteError, match=r"observation 1e\+300 from environment 0 of Faulty at index \[1\]"):
        run(Serial([lambda: env]))


def test_large_finite_numbers_pass() -> None:
    for value in (3e38, -3e38, 1e20):
        run(serial(Faulty(4, np.full(2, value, np.float32), float(np.clip(value, -1e30, 1e30)))))


def test_the_first_of_several_is_named() -> None:
    env = Serial([lambda: Faulty(2, np.array([np.inf, -np.inf])), lambda: Faulty(2, np.array([np.nan, 0]))])
    with pytest.raises(NonFiniteError, match=r"inf from environment 0 of Faulty at index \[0\]"):
        run(env)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
@pytest.mark.parametrize("at", [5, 6])
def test_last_and_first_observations_are_looked_at_in_every_mode(mode: AutoresetMode, at: int) -> None:
    factories: Any = [Faulty, lambda: Faulty(at, np.array([np.nan, 0]))]
    env = SyncVectorEnv(factories, autoreset_mode=mode)
    with pytest.raises(NonFiniteError, match=r"environment 1.*index \[0\], after 8 decisions"):
        run(env)


def test_whole_episodes_begin_with_a_reset_that_is_looked_at() -> None:
    env = serial(Faulty(6, np.array([np.nan, 0])))  # its second reset
    policy = make_policy(env.single_observation_space, env.single_action_space, PolicyOptions(), Generator())
    state = VectorRollouts(env, 0)
    state.collect(policy, episodes=4)
    with pytest.raises(NonFiniteError, match=r"environment 3 .*after 20 decisions"):
        state.collect(policy, episodes=4)


@pytest.mark.parametrize("reward", [[1.0, 2.0], np.ones(1), np.ones((1, 1)), "much", {}, 1j])
def test_a_reward_that_is_not_one_number(reward: Any) -> None:
    with pytest.raises(EnvironmentContractError, match=r"environment 3 of MyEnv-v0 gave the reward .*one number"):
        run(serial(Faulty(2, reward=reward)))


@pytest.mark.parametrize("reward", [1, np.float32(1), np.array(1.0), True, np.int8(1)])
def test_every_kind_of_one_number_is_a_reward(reward: Any) -> None:
    run(serial(Faulty(2, reward=reward)))


def test_a_vector_environment_with_rewards_of_another_shape() -> None:
    class Column(gymnasium.vector.VectorWrapper):
        def step(self, actions):
            obs, reward, terminated, truncated, info = super().step(actions)
            return obs, reward[:, None], terminated, truncated, info

    with pytest.raises(EnvironmentContractError, match=r"\(2, 1\)"):
        run(Column(SyncVectorEnv([Faulty, Faulty])))


OTHER_SPACES = [spaces.Text(5), spaces.Sequence(spaces.Discrete(2)), spaces.Graph(spaces.Box(0, 1, (1,)), None)]


@pytest.mark.parametrize("space", OTHER_SPACES, ids=lambda space: type(space).__name__)
def test_other_action_spaces_are_refused_by_name(space: Any) -> None:
    env = Faulty()
    env.action_space = space
    made = Serial([lambda: env])
    with pytest.raises(UnsupportedSpaceError, match=type(space).__name__):
        run(made)
    assert env.calls == -1  # before anything was run


@pytest.mark.parametrize(
    "space", [*OTHER_SPACES, spaces.OneOf([spaces.Discrete(2)])], ids=lambda space: type(space).__name__
)
def test_other_observation_spaces_are_refused_by_name(space: Any) -> None:
    env = Faulty()
    env.observation_space = space
    with pytest.raises(UnsupportedSpaceError, match=type(space).__name__):
        run(Serial([lambda: env]))
    assert env.calls == -1


def test_a_box_of_no_number_is_no_action() -> None:
    env = Faulty()
    env.action_space = spaces.Box(-1, 1, (0,))
    with pytest.raises(UnsupportedSpaceError, match="no number"):
        run(Serial([lambda: env]))


@pytest.mark.parametrize("what", ["observation_space", "action_space"])
def test_environments_must_have_the_same_spaces(what: str) -> None:
    other = Faulty()
    setattr(other, what, spaces.Box(-1, 1, (7,), np.float32))
    with pytest.raises(EnvironmentContractError, match=r"environment 2 .*environment 0.*\(7,\)"):
        serial(other, index=2)


@pytest.mark.parametrize(("at", "during"), [(0, "reset"), (3, "step"), (6, "reset")])
def test_an_environment_s_own_error_keeps_its_traceback_and_names_the_environment(at: int, during: str) -> None:
    with pytest.raises(EnvWorkerError) as error:
        run(serial(Faulty(at, error=ZeroDivisionError("by my own fault"))))
    where = "its reset" if during == "reset" else "step 3"
    assert str(error.value).startswith(f"environment 3 of MyEnv-v0 failed in {where}: ZeroDivisionError(")
    assert "in observe" in str(error.value)  # the traceback, for those who see the message only
    cause = error.value.__cause__
    assert "observe" in [frame.name for frame in traceback.extract_tb(cause.__traceback__ if cause else None)]


def test_a_ready_vector_environment_is_taken_as_it_is() -> None:
    env = AsyncVectorEnv([Faulty, Faulty])
    try:
        assert make(env, 7) is env
        assert run(env).steps == 2 * 10  # 12 rows, of which 2 stand between episodes
    finally:
        env.close()
