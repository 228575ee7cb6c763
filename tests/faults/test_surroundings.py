"""What the program around a run has set: torch's own switches, and errors and arrays of others that fail themselves."""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, OneOf
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from test_handed_over import QUICK, Ten

import clipper
from clipper.errors import ClipperError, ConfigError, UnsupportedSpaceError
from clipper.networks import initialisation


def weights(**given: Any) -> list[torch.Tensor]:
    return [x.detach().clone() for x in clipper.train(Ten, **QUICK, **given).policy.parameters()]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("engine", ["torch", "cpu"])
def test_a_run_learns_the_same_where_gradients_are_off(mode: Callable[[], AbstractContextManager], engine: str) -> None:
    expected = weights(engine=engine)
    with mode():
        found = weights(engine=engine)
        assert not torch.is_grad_enabled()
    assert all(map(torch.equal, found, expected))
    assert torch.is_grad_enabled()


class SwitchesOff(Ten):
    def step(self, action):
        torch.set_grad_enabled(False)
        return super().step(action)


def test_a_run_learns_the_same_where_an_environment_or_a_callback_switches_gradients_off() -> None:
    expected = weights()
    try:
        found = weights(callback=lambda run: torch.set_grad_enabled(False) and None)
        assert all(map(torch.equal, found, expected))
        own = [x.detach() for x in clipper.train(SwitchesOff, **QUICK).policy.parameters()]
        assert all(map(torch.equal, own, expected))
    finally:
        torch.set_grad_enabled(True)


def test_a_default_device_or_dtype_in_which_nothing_is_learned_is_named() -> None:
    try:
        torch.set_default_device("meta")
        with pytest.raises(ConfigError, match="set_default_device"):
            clipper.train(Ten, **QUICK)
    finally:
        torch.set_default_device(None)
    try:
        torch.set_default_dtype(torch.float16)
        with pytest.raises(ConfigError, match="set_default_dtype"):
            clipper.train(Ten, **QUICK)
    finally:
        torch.set_default_dtype(torch.float32)


