"""Environments with something odd about them, drawn by seed: ready vector environments and single ones."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

Change = Callable[[Any], Any]
N = 3
OBSERVATIONS: dict[str, Any] = {
    "box": Box(-9, 9, (3,), np.float32),
    "bytes": Box(0, 255, (4,), np.uint8),
    "choice": Discrete(5),
    "dict": Dict(a=Box(-9, 9, (2,), np.float32), b=Discrete(3)),
    "tuple": Tuple([Box(-9, 9, (2,), np.float32), MultiBinary(2)]),
}
ACTIONS: dict[str, Any] = {
    "choice": Discrete(3),
    "box": Box(-1, 1, (2,), np.float32),
    "several": MultiDiscrete([2, 3]),
    "dict": Dict(a=Discrete(2), b=Box(-1, 1, (1,), np.float32)),
}
MODES = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED)


def raises(error: BaseException) -> Change:
    def change(_: Any) -> Any:
        raise error

    return change


def each(change: Change) -> Change:
    """Of every array in a tree."""

    def changed(x: Any) -> Any:
        if isinstance(x, dict):
            return {key: changed(part) for key, part in x.items()}
        return tuple(map(changed, x)) if isinstance(x, tuple) else change(x)

    return changed


OBS: dict[str, Change] = {
    "too few rows": each(lambda x: x[:-1]),
    "twice the rows": each(lambda x: np.concatenate([x, x])),
    "one axis more": each(lambda x: x[:, None, None]),
    "None": lambda x: None,
    "text": each(lambda x: x.astype(str)),
    "objects": each(lambda x: np.full(x.shape, None)),
    "complex": each(lambda x: x.astype(complex)),
    "a number": lambda x: 3.0,
    "nothing": lambda x: [],
    "a generator": lambda x: (i for i in x),
    "a string": lambda x: "state",
    "NaN": each(lambda x: np.full(x.shape, np.nan)),
    "huge": each(lambda x: np.full(x.shape, 10.0**60)),
}
FLAGS: dict[str, Change] = {
    "None": lambda x: None,
    "one for all": lambda x: False,
    "a list": lambda x: x.tolist(),
    "too few": lambda x: x[:-1],
    "floats": lambda x: x * 0.5,
    "text": lambda x: x.astype(str),
    "a column": lambda x: x[:, None],
    "beyond 1": lambda x: np.full(x.shape, 7),
    "a dict": lambda x: {"x": x},
}
REWARDS: dict[str, Change] = {
    "None": lambda x: None,
    "one for all": lambda x: 1.0,
    "too many": lambda x: np.concatenate([x, x]),
    "a column": lambda x: x[:, None],
    "text": lambda x: x.astype(str),
    "objects": lambda x: np.full(x.shape, None),
    "NaN": lambda x: x * np.nan,
    "infinite": lambda x: x + np.inf,
    "huge": lambda x: x + 1e300,
    "ragged": lambda x: [[1.0]] * (len(x) - 1) + [[1.0, 2.0]],
    "complex": lambda x: x + 1j,
}
INFOS: dict[str, Change] = {
    "None": lambda x: None,
    "a list": lambda x: [],
    "text": lambda x: "info",
    "one each": lambda x: [{}] * N,
    "a number": lambda x: 0,
}
WHOLE: dict[str, Change] = {
    "None": lambda x: None,
    "one thing": lambda x: x[0],
    "one too few": lambda x: x[:-1],
    "one too many": lambda x: (*x, {}),
    "an error": raises(RuntimeError("the simulator is gone")),
    "an exit": raises(SystemExit(0)),
    "a missing key": raises(KeyError("x")),
    "an assertion": raises(AssertionError()),
    "no memory": raises(MemoryError()),
    "a time-out": raises(TimeoutError("no answer")),
    "too deep": raises(RecursionError("too deep")),
    "the end": raises(StopIteration()),
    "a number": lambda x: 5,
    "text": lambda x: "12345",
}
LAST: dict[str, Change] = {
    "too few": lambda x: x[:-1],
    "None each": lambda x: [None] * N,
    "None": lambda x: None,
    "text": lambda x: ["last"] * N,
    "a number": lambda x: 1.0,
    "missing": lambda x: KeyError,
    "NaN": lambda x: [each(lambda part: np.full(np.shape(part), np.nan))(one) for one in x],
}
MASKS: dict[str, Change] = {
    "raise": raises(RuntimeError("no board")),
    "exit": raises(SystemExit("closed")),
    "None": lambda x: None,
    "text": lambda x: "all",
    "a number": lambda x: 1.0,
    "too few": lambda x: x[:-1],
    "nothing legal": np.zeros_like,
    "a choice too many": lambda x: np.ones((N, 9), bool),
    "fractions": lambda x: x * 0.5,
    "a dict": lambda x: {"x": x},
    "objects": lambda x: np.full(x.shape, None),
    "ragged": lambda x: [[1], [1, 1], [1, 1, 1]],
}
ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "num_envs": (None, 0, -1, "4", 2.5, True),
    "single_observation_space": (None, 3, Box, gymnasium.spaces.Text(4), Dict({}), Tuple([]), {"a": Discrete(2)}),
    "single_action_space": (
        None,
        "Discrete(2)",
        Discrete,
        Dict({}),
        Tuple([]),
        gymnasium.spaces.Text(4),
        gymnasium.spaces.Graph(Box(0, 1), None),
        Discrete(10**6),
        Box(0, 9, (2,), np.int32),
        MultiDiscrete([2, 10**6]),
    ),
    "metadata": (None, [], "modes", {}, {"autoreset_mode": None}, {"autoreset_mode": "often"}, {"autoreset_mode": 7}),
}
HARMLESS: dict[str, tuple[Any, ...]] = {
    "envs": (None, 3, "own", {}, {"a": 1}, [], [1, 2], (None,), {3}, object()),
    "spec": (None, object(), "CartPole-v1", 5, {"id": "x"}),
    "render_mode": (None, 3),
    "observation_space": (None, Discrete(2)),
    "action_space": (None, Discrete(2)),
    "closed": (False, None),
}
"""Attributes that may be whatever the user likes."""


class Odd(NamedTuple):
    """One thing that is odd, and when."""

    what: str
    name: str
    change: Change
    at: int
    """Of the calls of reset and step together, the first that is so."""
    wrong: bool
    """It must be refused; else it must train."""


class Ready(VectorEnv):
    """Keeps its promise, but for what is odd."""

    def __init__(self, obs: Any, action: Any, mode: AutoresetMode, odd: Odd) -> None:
        self.spec, self.metadata, self.num_envs, self.odd, self.calls = None, {"autoreset_mode": mode}, N, odd, -1
        self.single_observation_space, self.single_action_space = obs, action
        self.observation_space, self.action_space = batch_space(obs, N), batch_space(action, N)
        self.space, self.mode = batch_space(obs, N), mode
        self.space.seed(0)
        if odd.what in ATTRIBUTES or odd.what in HARMLESS:
            setattr(self, odd.what, odd.change(None))
        if odd.what == "masks":
            self.action_masks = lambda: self.odd_or("masks", np.ones((N, 3), bool))

    def odd_or(self, what: str, good: Any) -> Any:
        return self.odd.change(good) if self.odd.what == what and self.calls >= self.odd.at else good

    def reset(self, *, seed=None, options=None):
        self.calls += 1
        return self.odd_or("whole", (self.odd_or("obs", self.space.sample()), self.odd_or("info", {})))

    def step(self, actions):
        self.calls += 1
        ended, never = np.full(N, self.calls % 3 == 0), np.zeros(N, bool)
        info: Any = {}
        if self.mode is AutoresetMode.SAME_STEP and ended.any():
            last = self.odd_or("last", [self.single_observation_space.sample() for _ in range(N)])
            info = {} if last is KeyError else {"final_obs": last}
        obs, reward = self.odd_or("obs", self.space.sample()), self.odd_or("reward", np.full(N, 0.5))
        terminated, truncated = self.odd_or("terminated", ended), self.odd_or("truncated", never)
        return self.odd_or("whole", (obs, reward, terminated, truncated, self.odd_or("info", info)))


class Single(gymnasium.Env):
    """The same for one environment, stepped by ``Serial``."""

    def __init__(self, obs: Any, action: Any, odd: Odd) -> None:
        self.observation_space, self.action_space, self.odd, self.calls = obs, action, odd, -1
        self.space = obs
        self.space.seed(0)
        attribute = odd.what.removeprefix("single_")
        if odd.what in ATTRIBUTES or odd.what in HARMLESS:
            setattr(self, attribute, odd.change(None))
        if odd.what == "masks":
            self.action_masks = lambda: self.odd_or("masks", np.ones(3, bool))

    def odd_or(self, what: str, good: Any) -> Any:
        return self.odd.change(good) if self.odd.what == what and self.calls >= self.odd.at else good

    def reset(self, *, seed=None, options=None):
        self.calls += 1
        return self.odd_or("whole", (self.odd_or("obs", self.space.sample()), self.odd_or("info", {})))

    def step(self, action):
        self.calls += 1
        obs, reward = self.odd_or("obs", self.space.sample()), self.odd_or("reward", 0.5)
        terminated, truncated = self.odd_or("terminated", self.calls % 3 == 0), self.odd_or("truncated", False)
        return self.odd_or("whole", (obs, reward, terminated, truncated, self.odd_or("info", {})))


SINGLE_OBS: dict[str, Change] = {
    "None": lambda x: None,
    "text": lambda x: "state",
    "one axis more": each(lambda x: np.asarray(x)[None, None]),
    "nothing": lambda x: [],
    "objects": each(lambda x: np.full(np.shape(x) or (1,), None)),
    "complex": each(lambda x: np.asarray(x).astype(complex)),
    "a set": lambda x: {1},
    "NaN": each(lambda x: np.full(np.shape(x), np.nan)),
    "a space": lambda x: Discrete(2),
    "longer": each(lambda x: np.concatenate([np.ravel(x)] * 2)),
}
SINGLE_FLAGS: dict[str, Change] = {
    "None": lambda x: None,
    "text": lambda x: "no",
    "many": lambda x: [False, True],
    "a fraction": lambda x: 0.5,
    "a dict": lambda x: {"x": x},
    "seven": lambda x: 7,
}
SINGLE_REWARDS: dict[str, Change] = {
    "None": lambda x: None,
    "text": lambda x: "1.0",
    "two": lambda x: [1.0, 2.0],
    "complex": lambda x: 1j,
    "NaN": lambda x: np.nan,
    "infinite": lambda x: -np.inf,
    "huge": lambda x: 1e300,
    "an array": lambda x: np.ones(1),
    "an object": lambda x: object(),
    "a dict": lambda x: {"r": 1},
}
SINGLE_MASKS: dict[str, Change] = {
    name: change
    for name, change in MASKS.items()
    if name in ("raise", "exit", "text", "a number", "nothing legal", "fractions", "a dict")
} | {"too short": lambda x: x[:-1], "longer": lambda x: np.ones(9, bool)}


def draw(seed: int) -> tuple[Any, Odd, str]:
    """An environment, or a factory of one; what is odd about it; and its kind, in words."""
    chance = random.Random(seed)
    ready, mode = chance.random() < 0.65, chance.choice(MODES)
    obs, action = chance.choice(list(OBSERVATIONS)), chance.choice(list(ACTIONS))
    tables: dict[str, dict[str, Change]] = {
        "obs": OBS if ready else SINGLE_OBS,
        "terminated": FLAGS if ready else SINGLE_FLAGS,
        "truncated": FLAGS if ready else SINGLE_FLAGS,
        "reward": REWARDS if ready else SINGLE_REWARDS,
        "info": INFOS,
        "whole": WHOLE,
        "masks": MASKS if ready else SINGLE_MASKS,
    }
    kinds = [*tables, "attribute", "attribute", "harmless", *(["last"] * 2 if ready else [])]
    what = chance.choice(kinds)
    at = chance.randint(0, 4)
    if what in ("attribute", "harmless"):
        table = ATTRIBUTES if what == "attribute" else HARMLESS
        names = [
            name
            for name in table
            if ready or name not in ("num_envs", "envs", "closed", "observation_space", "action_space")
        ]
        name = chance.choice(names)
        values = [x for x in table[name] if ready or not isinstance(x, dict) or name != "metadata"]  # declares no mode
        given = chance.choice(values)
        odd = Odd(name, repr(given)[:40], lambda _: given, 0, what == "attribute")
    else:
        mode = AutoresetMode.SAME_STEP if what == "last" else mode
        name = chance.choice(list(LAST if what == "last" else tables[what]))
        change = (LAST if what == "last" else tables[what])[name]
        obs = "box" if name in ("NaN", "huge") else obs
        action = "choice" if what == "masks" else action
        odd = Odd(what, name, change, 0 if what == "last" else at, not (what == "masks" and name == "None"))
    where = f"{'ready' if ready else 'single'}, {obs} and {action}, {mode.name.lower()}"
    kind = f"{where}, {odd.what}: {odd.name} from call {odd.at} on"
    spaces = OBSERVATIONS[obs], ACTIONS[action]
    if ready:
        return Ready(*spaces, mode, odd), odd, kind
    return (lambda: Single(*spaces, odd)), odd, kind
