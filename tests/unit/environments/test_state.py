"""An environment that is saved, written as JSON and arrays, and restored elsewhere goes on bit for bit."""

import json
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv

from clipper.environments.state import get_state, get_states, set_state, set_states
from clipper.environments.state_trees import EnvironmentState
from clipper.environments.vector.serial import Serial
from clipper.errors import CorruptCheckpointError

CLASSIC = ["CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Acrobot-v1", "Pendulum-v1"]
TOYS = ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4", "Blackjack-v1"]
MUJOCO = [
    "Ant-v5", "HalfCheetah-v5", "Hopper-v5", "Humanoid-v5", "InvertedDoublePendulum-v5", "Pusher-v5", "Reacher-v5",
    "Swimmer-v5", "Walker2d-v5",
]  # fmt: skip


def make_env(name: str) -> gymnasium.Env:
    if name in MUJOCO:
        pytest.importorskip("mujoco")
    return gymnasium.make(name, max_episode_steps=70)  # so that 300 steps cross ends by time limit, too


def run(env: gymnasium.Env, ended: bool, actions: list) -> tuple[list[bytes], bool]:
    """Every bit that the environment returns, an episode's end followed by a reset without seed."""
    trace = []
    for action in actions:
        if ended:
            obs, info = env.reset()
            ended = False
            trace.append(np.asarray(obs).tobytes())
        obs, reward, terminated, truncated, info = env.step(action)
        ended = bool(terminated or truncated)
        # info's numbers are part of what a user may read; -0.0 and NaN payloads count, hence bytes
        numbers = [np.asarray(x, dtype=np.float64).tobytes() for _, x in sorted(info.items())]
        trace += [
            np.asarray(obs).tobytes(),
            str(np.asarray(obs).dtype).encode(),
            np.float64(reward).tobytes(),
            bytes([terminated, truncated]),
            *numbers,
        ]
    return trace, ended


def through_a_file(state: EnvironmentState) -> EnvironmentState:
    arrays = {k: np.frombuffer(v.tobytes(), v.dtype).reshape(v.shape) if v.size else v for k, v in state.arrays.items()}
    return EnvironmentState(arrays, json.loads(json.dumps(state.values, allow_nan=False)))


@pytest.mark.parametrize("before", [0, 1, 69, 70, 133])
@pytest.mark.parametrize("name", CLASSIC + TOYS + MUJOCO)
def test_a_restored_environment_goes_on_bit_for_bit(name: str, before: int) -> None:
    env, other = make_env(name), make_env(name)
    env.action_space.seed(1)
    env.reset(seed=3)
    _, ended = run(env, False, [env.action_space.sample() for _ in range(before)])
    state = get_state(env)
    assert state is not None
    state = through_a_file(state)
    actions = [env.action_space.sample() for _ in range(300)]
    expected, _ = run(env, ended, actions)
    if before == 133:  # into one that was used before, too
        other.reset(seed=9)
        run(other, False, actions[:40])
    set_state(other, state)
    assert run(other, ended, actions)[0] == expected


def test_the_state_is_a_copy() -> None:
    env = make_env("Pendulum-v1")
    env.reset(seed=0)
    state = get_state(env)
    assert state is not None
    before = {k: v.copy() for k, v in state.arrays.items()}
    env.step(np.ones(1, np.float32))
    assert all(np.array_equal(before[k], v) for k, v in state.arrays.items())
    set_state(env, state)
    env.step(np.ones(1, np.float32))
    assert all(np.array_equal(before[k], v) for k, v in state.arrays.items())


def test_an_environment_that_never_was_reset() -> None:
    state = get_state(make_env("CartPole-v1"))
    assert state is not None
    other = make_env("CartPole-v1")
    other.reset(seed=0)
    set_state(other, through_a_file(state))
    with pytest.raises(gymnasium.error.ResetNeeded):
        other.step(0)


def test_unknown_environments_and_wrappers_are_opaque() -> None:
    pytest.importorskip("Box2D")
    assert get_state(gymnasium.make("LunarLander-v3")) is None