class Speechless(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


class Unseen:
    def __repr__(self) -> str:
        raise ZeroDivisionError

    def __array__(self, *given: object, **more: object) -> np.ndarray:
        raise Speechless


class Gives(Ten):
    """Gives what it was told to."""

    reward: Any = 1.0
    flag: Any = False
    obs: Any = None
    raises: bool = False

    def step(self, action):
        if self.raises:
            raise Speechless
        obs, *_ = super().step(action)
        return obs if self.obs is None else self.obs, self.reward, self.flag, self.time >= 10, {}


@pytest.mark.parametrize(
    "given",
    [{"reward": 10**5000}, {"reward": Unseen()}, {"flag": Unseen()}, {"flag": 10**5000}, {"obs": Unseen()},
     {"obs": [[1.0], [1.0, 2.0]]}, {"raises": True}],
    ids=range(7),
)  # fmt: skip
def test_things_and_errors_that_cannot_be_shown_are_told_of_all_the_same(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setattr(Gives, name, value)
    with pytest.raises(ClipperError, match="environment 0 of Gives") as told:
        clipper.train(Gives, **QUICK)
    assert "ZeroDivisionError" not in str(told.value).splitlines()[0]


def test_a_logger_s_error_that_cannot_be_shown_costs_a_warning() -> None:
    def logger(row: Any) -> None:
        raise Speechless

    with pytest.warns(UserWarning, match="its text cannot be made"):
        clipper.train(Ten, loggers=logger, **QUICK)


@pytest.mark.parametrize(
    "answer", [[[1], [1, 2]], Unseen(), torch.zeros(1, requires_grad=True), object()], ids=range(4)
)
def test_a_callback_s_answer_that_is_no_truth_value_stops_nothing(answer: Any) -> None:
    assert clipper.train(Ten, callback=lambda run: answer, **QUICK).steps >= QUICK["total_steps"]


async def later(row: object) -> None: ...


@pytest.mark.parametrize("logger", [later, lambda: None, lambda a, b: None], ids=range(3))
def test_a_logger_that_would_never_be_heard_is_refused_at_the_start(logger: Any) -> None:
    with pytest.raises(ConfigError, match=r"is async|a logger is called with row"):
        clipper.train(Ten, loggers=logger, **QUICK)


class Ends(VectorEnv):
    """Two environments whose reward is NaN in the row between two episodes."""

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (Gymnasium's own)
    num_envs = 2
    single_observation_space: gymnasium.Space = Box(0, 1, (1,), np.float32)
    single_action_space: gymnasium.Space = Discrete(2)
    observation_space: gymnasium.Space = batch_space(single_observation_space, 2)
    action_space: gymnasium.Space = batch_space(single_action_space, 2)

    def reset(self, *, seed: Any = None, options: Any = None):
        self.time = 0
        return np.zeros((2, 1), np.float32), {}

    def step(self, actions):
        self.time = 0 if self.time == 3 else self.time + 1
        reward = np.full(2, 1.0 if self.time else np.nan)
        return np.zeros((2, 1), np.float32), reward, np.full(2, self.time == 3), np.zeros(2, bool), {}


@pytest.mark.parametrize("engine", ["torch", "cpu"])
def test_a_reward_between_two_episodes_counts_for_nothing_whatever_it_is(engine: Any) -> None:
    settings = QUICK | {"num_envs": 2, "engine": engine}
    settings.pop("num_envs")
    run = clipper.train(Ends(), **settings)
    assert run.steps >= QUICK["total_steps"]
    assert clipper.evaluate(run.policy, Ends(), episodes=4).returns.tolist() == [3.0] * 4


def test_more_environments_than_can_be_made_are_refused_before_minutes_are_spent() -> None:
    with pytest.raises(ConfigError, match="num_envs"):
        clipper.train(Ten, **QUICK | {"num_envs": 10**7})
    with pytest.raises(ConfigError, match="num_envs"):
        clipper.train(clipper.recipes.moving(), num_envs=10**9)


def test_an_id_that_is_none_is_refused_before_time_is_spent_on_it() -> None:
    with pytest.raises(ConfigError, match="letters"):
        clipper.make_env("a" * 10**7, 1)
    with pytest.raises(ClipperError, match="sutton"):
        clipper.make_env("CartPole-v1,sutton=" + "[" * 1500, 1)


def test_images_without_a_pixel_and_images_beyond_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def policy_of(shape: tuple[int, ...]) -> None:
        space = Box(0, 255, shape, np.uint8)
        clipper.make_policy(space, Discrete(2), clipper.PolicyOptions(), torch.Generator())

    with pytest.raises(UnsupportedSpaceError, match="no pixel"):
        policy_of((0, 84, 84))
    policy_of((3, 100, 100))
    monkeypatch.setattr(initialisation, "physical_memory", lambda: 1e7)
    with pytest.raises(ConfigError, match=r"memory.*image_size"):
        policy_of((3, 100, 100))


class SeesNothing(Ten):
    observation_space = Box(0, 1, (0,), np.float32)
    action_space = OneOf([Box(-1, 1, (1,), np.float32), Discrete(1)])

    def look(self) -> Any:
        return np.zeros(0, np.float32)


@pytest.mark.parametrize("algorithm", [clipper.PPO(horizon=8), clipper.HyAR(learning_starts=8), clipper.PDQN()])
def test_where_there_is_nothing_to_see_one_learns_all_the_same(algorithm: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = clipper.train(SeesNothing, algorithm, total_steps=24, num_envs=2)
    assert all(x.isfinite().all() for x in run.policy.parameters())


def begin(state: Any, generator: Any) -> None:
    state[0] = 0


def step(state: Any, action: Any, generator: Any) -> Any:
    state[0] += 1
    return 1.0, state[0] > 3, False


def observe(state: Any, obs: Any) -> None:
    obs[0] = state[0]


def beyond(state: Any, *rest: Any) -> Any:
    state[1_000_000] = 1.0
    return 1.0, False, False


def beyond_what_is_seen(state: Any, out: Any) -> None:
    out[7] = True


@pytest.mark.parametrize(
    "given",
    [
        {"begin": beyond}, {"step": beyond}, {"observe": beyond_what_is_seen}, {"legal": beyond_what_is_seen},
        {"step": lambda state, action, generator: None}, {"step": lambda state, action, generator: (1.0, False)},
        {"step": lambda state, action, generator: (1.0, "x", False)}, {"step": lambda state: (1.0, False, False)},
        {"step": lambda state, action, generator: 1 / 0}, {"size": True}, {"size": 10**9},
    ],
    ids=range(11),
)  # fmt: skip
def test_a_compiled_task_that_reaches_beyond_its_arrays_is_refused_before_it_is_compiled(given: dict[str, Any]) -> None:
    task = {"size": 2, "begin": begin, "step": step, "observe": observe} | given
    with pytest.raises(ConfigError, match=next(iter(given))):
        clipper.NumbaTask(Box(0, 9, (1,), np.float32), Discrete(2), **task)


def test_agents_of_one_name_and_what_is_no_game_are_refused() -> None:
    class Two:
        metadata: dict[str, Any] = {}  # noqa: RUF012 (PettingZoo's own)
        possible_agents = agents = ("a", "a")

        def observation_space(self, agent: str) -> Any:
            return Ten.observation_space

        def action_space(self, agent: str) -> Any:
            return Ten.action_space

        def reset(self, seed: Any = None, options: Any = None) -> Any:
            return {}, {}

        def step(self, actions: Any) -> Any:
            return {}, {}, {}, {}, {}

        def close(self) -> None: ...

    with pytest.raises(ConfigError, match="two agents of one name"):
        clipper.Agents(Two, 2)
    other: Any = Ten
    with pytest.raises(ConfigError, match="no game"):
        clipper.Turns(other, 2)
