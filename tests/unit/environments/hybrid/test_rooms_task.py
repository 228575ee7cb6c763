"""Rooms-v0: by breadth-first search over the environment's own steps, and over a map of its cells, it can be solved."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import clipper
from clipper.errors import ConfigError

State = tuple[float, ...]
ACTIONS = np.arange(6)


def after(task: Any, state: State) -> dict[int, State]:
    """What each of the six actions makes of a state: x, y, has the key, the door is open."""
    task.state[:] = 0
    task.state[:4] = np.array(state)[:, None]
    _, terminated, _ = task.step(ACTIONS, np.random.default_rng(0), np.zeros(6, bool))
    return {a: (*task.state[:4, a], float(terminated[a])) for a in range(6)}


def searched(task: Any, start: State) -> list[int]:
    """The actions of a shortest way to the goal, by trying all of them from every state that can be reached."""
    came, frontier = {start: (start, -1)}, [start]
    while frontier:
        following = []
        for state in frontier:
            for action, (*place, over) in after(task, state).items():
                there = tuple(place)
                if over:
                    return [*way_to(came, start, state), action]
                if there not in came:
                    came[there] = (state, action)
                    following.append(there)
        frontier = following
    raise AssertionError("the goal cannot be reached")


def way_to(came: dict[State, tuple[State, int]], start: State, end: State) -> list[int]:
    """The actions that led from the start to a state."""
    way: list[int] = []
    while end != start:
        end, action = came[end]
        way.append(action)
    return way[::-1]


def apart(free: np.ndarray, start: Any, end: Any) -> int:
    """Steps from one cell to another over a map of free cells."""
    reached, steps = {tuple(start)}, 0
    while tuple(end) not in reached:
        steps += 1
        around = {(x + dx, y + dy) for x, y in reached for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))}
        reached |= {p for p in around if 0 <= p[0] < free.shape[0] and 0 <= p[1] < free.shape[1] and free[p]}
        assert steps < free.size
    return steps


@pytest.mark.parametrize(("size", "layout"), [(4, 0), (2, 3), (3, 1)])
def test_the_shortest_way_by_search_is_the_sum_of_three_ways_on_the_map(size: int, layout: int) -> None:
    """To the key, which is taken; to the door, which is opened; through it to the goal. No other way is shorter."""
    envs: Any = gymnasium.make_vec("clipper/Rooms-v0", 6, size=size, layout=layout)
    envs.reset(seed=0)
    task, lengths = envs.unwrapped.task, []
    closed = task.free.copy()
    closed[tuple(task.door)] = False
    before = task.door[0] + 1, task.door[1]
    for x, y in ((size + 1, 0), (2 * size, size - 1)):
        expected = apart(closed, (x, y), task.key) + 1 + apart(closed, task.key, before) + 1
        expected += apart(task.free, before, task.goal)
        way = searched(task, (x, y, 0.0, 0.0))
        assert len(way) == expected
        lengths.append(expected)
    assert max(lengths) < 400
    if (size, layout) == (4, 0):
        every = [
            apart(closed, (x, y), task.key) + 2 + apart(closed, task.key, before) + apart(task.free, before, task.goal)
            for x in range(size + 1, 2 * size + 1) for y in range(size)
        ]  # fmt: skip
        assert (min(every), max(every)) == (43, 49)


def test_a_shortest_way_is_paid_one_and_masked_nowhere() -> None:
    envs: Any = gymnasium.make_vec("clipper/Rooms-v0", 6)
    envs.reset(seed=0)
    env: Any = gymnasium.make("clipper/Rooms-v0")
    obs, info = env.reset(seed=3)
    way, total = searched(envs.unwrapped.task, (*env.unwrapped.task.state[:2, 0], 0.0, 0.0)), 0.0
    terminated = truncated = False
    for action in way:
        assert not terminated
        assert info["action_mask"][action]
        obs, reward, terminated, truncated, info = env.step(action)
        total += reward
    assert terminated
    assert not truncated
    assert info["is_success"]
    assert total == 1
    assert obs[-2:].tolist() == [1, 1]


def test_an_action_changes_something_exactly_if_the_mask_allows_it() -> None:
    """In every state: each free cell, with and without the key, the door open or not."""
    envs: Any = gymnasium.make_vec("clipper/Rooms-v0", 6, size=3, layout=2)
    envs.reset(seed=0)
    task = envs.unwrapped.task
    for x, y in np.argwhere(task.free):
        for has, opened in ((0, 0), (1, 0), (1, 1)):
            state = (float(x), float(y), float(has), float(opened))
            task.state[:4] = np.array(state)[:, None]
            mask = task.mask()[0]
            changed = [there[:4] != state for there in after(task, state).values()]
            assert changed == mask.tolist()
            assert mask[:4].any() or (x, y) == tuple(task.door)


def test_nobody_gets_there_at_random() -> None:
    """Uniform valid actions, 64 episodes to the end: nothing is paid, and decision 400 truncates."""
    envs: Any = gymnasium.make_vec("clipper/Rooms-v0", 64)
    _, info = envs.reset(seed=0)
    generator, total, truncated = np.random.default_rng(0), 0.0, np.zeros(64, bool)
    for t in range(400):
        assert not truncated.any(), t
        drawn = np.where(info["action_mask"], generator.random((64, 6)), -1).argmax(1)
        _, reward, _, truncated, info = envs.step(drawn)
        total += reward.sum()
    assert truncated.all()
    assert total == 0


def test_rooms_have_a_size() -> None:
    with pytest.raises(ConfigError, match="a size of 2"):
        gymnasium.make("clipper/Rooms-v0", size=1)


def test_rooms_are_explored_with_masks() -> None:
    algorithm = clipper.Exploring(clipper.PPO(horizon=8, epochs=1), clipper.bonuses.RND(4, (4,)), prime=16)
    run = clipper.train("clipper/Rooms-v0,size=2", algorithm, num_envs=4, total_steps=64)
    assert run.policy.masked
