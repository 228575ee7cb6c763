"""What rollouts of a user's own gave is held to what a learner reads: every mistake is told by class and field."""

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from torch import Tensor

import clipper
from clipper.data.steps import Steps
from clipper.data.trees import each, leaves
from clipper.errors import ConfigError, NonFiniteError
from clipper.rollout.collected import check_collected
from clipper.rollout.protocol import Episode, abilities, check_source

T, N = 6, 4


class Mine:
    """Answers what it is told to; what is right has 6 rows of 4 columns, and an episode that is truncated in row 2."""

    single_action_space: gymnasium.Space = Discrete(2)

    def __init__(self, obs: gymnasium.Space | None = None) -> None:
        self.num_envs, self.steps, self.metrics = N, 0, dict[str, float]()
        self.episodes: list[Any] = [Episode(0, 1.0, 3)]
        self.single_observation_space = obs or Box(-1, 1, (3,))

    def collect(self, actor: Any, *, horizon: int | None = None, episodes: int | None = None) -> Any:
        self.steps += T * N - 1
        mask, done = torch.ones(T, N, dtype=torch.bool), torch.zeros(T, N, dtype=torch.bool)
        mask[3, 0], done[2, 0] = False, True
        numbers = torch.linspace(-1, 0, T * N).view(T, N)
        obs = {"a": torch.zeros(T, N, 3), "b": torch.ones(T, N)} if actor == "tree" else torch.zeros(T, N, 3)
        last = each(lambda x: x[0], obs)
        action = torch.zeros(T, N, dtype=torch.int64)
        return Steps(obs, action, numbers, numbers + 1, torch.zeros_like(done), done, mask), last

    def state_dict(self, episodes: bool = True) -> Any:
        return {}, {"steps": self.steps}

    def load_state_dict(self, tensors: Any, values: Any, actor: Any) -> bool:
        return True

    def close(self) -> None:
        pass


def checked(change: Callable[[Steps, Any], Any], dtype: torch.dtype = torch.float32) -> tuple[Steps, Any]:
    mine = Mine()
    return check_collected(mine, 0, change(*mine.collect(None)), dtype)


def field(name: str, change: Callable[[Tensor], Any]) -> Callable[[Steps, Any], Any]:
    return lambda steps, last: (steps._replace(**{name: change(getattr(steps, name))}), last)


def turned(x: Any) -> Any:
    return x.transpose(0, 1)


def spoiled(row: int, column: int, by: float = float("nan")) -> Callable[[Tensor], Tensor]:
    def change(x: Tensor) -> Tensor:
        x = x.clone()
        x[row, column] = by
        return x

    return change