@pytest.mark.parametrize(
    "wrapper",
    [
        gymnasium.wrappers.NormalizeObservation,
        lambda env: gymnasium.wrappers.FrameStackObservation(env, 2),
        lambda env: gymnasium.wrappers.TransformReward(env, lambda r: r),
        type("MyWrapper", (gymnasium.Wrapper,), {}),
        lambda env: type("MyTimeLimit", (gymnasium.wrappers.TimeLimit,), {})(env, 7),
    ],
    ids=["normalise", "stack", "transform", "mine", "subclass"],
)
def test_unknown_wrappers_are_opaque(wrapper) -> None:
    assert get_state(wrapper(gymnasium.make("Pendulum-v1"))) is None


def test_subclasses_may_keep_more_state_and_are_opaque() -> None:
    cartpole = type("MyCartPole", (CartPoleEnv,), {})()
    assert get_state(cartpole) is None


def test_stateless_wrappers() -> None:
    def wrapped() -> gymnasium.Env:
        env = gymnasium.wrappers.RescaleAction(gymnasium.make("Pendulum-v1"), np.float32(-1), np.float32(1))
        return gymnasium.wrappers.FlattenObservation(gymnasium.wrappers.RecordEpisodeStatistics(env))

    env, other = wrapped(), wrapped()
    env.reset(seed=0)
    actions = [env.action_space.sample() for _ in range(20)]
    _, ended = run(env, False, actions)
    state = get_state(env)
    assert state is not None
    set_state(other, through_a_file(state))
    assert run(other, ended, actions)[0] == run(env, ended, actions)[0]


