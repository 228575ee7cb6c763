"""Ready vector environments whose arrays are not what their spaces say: both engines, and evaluation, refuse them."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Generator

import clipper
from clipper.environments.vector.serial import Serial
from clipper.environments.vector.workers import Workers
from clipper.errors import EnvironmentContractError
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.vector_rollouts import VectorRollouts

N = 4
ENGINES = ["torch", "cpu"] if find_spec("numba") else ["torch"]
Change = Callable[[Any], Any]


class Ready(VectorEnv):
    """Keeps its promise, but for what ``changes`` make of what call number ``at`` gives (the reset is call 0)."""

    def __init__(self, at: int = -1, space: Any = None, **changes: Any) -> None:
        self.spec, self.metadata = None, {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self.at, self.changes, self.calls, self.num_envs = at, changes, -1, N
        self.single_observation_space = space or spaces.Box(-9, 9, (3,), np.float32)
        self.single_action_space = spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, N)
        self.action_space = batch_space(self.single_action_space, N)
        self.observation_space.seed(0)

    def answer(self, **parts: Any) -> tuple[Any, ...]:
        self.calls += 1
        if self.calls == self.at:
            parts = {key: self.changes[key](x) if key in self.changes else x for key, x in parts.items()}
            if "whole" in self.changes:
                return self.changes["whole"](tuple(parts.values()))
        return tuple(parts.values())

    def reset(self, *, seed=None, options=None):
        return self.answer(obs=self.observation_space.sample(), info={})

    def step(self, actions):
        never = np.zeros(N, bool)
        ended = never | ((self.calls + 1) % 5 == 0)
        obs = self.observation_space.sample()
        return self.answer(obs=obs, reward=np.full(N, 0.5), terminated=ended, truncated=never.copy(), info={})


def run(env: VectorEnv, engine: str = "torch", horizon: int = 8) -> tuple[Any, VectorRollouts]:
    algorithm, state = clipper.PPO(horizon=horizon), VectorRollouts(env, 0)
    policy = make_policy(env.single_observation_space, env.single_action_space, PolicyOptions(), Generator())
    actor: Any = policy
    if engine == "cpu":
        from clipper.engines.cpu.engine import CPU

        actor = CPU(algorithm.init(policy), algorithm).actor
    return state.collect(actor, horizon=horizon)[0], state


OBS: dict[str, Change] = {
    "wider": lambda x: np.repeat(x, 2, 1),
    "much wider": lambda x: np.zeros((N, 100_000), np.float32),
    "narrower": lambda x: x[:, :1],
    "two rows each": lambda x: np.repeat(x, 2, 0),
    "too few rows": lambda x: x[:2],
    "one row": lambda x: x[0],
    "one axis more": lambda x: x[:, None],
    "ragged": lambda x: [[0.0, 1.0, 2.0]] * 3 + [[0.0]],
    "text": lambda x: x.astype(str),
    "objects": lambda x: x.astype(object),
    "complex": lambda x: x.astype(complex),
    "None": lambda x: None,
    "a dict": lambda x: {"x": x},
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("at", [0, 1, 6])
@pytest.mark.parametrize("name", OBS)
def test_observations_of_another_form_are_refused(name: str, at: int, engine: str) -> None:
    with pytest.raises(EnvironmentContractError, match=r"Ready gave observations of .*float32.*: fix one of the two"):
        run(Ready(at, obs=OBS[name]), engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_error_says_both_numbers(engine: str) -> None:
    words = r"shape \(8, 3\) from 4 environments, but its observation space says float32 of shape \(3,\) for each"
    with pytest.raises(EnvironmentContractError, match=words):
        run(Ready(2, obs=OBS["two rows each"]), engine)


SAME: dict[str, Change] = {
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: np.round(x).astype(np.float16),
    "integers": lambda x: np.round(x).astype(np.int64),
    "a list": lambda x: x.tolist(),
    "a tensor": torch.from_numpy,
    "columns first": np.asfortranarray,
    "every other row of twice as many": lambda x: np.repeat(x, 2, 0)[::2],
    "read-only": lambda x: np.broadcast_to(x, x.shape),
    "a subclass": lambda x: x.view(np.ma.MaskedArray),
    "the other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SAME)
def test_observations_that_mean_the_same_are_as_good(name: str, engine: str) -> None:
    numbers = name in ("float16", "integers")
    given, expected = [], run(Ready())[0].obs
    for at in (0, 3):
        steps, state = run(Ready(at, obs=SAME[name]), engine)
        given.append(steps.obs)
        assert steps.obs.dtype == state.obs.dtype == torch.float32
    for at, obs in zip((0, 3), given, strict=True):
        rounded = expected.clone()
        rounded[at] = rounded[at].round() if numbers else rounded[at]
        assert torch.equal(obs, rounded)


FLAGS: dict[str, Change] = {
    "a list": lambda x: x.tolist(),
    "floats": lambda x: x.astype(np.float64),
    "None": lambda x: None,
    "one for all": lambda x: False,
    "an array of one for all": lambda x: np.array(False),
    "too few": lambda x: x[:-1],
    "too many": lambda x: np.concatenate([x, x]),
    "a column": lambda x: x[:, None],
    "text": lambda x: x.astype(str),
    "objects": lambda x: np.array([None] * N),
    "numbers beyond 1": lambda x: np.full(N, 2),
    "numbers below 0": lambda x: np.full(N, -1, np.int8),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("which", ["terminated", "truncated"])
@pytest.mark.parametrize("name", FLAGS)
def test_flags_of_another_form_are_refused(name: str, which: str, engine: str) -> None:
    with pytest.raises(EnvironmentContractError, match=rf"Ready gave {which} as .* array of bool of shape \(4,\)"):
        run(Ready(3, **{which: FLAGS[name]}), engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64])
def test_flags_of_zeros_and_ones_are_as_good(dtype: Any, engine: str) -> None:
    (steps, _), (expected, _) = run(Ready(5, terminated=lambda x: x.astype(dtype)), engine), run(Ready())
    for name in ("terminated", "done", "mask"):
        assert torch.equal(getattr(steps, name), getattr(expected, name))


REWARDS: dict[str, Change] = {
    "None": lambda x: None,
    "one for all": lambda x: 1.0,
    "too few": lambda x: x[:-1],
    "too many": lambda x: np.concatenate([x, x]),
    "a column": lambda x: x[:, None],
    "text": lambda x: x.astype(str),
    "a list of text": lambda x: ["1.0"] * N,
    "objects": lambda x: x.astype(object),
    "complex": lambda x: x.astype(complex),
    "ragged": lambda x: [[1.0], [1.0, 2.0], [], []],
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", REWARDS)
def test_rewards_of_another_form_are_refused(name: str, engine: str) -> None:
    with pytest.raises(EnvironmentContractError, match=r"rewards of .* from 4 environments of Ready"):
        run(Ready(3, reward=REWARDS[name]), engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("change", [np.float32, np.ndarray.tolist, np.sign, np.bool_], ids=str)
def test_rewards_that_are_numbers_are_as_good(change: Change, engine: str) -> None:
    steps, state = run(Ready(3, reward=change), engine)
    assert steps.reward.dtype == torch.float32
    assert set(steps.reward.flatten().tolist()) <= {0.5, 1.0}
    assert state.running_total.dtype == np.float64


WHOLE: dict[str, tuple[int, Change, str]] = {
    "a step of four": (2, lambda x: x[:4], "no five things from a step"),
    "a step of none": (2, lambda x: None, "no five things from a step"),
    "a reset of observations alone": (0, lambda x: x[0], "no two things from its reset"),
    "a reset of three": (0, lambda x: (*x, {}), "no two things from its reset"),
    "no info with a step": (2, lambda x: (*x[:4], None), "None for its info"),
    "no info with a reset": (0, lambda x: (x[0], []), "for its info"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", WHOLE)
def test_answers_of_another_form_are_refused(name: str, engine: str) -> None:
    at, change, words = WHOLE[name]
    with pytest.raises(EnvironmentContractError, match=f"Ready gave .*{words}"):
        run(Ready(at, whole=change), engine)


@pytest.mark.parametrize(
    "changes",
    [{"obs": OBS["wider"]}, {"terminated": FLAGS["None"]}, {"reward": REWARDS["text"]}],
    ids=["obs", "flags", "rewards"],
)
def test_evaluation_refuses_the_same(changes: dict[str, Change]) -> None:
    env = Ready()
    policy = make_policy(env.single_observation_space, env.single_action_space, PolicyOptions(), Generator())
    assert len(clipper.evaluate(policy, env, episodes=N).returns) == N
    with pytest.raises(EnvironmentContractError, match="Ready"):
        clipper.evaluate(policy, Ready(3, **changes), episodes=N)


TREE = spaces.Dict(
    image=spaces.Box(0, 255, (2, 2), np.uint8), pair=spaces.Tuple([spaces.Discrete(3), spaces.MultiBinary(2)])
)


def put(*path: Any, by: Any) -> Change:
    """Replace a part of a tree, or leave it out where ``by`` is None."""

    def change(tree: Any) -> Any:
        key, *rest = path
        items = dict(tree) if isinstance(tree, dict) else dict(enumerate(tree))
        if rest or by is not None:
            items[key] = put(*rest, by=by)(items[key]) if rest else by
        else:
            del items[key]
        return items if isinstance(tree, dict) else tuple(items.values())

    return change


TREES: dict[str, tuple[Change, str]] = {
    "a key is missing": (put("image", by=None), r"without \['image'\]"),
    "an entry is missing": (put("pair", 1, by=None), r"without \['pair'\]\[1\]"),
    "a key too many": (put("more", by=np.zeros(N)), r"with \['more'\], which its observation space lacks"),
    "an entry too many": (put("pair", 2, by=np.zeros(N)), r"with \['pair'\]\[2\]"),
    "an array in place of the tree": (lambda x: np.zeros((N, 3)), r"without \['image'\]"),
    "a part of another shape": (put("image", by=np.zeros((N, 2, 3), np.uint8)), r"\['image'\] of shape \(4, 2, 3\)"),
    "a part of fewer rows": (put("pair", 0, by=np.zeros(2, int)), r"\['pair'\]\[0\] of shape \(2,\)"),
    "a number too large": (put("image", by=np.full((N, 2, 2), 300)), r"\['image'\] of 300, which uint8"),
    "a number below 0": (put("image", by=np.full((N, 2, 2), -1)), r"\['image'\] of -1, which uint8"),
    "fractions": (put("image", by=np.full((N, 2, 2), 0.7)), r"\['image'\] of float64, but .* uint8"),
    "not a number": (put("image", by=np.full((N, 2, 2), np.nan)), r"\['image'\] of float64"),
    "a choice too large": (put("pair", 0, by=np.array([0, 1, 2, 3])), r"\['pair'\]\[0\] of .* has 0 to 2"),
    "a choice below 0": (put("pair", 0, by=np.array([0, 1, -1, 2])), r"\['pair'\]\[0\] of .* has 0 to 2"),
    "a bit too large": (put("pair", 1, by=np.full((N, 2), 2**40)), r"\['pair'\]\[1\] of 1099511627776, which int8"),
}


@pytest.mark.parametrize("at", [0, 4])
@pytest.mark.parametrize("name", TREES)
def test_trees_of_observations_are_held_to_their_spaces(name: str, at: int) -> None:
    change, words = TREES[name]
    with pytest.raises(EnvironmentContractError, match=f"Ready gave observations.*{words}"):
        run(Ready(at, space=TREE, obs=change))


def test_a_tree_in_other_dtypes_and_another_order_is_as_good() -> None:
    def change(tree: dict[str, Any]) -> dict[str, Any]:
        choice, bits = tree["pair"]
        return {"pair": [choice.astype(np.int8), bits.astype(bool)], "image": tree["image"].astype(np.int64)}

    expected, _ = run(Ready(space=TREE))
    for at in (0, 3):
        steps, _ = run(Ready(at, space=TREE, obs=change))
        for found, wanted in zip(
            (steps.obs["image"], *steps.obs["pair"]), (expected.obs["image"], *expected.obs["pair"]), strict=True
        ):
            assert torch.equal(found, wanted)
            assert found.dtype == wanted.dtype


@pytest.mark.parametrize("space", [spaces.Discrete(5, start=-2), spaces.MultiDiscrete([3, 4])])
@pytest.mark.parametrize("by", [-3, 9])
def test_choices_that_there_are_none_of_are_refused(space: gymnasium.Space, by: int) -> None:
    run(Ready(space=space))
    with pytest.raises(EnvironmentContractError, match=r"(?s)Ready gave observations of .* has .* to"):
        run(Ready(3, space=space, obs=lambda x: np.full_like(x, by)))


class Ends(Ready):
    """Resets in the same step, or waits to be reset; ``last`` is what call ``at`` makes of its last observations."""

    def __init__(self, mode: AutoresetMode, at: int = -1, **changes: Change) -> None:
        super().__init__(at, **changes)
        self.metadata = {"autoreset_mode": mode}

    def step(self, actions):
        obs, reward, terminated, truncated, info = super().step(actions)
        last = self.changes.get("last", lambda x: x)
        return obs, reward, terminated, truncated, info | {"final_obs": last(np.zeros((N, 3), np.float32))}


def test_last_observations_of_another_form_are_refused() -> None:
    run(Ends(AutoresetMode.SAME_STEP))
    for last in (
        lambda x: np.zeros((N, 5), np.float32),
        lambda x: np.zeros((N, 2), np.float32),
        lambda x: [None] * N,
        lambda x: x.astype(str),
    ):
        with pytest.raises(EnvironmentContractError, match=r"Ends gave observations of .* float32"):
            run(Ends(AutoresetMode.SAME_STEP, last=last))


@pytest.mark.parametrize("name", ["wider", "too few rows", "text"])
def test_first_observations_of_another_form_are_refused_where_ended_ones_are_reset(name: str) -> None:
    run(Ends(AutoresetMode.DISABLED))
    with pytest.raises(EnvironmentContractError, match=r"Ends gave observations of .* float32"):
        run(Ends(AutoresetMode.DISABLED, at=6, obs=OBS[name]))  # five steps, then the reset


class Single(gymnasium.Env):
    """Gives what a test wants in its third call."""

    action_space = spaces.Discrete(2)

    def __init__(self, space: gymnasium.Space, good: Any, wrong: Any, **others: Any) -> None:
        self.observation_space, self.good, self.wrong, self.others, self.calls = space, good, wrong, others, 0

    def look(self) -> Any:
        self.calls += 1
        return self.wrong if self.calls == 3 and self.wrong is not None else self.good

    def reset(self, *, seed=None, options=None):
        return self.look(), {}

    def step(self, action):
        obs, others = self.look(), self.others if self.calls == 3 else {}
        return obs, others.get("reward", 1.0), others.get("terminated", False), others.get("truncated", False), {}


INTEGERS: list[tuple[gymnasium.Space, Any, Any, str]] = [
    (spaces.Box(0, 255, (2,), np.uint8), np.zeros(2, np.uint8), np.array([0, 300]), "300, which uint8"),
    (spaces.Box(0, 255, (2,), np.uint8), np.zeros(2, np.uint8), [-1, 0], "-1, which uint8"),
    (spaces.Box(0, 255, (2,), np.uint8), np.zeros(2, np.uint8), np.full(2, 256, np.uint16), "256, which uint8"),
    (spaces.Box(0, 9, (2,), np.int32), np.zeros(2, np.int32), np.full(2, 2**40), "1099511627776, which int32"),
    (spaces.Box(0, 9, (2,), np.int64), np.zeros(2, np.int64), np.full(2, 2**63, np.uint64), "which int64"),
    (spaces.Box(0, 9, (2,), np.int64), np.zeros(2, np.int64), [2**70, 0], "object"),
    (spaces.Box(0, 255, (2,), np.uint8), np.zeros(2, np.uint8), np.full(2, 0.7), "float64"),
    (spaces.Box(0, 255, (2,), np.uint8), np.zeros(2, np.uint8), np.full(2, np.nan), "float64"),
    (spaces.MultiBinary(2), np.zeros(2, np.int8), np.full(2, 128), "128, which int8"),
    (spaces.Discrete(3), 0, 3, "0 to 2"),
    (spaces.Discrete(3), 0, 1.5, "float64"),
    (spaces.MultiDiscrete([3, 300]), np.zeros(2, int), np.array([0, 300]), r".*to \[  2 299\]"),
    (spaces.Dict(a=spaces.Box(0, 255, (1,), np.uint8)), {"a": np.zeros(1, np.uint8)}, {"a": [300]}, r"\['a'\] of 300"),
    (spaces.Tuple([spaces.Box(0, 9, (), np.int8)]), (np.int8(0),), (200,), r"\[0\] of 200, which int8"),
]  # fmt: skip


@pytest.mark.parametrize(("space", "good", "wrong", "words"), INTEGERS, ids=range(len(INTEGERS)))
def test_numbers_that_the_dtype_cannot_hold_are_refused(
    space: gymnasium.Space, good: Any, wrong: Any, words: str
) -> None:
    env = Serial([lambda: Single(space, good, None), lambda: Single(space, good, wrong)])
    with pytest.raises(EnvironmentContractError, match=f"environment 1 of Single gave an observation.*{words}"):
        run(env)


def test_workers_refuse_them_too() -> None:
    space, zeros = spaces.Box(0, 255, (2,), np.uint8), np.zeros(2, np.uint8)
    env = Workers([lambda: Single(space, zeros, None), lambda: Single(space, zeros, np.array([0, 300]))], 2)
    try:
        with pytest.raises(EnvironmentContractError, match="environment 1 of Single gave an observation of 300"):
            run(env)
    finally:
        env.close()


def test_integers_that_it_can_hold_pass() -> None:
    space = spaces.Box(0, 255, (2,), np.uint8)
    steps, _ = run(Serial([lambda: Single(space, np.array([0, 255]), [7, 200])]))
    assert steps.obs[:3, 0].tolist() == [[0, 255], [0, 255], [7, 200]]


@pytest.mark.parametrize("which", ["terminated", "truncated"])
@pytest.mark.parametrize("flag", [None, 0.5, 1.0, [True], np.zeros(1, bool), "no", 2, np.array("x")], ids=repr)
def test_one_environment_s_flag_is_a_truth_value(which: str, flag: Any) -> None:
    with pytest.raises(EnvironmentContractError, match=f"environment 0 of Single gave {which} = "):
        run(Serial([lambda: Single(spaces.Discrete(2), 0, None, **{which: flag})]))


@pytest.mark.parametrize("flag", [True, np.True_, 1, np.int8(1), np.array(True)], ids=repr)
def test_truth_values_of_every_kind_end_an_episode(flag: Any) -> None:
    steps, state = run(Serial([lambda: Single(spaces.Discrete(2), 0, None, terminated=flag)]))
    assert steps.terminated[:, 0].nonzero().flatten().tolist() == [1]
    assert [episode.length for episode in state.episodes] == [2]


@pytest.mark.parametrize("reward", ["1.0", None, 1j, np.complex128(1), np.array("2"), np.array(None, object)], ids=repr)
def test_one_environment_s_reward_is_a_number(reward: Any) -> None:
    with pytest.raises(EnvironmentContractError, match="environment 0 of Single gave the reward"):
        run(Serial([lambda: Single(spaces.Discrete(2), 0, None, reward=reward)]))
