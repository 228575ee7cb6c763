"""What programs hand to a policy, and policies of their own: what is none is refused by name, not taken for another."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Space, Tuple
from test_handed_over import QUICK, OneAction, Ten

import clipper
from clipper.data.steps import Value
from clipper.distributions.categorical import Categorical
from clipper.errors import ConfigError, NonFiniteError, SpaceMismatchError

THREE = Box(-9, 9, (3,), np.float32)
ACTIONS: dict[str, Any] = {
    "a choice": Discrete(3, start=2),
    "a box": Box(-1, 2, (2,), np.float32),
    "a number": Box(-1, 1, (), np.float32),
    "several": MultiDiscrete([2, 3], start=[5, -1]),
    "switches": MultiBinary([2, 2]),
    "integers": Box(-5, -2, (2,), np.int16),
    "a dict": Dict(a=Discrete(2), b=Box(-1, 1, (1,), np.float32)),
    "a tuple": Tuple([Discrete(2), Box(-1, 1, (1,), np.float32)]),
    "a choice with arguments": OneOf([Discrete(2), Box(-1, 1, (2,), np.float32)]),
}


class Broken:
    def __array__(self, *given: object, **more: object) -> np.ndarray:
        raise ZeroDivisionError

    def __repr__(self) -> str:
        raise ZeroDivisionError


NOTHING: list[Any] = [
    None, "a", b"a", {}, object(), Broken(), 1j, [[0], [0, 1]], [None], ["1", "2"], 10**30, np.zeros(3, "M8[s]"),
    np.zeros(3, [("a", "f4")]), np.ones(3, complex), {1, 2},
]  # fmt: skip


def policy_of(observation: Space = THREE, action: Space = ACTIONS["a choice"]) -> Any:
    return clipper.make_policy(observation, action, clipper.PolicyOptions(hidden=(4,)), torch.Generator())


@pytest.mark.parametrize("given", NOTHING, ids=range(len(NOTHING)))
def test_what_is_no_observation_is_refused_by_name(given: Any) -> None:
    policy = policy_of()
    for method in (policy.predict, policy.distribution, policy.value):
        with pytest.raises(SpaceMismatchError, match="observation"):
            method(given)


@pytest.mark.parametrize("given", [7, -1, 1.5, [1, 9]])
def test_a_choice_that_an_observation_has_not_is_refused(given: Any) -> None:
    with pytest.raises(SpaceMismatchError, match="whole numbers from 0 to 4"):
        policy_of(Discrete(5)).predict(given)


def test_a_tensor_with_a_gradient_is_an_observation() -> None:
    policy = policy_of()
    expected = policy.predict(np.ones(3))
    assert policy.predict(torch.ones(3, requires_grad=True)) == expected
    assert int(policy.distribution(torch.ones(3, requires_grad=True)).mode) + 2 == expected


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_of_a_space_has_a_way_back_and_nothing_else_has(name: str) -> None:
    space, policy, obs = ACTIONS[name], policy_of(action=ACTIONS[name]), np.ones((4, 3), np.float32)
    space.seed(0)
    for _ in range(10):
        policy.from_env(space.sample())
    drawn = policy.predict(obs, deterministic=False, generator=torch.Generator().manual_seed(0))
    assert policy.distribution(obs).log_prob(policy.from_env(drawn)).isfinite().all()
    for given in [*NOTHING, float("nan"), [float("nan")] * 2, np.full((4, 2), np.inf)]:
        with pytest.raises(SpaceMismatchError):
            policy.from_env(given)


@pytest.mark.parametrize("given", [-1, 5, 2.5, [2, 9]])
def test_a_choice_that_an_action_has_not_is_refused(given: Any) -> None:
    with pytest.raises(SpaceMismatchError, match="has not all"):
        policy_of().from_env(given)


@pytest.mark.parametrize(
    "mask", [[0, 0, 0], [1, 1], {}, "all", np.ones((4, 3)), [2, 0, 1], [np.nan, 1, 1]], ids=range(7)
)
def test_a_mask_that_cannot_be_one_is_named(mask: Any) -> None:
    with pytest.raises(ConfigError, match="action_mask"):
        policy_of().predict(np.ones(3), action_mask=mask)


class Own(torch.nn.Module):
    """A policy of somebody's own, which goes wrong in one place."""

    def __init__(self, wrong: str = "") -> None:
        super().__init__()
        self.actor, self.critic, self.wrong = torch.nn.Linear(1, 2), torch.nn.Linear(1, 1), wrong
        self.looked: list[bool] = []

    def act(self, obs: Any, memory: Any = (), action_mask: Any = ()) -> Any:
        self.looked.append(self.training)
        logits = self.actor(obs)
        answers: dict[str, Callable[[], Any]] = {
            "the distribution alone": lambda: Categorical(logits),
            "logits": lambda: (logits, memory),
            "torch's distribution": lambda: (torch.distributions.Categorical(logits=logits), memory),
            "one row": lambda: (Categorical(logits[:1]), memory),
            "other actions": lambda: (Categorical(torch.eye(9)[[8] * len(obs)] * 99.0), memory),
            "raises": lambda: logits @ logits @ logits,
        }  # fmt: skip
        return answers.get(self.wrong, lambda: (Categorical(logits), memory))()

    def value(self, obs: Any, memory: Any = ()) -> Any:
        v = self.critic(obs)
        return {"V bare": v, "V in a column": Value(v)}.get(self.wrong, Value(v[..., 0]))

    def forward(self, obs: Any, memory: Any = (), action_mask: Any = ()) -> Any:
        dist = self.act(obs, memory, action_mask)[0]
        if self.wrong == "detached":
            dist = Categorical(dist.logits.detach())
        return dist if self.wrong == "no V" else (dist, self.value(obs))

    def to_env(self, action: torch.Tensor, action_mask: Any = ()) -> np.ndarray:
        return action.numpy()[:1] if self.wrong == "one action" else action.numpy()

    def actor_parameters(self) -> Any:
        return self.actor.parameters()

    def critic_parameters(self) -> Any:
        return self.critic.parameters()

    def absorb(self, obs: Any, returns: Any) -> None: ...