class Walker(gymnasium.Env):
    """Keeps its own state: a tree with every kind of leaf."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = self.np_random.normal(size=3).astype(np.float32)
        self.tree = {"path": [(1, 2.5), (2, float("inf"))], "a": {"b": np.arange(3)}, "a.b": np.ones(2), "best": None}
        self.count = 0
        return self.position.copy(), {}

    def step(self, action):
        self.position += self.np_random.normal() * (1 + action)  # in place
        self.count += 1
        self.tree["path"].append((self.count, 0.1))
        self.tree["best"] = np.float32(self.position[0])
        reward = float(self.tree["best"]) + len(self.tree["path"])
        return self.position.copy(), reward, self.count % 9 == 0, False, {}

    def get_state(self):
        return {"position": self.position, "tree": self.tree, "count": self.count}

    def set_state(self, tree):
        self.position, self.tree, self.count = tree["position"], tree["tree"], tree["count"]


def test_an_environment_with_a_state_of_its_own() -> None:
    env, other = Walker(), Walker()
    env.reset(seed=0)
    _, ended = run(env, False, [0, 1, 1, 0])
    state = get_state(env)
    assert state is not None
    set_state(other, through_a_file(state))
    assert repr(other.tree) == repr(env.tree)  # tuples, dtypes and infinity included
    actions = [0, 1] * 20
    assert run(other, ended, actions)[0] == run(env, ended, actions)[0]


def test_a_state_of_other_objects_is_opaque() -> None:
    env = Walker()
    env.reset(seed=0)
    for leaf in (object(), {1: 2}, {"$x": 1}, np.array(["text"]), {1, 2}):
        env.tree["best"] = leaf
        assert get_state(env) is None


def test_serial_goes_on_bit_for_bit() -> None:
    env, other = (Serial([lambda: make_env("CartPole-v1")] * 3) for _ in range(2))
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(37):
        env.step(env.action_space.sample())
    while not any(env.resets):  # save where one of them is about to be reset
        env.step(env.action_space.sample())
    states = get_states(env)
    assert states is not None
    states = [through_a_file(state) for state in states]
    actions = [env.action_space.sample() for _ in range(150)]
    expected = [[np.copy(x) for x in env.step(action)[:4]] for action in actions]
    set_states(other, states)
    for action, step in zip(actions, expected, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(other.step(action)[:4], step, strict=True))


def test_other_vector_environments_are_opaque() -> None:
    assert get_states(gymnasium.make_vec("CartPole-v1", 2)) is None
    assert get_states(Serial([lambda: gymnasium.wrappers.NormalizeReward(make_env("CartPole-v1"))])) is None


def edited(state: EnvironmentState, path: str, value) -> EnvironmentState:
    """A copy with another entry at a path into the values, or into the arrays."""
    copy = through_a_file(state)
    if path in copy.arrays:
        if value is None:
            del copy.arrays[path]
        else:
            copy.arrays[path] = value
        return copy
    node: Any = copy.values
    keys = path.split(".")
    for key in keys[:-1]:
        node = node[int(key) if isinstance(node, list) else key]
    last: Any = int(keys[-1]) if isinstance(node, list) else keys[-1]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("layers", None),
        ("layers", []),
        ("layers.0", 7),
        ("layers.0.class", "gymnasium.wrappers.common.ClipAction"),
        ("layers.0.state._elapsed_steps", -1),
        ("layers.0.state._elapsed_steps", "9"),
        ("layers.0.state._elapsed_steps", None),
        ("layers.1.state._has_reset", 1),
        ("layers.2.state", None),
        ("layers.3.state.state", np.zeros(5)),
        ("layers.3.state.state", np.zeros(4, dtype=np.complex64)),
        ("layers.3.state.state", None),
        ("layers.3.state.steps_beyond_terminated", 0.5),
        ("np_random", []),
        ("np_random.bit_generator", "MT19937"),
        ("np_random.state", {}),
        ("np_random.state.state", 2**128),
        ("np_random.state.inc", -1),
        ("np_random.state.inc", 0.5),
        ("np_random.uinteger", None),
    ],
)
def test_a_damaged_entry_is_named(path: str, value) -> None:
    env = make_env("CartPole-v1")
    env.reset(seed=0)
    state = get_state(env)
    assert state is not None
    with pytest.raises(CorruptCheckpointError) as error:
        set_state(env, edited(state, path, value))
    assert path.split(".", maxsplit=1)[0] in str(error.value)
    assert ".".join(path.split(".")[:3]) in str(error.value) or path.startswith("np_random")


@pytest.mark.parametrize(
    ("entry", "value"),
    [("integration", np.zeros(3)), ("xpos", np.zeros((2, 3))), ("cinert", np.zeros((5, 10), np.float32)), ("qacc", 1)],
)
def test_a_damaged_mujoco_array_is_named(entry: str, value) -> None:
    env = make_env("Hopper-v5")
    env.reset(seed=0)
    state = get_state(env)
    assert state is not None
    path = f"layers.3.state.{entry}"
    if entry == "qacc":
        state.values["layers"][3]["state"]["qacc"] = value
    else:
        state.arrays[path] = value
    with pytest.raises(CorruptCheckpointError, match=path):
        set_state(env, state)


def test_a_state_that_the_environment_itself_refuses() -> None:
    env = Walker()
    env.reset(seed=0)
    state = get_state(env)
    assert state is not None
    with pytest.raises(CorruptCheckpointError, match=r"layers\.0\.state\.position"):
        set_state(env, edited(state, "layers.0.state.position", np.zeros(4, np.float32)))
    with pytest.raises(CorruptCheckpointError, match=r"layers\.0\.state"):
        set_state(env, edited(state, "layers.0.state.count", None))
    env.set_state = lambda tree: tree["what"]
    with pytest.raises(CorruptCheckpointError, match="KeyError"):
        set_state(env, state)


def test_states_of_another_vector_environment() -> None:
    env = Serial([lambda: make_env("CartPole-v1")] * 2)
    env.reset(seed=0)
    states = get_states(env)
    assert states is not None
    with pytest.raises(CorruptCheckpointError, match="3 environments, but there are 2"):
        set_states(env, [*states, states[0]])
    states[1].values["resets"] = 1
    with pytest.raises(CorruptCheckpointError, match=r"environment 1.*resets"):
        set_states(env, states)
    with pytest.raises(CorruptCheckpointError, match="Serial"):
        set_states(gymnasium.make_vec("CartPole-v1", 2), states)
