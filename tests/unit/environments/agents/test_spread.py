"""Spread-v0 against a slow form of its own, and its optimum against an enumeration of joint states."""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

import clipper
from clipper.environments import make, make_single
from clipper.environments.agents.spread import Spread, values_of
from clipper.errors import ConfigError

STEPS = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]


class Slow:
    """Spread as a parallel environment of PettingZoo's form, agent by agent; episodes begin as they are handed over."""

    metadata: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, starts: list[np.ndarray]) -> None:
        self.starts, self.possible_agents, self.agents = starts, ["agent_0", "agent_1"], list[str]()

    def observation_space(self, agent: str) -> Box:
        return Box(-4, 4, (6,))

    def action_space(self, agent: str) -> Discrete:
        return Discrete(5)

    def see(self) -> dict[str, np.ndarray]:
        found = {}
        for a, (x, y) in enumerate(self.places):
            there = [*self.lamps, self.places[1 - a]]
            found[f"agent_{a}"] = np.array([d for p, q in there for d in (p - x, q - y)], np.float32)
        return found

    def reset(self, seed=None, options=None):
        numbers = self.starts.pop(0)
        self.lamps = [(numbers[0], numbers[1]), (numbers[2], numbers[3])]
        self.places = [(numbers[4], numbers[5]), (numbers[6], numbers[7])]
        self.time, self.agents = 0, list(self.possible_agents)
        return self.see(), {agent: {} for agent in self.agents}

    def step(self, actions):
        for a in range(2):
            dx, dy = STEPS[actions[f"agent_{a}"]]
            x, y = self.places[a]
            self.places[a] = min(max(x + dx, 0), 4), min(max(y + dy, 0), 4)
        self.time += 1
        dark = sum(lamp not in self.places for lamp in self.lamps)
        over, both = self.time == 20, self.possible_agents
        self.agents = [] if over else list(both)
        rest: list[Any] = [dict.fromkeys(both, x) for x in (float(-dark), False, over, {})]
        return self.see(), *rest

    def close(self) -> None:
        pass


def plan(lamps: np.ndarray, agents: np.ndarray) -> int:
    """The return of a good plan: each lamp gets one agent, in the way that costs less, which goes there and stays."""
    costs = np.maximum(abs(agents[:, None] - lamps[None]).sum(2) - 1, 0)
    return -min(costs[0, 0] + costs[1, 1], costs[0, 1] + costs[1, 0])


def test_it_is_what_it_is_agent_by_agent() -> None:
    env = make("clipper/Spread-v0", 3)
    env.reset(seed=4)
    task: Spread = env.unwrapped.task  # pyright: ignore[reportAttributeAccessIssue]
    slow: Any = clipper.Agents([partial(Slow, []) for _ in range(3)])
    for e, one in enumerate(slow.worlds):
        one.starts.append(task.state[:8, e].copy())
    slow.reset()
    generator = np.random.default_rng(0)
    for t in range(50):
        actions = generator.integers(5, size=6)
        ours = env.step(actions)
        if not ours[4]["agents_that_decide"].any():
            assert t % 21 == 19
        if t % 21 == 20:
            for e, one in enumerate(slow.worlds):
                one.starts.append(task.state[:8, e].copy())
        theirs = slow.step(actions)
        for a, b in zip(ours[:4], theirs[:4], strict=True):
            assert np.array_equal(a, b)
        assert np.array_equal(ours[4]["agents_that_decide"], theirs[4]["agents_that_decide"])


def test_the_best_return_is_reached_and_no_plan_is_better() -> None:
    env: Any = make("clipper/Spread-v0", 40)
    env.reset(seed=1)
    state = env.unwrapped.task.state
    lamps, agents = (state[i : i + 4].T.reshape(-1, 2, 2).astype(int) for i in (0, 4))
    values = [values_of(pair) for pair in lamps]
    for pair, places, own in zip(lamps, agents, values, strict=True):
        best = own[20, places[0] @ (5, 1) * 25 + places[1] @ (5, 1)]
        assert best >= plan(pair, places)  # who passes over a lamp lights it on the way
    best, total = (
        np.array([own[20, p[0] @ (5, 1) * 25 + p[1] @ (5, 1)] for own, p in zip(values, agents, strict=True)]),
        0.0,
    )
    for t in range(20):
        places = state[4:8].T.reshape(-1, 2, 2).astype(int)
        actions = [best_moves(own[19 - t], pair, p) for own, pair, p in zip(values, lamps, places, strict=True)]
        total = total + env.step(np.array(actions).reshape(-1))[1][::2]
    assert np.array_equal(total, best)


def best_moves(value: np.ndarray, lamps: np.ndarray, places: np.ndarray) -> tuple[int, int]:
    """Both agents' moves with which the reward and the ``value`` after it are largest, found by trying all."""

    def worth(moves: tuple[int, int]) -> float:
        there = np.clip(places + np.array([STEPS[k] for k in moves]), 0, 4)
        lit = sum(any((place == lamp).all() for place in there) for lamp in lamps)
        return lit - 2 + float(value[there[0] @ (5, 1) * 25 + there[1] @ (5, 1)])

    return max(product(range(5), range(5)), key=worth)


def test_it_is_made_as_a_vector_environment_only() -> None:
    for wrong in ("size=1", "max_steps=0"):
        with pytest.raises(ConfigError, match="size of 2"):
            make(f"clipper/Spread-v0,{wrong}", 2)
    with pytest.raises(ConfigError, match="several agents"):
        make_single("clipper/Spread-v0")
    with pytest.raises(ConfigError, match="stepped together"):
        clipper.train("clipper/Spread-v0", vector="workers")
    env = make("clipper/Spread-v0,max_steps=3", 2)
    env.reset(seed=0)
    assert [env.step(np.zeros(4, np.int64))[3].all() for _ in range(4)] == [False, False, True, False]
    pictures: Any = env.render()
    picture = pictures[0]
    assert picture.shape == (300, 300, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def test_a_run_of_it_is_resumed_exactly(tmp_path: Any) -> None:
    algorithm = clipper.PPO(horizon=15, epochs=1)
    settings: Any = {"num_envs": 3, "policy": clipper.PolicyOptions(hidden=(8,))}
    whole = clipper.train("clipper/Spread-v0", algorithm, total_steps=400, **settings)
    clipper.train("clipper/Spread-v0", algorithm, total_steps=200, run_dir=tmp_path / "run", **settings)
    resumed = clipper.train(resume=tmp_path / "run", total_steps=400)
    assert resumed.steps == whole.steps
    assert torch.equal(whole.learner.parameters, resumed.learner.parameters)
    assert whole.rollouts.metrics == resumed.rollouts.metrics