WRONG: dict[str, tuple[Callable[[Steps, Any], Any], str]] = {
    "nothing": (lambda s, last: None, r"collect of Mine gave None: return \(Steps, last_obs\)"),
    "steps alone": (lambda s, last: s, "gave Steps alone"),
    "a dict": (lambda s, last: (s._asdict(), last), r"return \(Steps, last_obs\)"),
    "a plain tuple": (lambda s, last: (tuple(s), last), r"return \(Steps, last_obs\)"),
    "no last_obs": (lambda s, last: (s, None), r"last_obs of Mine is None"),
    "last_obs with time": (lambda s, last: (s, last[None]), r"last_obs of Mine is .*\[1, 4, 3\]: give .*\[4, 3\]"),
    "last_obs of fewer": (lambda s, last: (s, last[:2]), "last_obs of Mine"),
    "last_obs of other numbers": (lambda s, last: (s, last.long()), "last_obs of Mine is torch.int64"),
    "last_obs as a tree": (lambda s, last: (s, {"a": last}), "last_obs of Mine"),
    "columns and rows exchanged": (lambda s, last: (each(turned, s), last), r"give \[T, N\], not \[N, T\]"),
    "fewer columns": (lambda s, last: (each(lambda x: x[:, :2], s), last[:2]), "but its num_envs is 4"),
    "no rows": (lambda s, last: (each(lambda x: x[:0], s), last), "gave no row"),
    "reward deeper": (field("reward", lambda x: x[..., None]), r"steps.reward of Mine is of shape \[6, 4, 1\]"),
    "reward of one column": (field("reward", lambda x: x[:, :1]), "steps.reward of Mine"),
    "no reward": (field("reward", lambda x: None), "steps.reward of Mine is None: give a tensor"),
    "reward as a list": (field("reward", lambda x: [0.0]), "of Mine"),
    "log_prob of one column": (field("log_prob", lambda x: x[:, :1]), "steps.log_prob of Mine"),
    "log_prob of one number": (field("log_prob", lambda x: torch.zeros(())), "steps.log_prob of Mine"),
    "log_prob in integers": (field("log_prob", Tensor.long), "steps.log_prob of Mine is torch.int64"),
    "mask in numbers": (field("mask", Tensor.float), "steps.mask of Mine is torch.float32 .*: give bool"),
    "mask in bytes": (field("mask", Tensor.byte), "steps.mask of Mine is torch.uint8"),
    "done shorter": (field("done", lambda x: x[:-1]), "steps.done of Mine"),
    "done in integers": (field("done", Tensor.long), "steps.done of Mine is torch.int64"),
    "terminated in numbers": (field("terminated", Tensor.float), "steps.terminated of Mine"),
    "terminated and not done": (field("terminated", spoiled(1, 1, True)), "where steps.done is not"),
    "obs of more rows": (field("obs", lambda x: x.repeat(2, 1, 1)), "steps.obs of Mine"),
    "obs of another space": (lambda s, x: (s._replace(obs=s.obs[..., :2]), x[..., :2]), "single_observation_space"),
    "masks of fewer columns": (field("action_mask", lambda x: torch.ones(T, 2, 2)), "steps.action_mask of Mine"),
    "action deeper": (field("action", lambda x: x[..., None]), "steps.action of Mine"),
    "action in numbers": (field("action", Tensor.float), "steps.action of Mine is torch.float32"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_told_by_class_and_field(name: str) -> None:
    change, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        checked(change)


@pytest.mark.parametrize("by", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("name", "row", "place"),
    [("reward", 4, "row 4 of environment 2"), ("log_prob", 0, "row 0 of environment 2"), ("obs", 5, "row 5 of")],
)
def test_what_is_not_finite_is_placed(name: str, row: int, place: str, by: float) -> None:
    with pytest.raises(NonFiniteError, match=rf"steps.{name} of Mine is not finite in {place}"):
        checked(field(name, spoiled(row, 2, by)))
    with pytest.raises(NonFiniteError, match=r"steps.obs of Mine is not finite in row 3 of environment 0"):
        checked(field("obs", spoiled(3, 0)))  # the last observation of what was truncated
    with pytest.raises(NonFiniteError, match="last_obs of Mine is not finite in environment 1"):
        checked(lambda s, last: (s, spoiled(1, 2)(last)))


def test_what_nobody_reads_may_be_anything() -> None:
    """In a row that is no decision, and after an end that is terminal."""
    for name in ("reward", "log_prob"):
        checked(field(name, spoiled(3, 0)))

    def ends(steps: Steps, last: Tensor) -> Any:
        end = steps.done.clone()
        end[-1, 1] = True
        return steps._replace(terminated=end, done=end, obs=spoiled(3, 0)(steps.obs)), spoiled(1, 0)(last)

    checked(ends)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_of_other_types_become_the_policy_s(dtype: torch.dtype) -> None:
    """Numpy's arrays, and rewards in float64 or integers, change nothing but by rounding."""
    expected, last = checked(lambda *x: x, dtype)

    def numpys(steps: Steps, last: Tensor) -> Any:
        wide = each(lambda x: x.double() if x.is_floating_point() else x, (steps, last))
        return each(Tensor.numpy, wide)

    found, found_last = checked(numpys, dtype)
    for x, y in zip(leaves((found, found_last)), leaves((expected, last)), strict=True):
        assert x.dtype == (dtype if y.is_floating_point() else y.dtype)
        torch.testing.assert_close(x.to(y.dtype), y)
    steps, _ = checked(field("reward", lambda x: (x > 0.5).long()), dtype)
    assert steps.reward.dtype == dtype
    steps, _ = checked(field("log_prob", lambda x: x.requires_grad_()))
    assert not steps.log_prob.requires_grad


def test_trees_are_told_by_their_parts() -> None:
    mine = Mine(Dict({"a": Box(-1, 1, (3,)), "b": Box(-1, 1, ())}))
    check_collected(mine, 0, mine.collect("tree"))
    steps, last = mine.collect("tree")
    with pytest.raises(NonFiniteError, match=r"steps.obs.b of Mine is not finite in row 1 of environment 3"):
        check_collected(mine, 0, (steps._replace(obs=steps.obs | {"b": spoiled(1, 3)(steps.obs["b"])}), last))
    with pytest.raises(ConfigError, match=r"last_obs.a of Mine"):
        check_collected(mine, 0, (steps, last | {"a": last["a"][:2]}))


def test_decisions_that_are_not_counted_are_an_error() -> None:
    mine = Mine()
    answer = mine.collect(None)
    with pytest.raises(ConfigError, match="gave 23 decisions, but its steps stayed at 23: add to steps"):
        check_collected(mine, 23, answer)
    nobody = answer[0]._replace(mask=torch.zeros(T, N, dtype=torch.bool))
    check_collected(mine, 23, (nobody, answer[1]))  # rows that only begin episodes count for nothing


@pytest.mark.parametrize("given", [(0, 1.0, 8), 1.0, None], ids=str)
def test_episodes_are_such(given: Any) -> None:
    mine = Mine()
    numbers: Any = np.float32(1), np.int64(2)
    mine.episodes = [Episode(0, *numbers), given]
    with pytest.raises(ConfigError, match=r"episodes of Mine hold .*: give clipper.rollout.protocol.Episode"):
        check_collected(mine, 0, mine.collect(None))


@pytest.mark.parametrize("horizon", [1, 30])
def test_what_vector_rollouts_collect_fits(horizon: int) -> None:
    for name in ("CartPole-v1", "Pendulum-v1", "clipper/Platform-v0"):
        rollouts = clipper.VectorRollouts(clipper.make_env(name, 3))
        spaces = rollouts.single_observation_space, rollouts.single_action_space
        policy = clipper.make_policy(*spaces, clipper.PolicyOptions(), torch.Generator())
        for quota in ({"horizon": horizon}, {"episodes": 2}):
            before, answer = rollouts.steps, rollouts.collect(policy, **quota)
            found = check_collected(rollouts, before, answer)
            assert all(torch.equal(a, b) for a, b in zip(leaves(found), leaves(answer), strict=True))


def without(name: str) -> Any:
    members = {k: v for k, v in vars(Mine).items() if k != name and not k.startswith("__")}
    mine = type("Mine", (), members | {"__init__": Mine.__init__})()
    vars(mine).pop(name, None)
    return mine


NEEDED = [
    "num_envs", "single_observation_space", "single_action_space", "steps", "episodes", "metrics", "collect",
    "state_dict", "load_state_dict", "close",
]  # fmt: skip


@pytest.mark.parametrize("name", NEEDED)
def test_rollouts_that_lack_a_member_are_told_which(name: str) -> None:
    check_source(Mine())
    with pytest.raises(ConfigError, match=f"Mine is no clipper.Rollouts, since it lacks {name}: add it"):
        check_source(without(name))


class Coins(gymnasium.Env):
    """An environment with a method of that name."""

    def collect(self) -> int:
        return 1


def test_a_class_of_rollouts_is_no_source_and_whatever_makes_environments_is() -> None:
    for kind in (Mine, clipper.VectorRollouts):
        with pytest.raises(ConfigError, match=rf"is a class of rollouts: make them first, train\({kind.__name__}\("):
            check_source(kind)
    ready = clipper.make_env("CartPole-v1", 2)
    for source in ("CartPole-v1", Coins, partial(Coins), ready, clipper.VectorRollouts(ready)):
        check_source(source)


def test_an_error_in_a_property_is_told_as_it_is() -> None:
    class Mistyped(Mine):
        @property
        def num_envs(self) -> int:
            return self.nmu_envs  # pyright: ignore[reportAttributeAccessIssue]

        @num_envs.setter
        def num_envs(self, n: int) -> None:
            pass

    with pytest.raises(AttributeError, match="nmu_envs"):
        check_source(Mistyped())


def test_an_env_of_one_s_own_is_no_vector_environment() -> None:
    for env in (object(), Coins(), "CartPole-v1", type("Simulator", (), {"spec": "mine-v0"})()):
        mine: Any = Mine()
        mine.env = env
        assert abilities(mine) == (None, False, None, "")