WRONG = [
    "the distribution alone", "logits", "torch's distribution", "one row", "other actions", "raises", "V bare",
    "V in a column", "no V", "one action", "detached",
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_policy_of_ones_own_that_answers_otherwise_is_named_before_it_trains(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"Own|Categorical"):
        clipper.train(Ten, policy=Own(wrong), **QUICK)


def test_to_look_at_a_policy_of_ones_own_leaves_it_as_it_was() -> None:
    policy = Own()
    frozen = policy.critic.eval()
    run = clipper.train(Ten, policy=policy, **QUICK)
    assert run.steps >= QUICK["total_steps"]
    assert policy.training
    assert not frozen.training
    assert policy.looked[0] is False
    assert policy.looked[-1] is True


def test_a_policy_none_of_whose_weights_may_move_is_refused() -> None:
    policy = policy_of(Ten.observation_space, Ten.action_space).requires_grad_(False)
    with pytest.raises(ConfigError, match="takes a gradient"):
        clipper.train(Ten, policy=policy, **QUICK)


@pytest.mark.parametrize("wrong", [{"max_steps": 0}, {"max_steps": -1}, {"num_envs": 10**7}])
def test_an_evaluation_that_cannot_be_is_refused_at_once(wrong: dict[str, Any]) -> None:
    policy = policy_of(OneAction.observation_space, OneAction.action_space)
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        clipper.evaluate(policy, OneAction, **wrong)


class Says(Ten):
    said: Any = None

    def step(self, action):
        return *super().step(action)[:-1], {"is_success": self.said}


@pytest.mark.parametrize("said", [5, -1, "no", float("nan"), [1, 0], None])
def test_what_is_no_success_and_no_failure_counts_as_neither(said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Says, "said", said)
    assert clipper.evaluate(policy_of(Says.observation_space, Says.action_space), Says, episodes=2).success_rate is None


def test_nan_given_as_a_row_of_choices_is_no_number() -> None:
    with pytest.raises(NonFiniteError):
        policy_of(Discrete(5)).predict([1.0, np.nan])
