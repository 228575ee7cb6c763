"""The two tasks rebuilt from H-PPO's text: players with a script win them, and the dynamics are what is written."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import clipper
from clipper.errors import ConfigError

READINGS = (1, 2, 3)
Numbers = Any


def vector(name: str, n: int, **settings: Any) -> Any:
    envs: Any = gymnasium.make_vec(f"clipper/{name}-v0", n, **settings)
    envs.reset(seed=0)
    return envs


def of_choice(choice: Numbers, *arguments: Numbers) -> Any:
    """The choices of N copies, and the arguments of each branch, a column a number."""
    return np.asarray(choice), tuple(np.stack(columns, 1).astype(np.float32) for columns in arguments)


def play(envs: Any, player: Any, steps: int) -> tuple[Numbers, Numbers]:
    """Success and return of each copy's first episode."""
    obs = envs.reset(seed=1)[0]
    total, over = np.zeros(envs.num_envs), np.zeros(envs.num_envs, bool)
    success = np.zeros(envs.num_envs, bool)
    for _ in range(steps):
        obs, reward, terminated, truncated, info = envs.step(player(obs))
        total += np.where(over, 0, reward)
        success |= info["is_success"] & ~over
        over |= terminated | truncated
    assert over.all()
    return success, total


def chaser(obs: Numbers) -> Any:
    """Rush to the runner; strike where it stands, once it is near."""
    angle = np.arctan2(obs[:, 3], obs[:, 2]) / np.pi
    near = np.hypot(obs[:, 2], obs[:, 3]) < 0.25
    return of_choice(near.astype(int), [angle], [angle])


@pytest.mark.parametrize("reading", READINGS)
def test_a_chaser_with_a_script_hits_every_runner_three_times(reading: int) -> None:
    envs = vector("ChaseAndAttack", 256, reading=reading)
    success, total = play(envs, chaser, 200)
    assert success.all()
    assert (total > 6 - 0.01 * 200).all()
    assert (total <= 6 - 0.01 * 3).all()


def test_who_strikes_elsewhere_or_from_afar_hits_nothing() -> None:
    envs = vector("ChaseAndAttack", 4, reading=3)
    envs.task.state[:4] = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0.2, 0.2, 0, 0.31], [0, 0, -0.2, 0]])
    strikes = np.array([0.16, 0.17, -0.5, 0.0])  # π/6 is 0.1667 of π
    *_, reward, _, _, _ = envs.step(of_choice([1] * 4, [np.zeros(4)], [strikes]))
    assert reward == pytest.approx([1.99, -0.01, 1.99, -0.01])


def test_runners_follow_their_rule() -> None:
    """Away by 0.05; off the wall as light; still where nobody is near. A rush moves the agent by 0.1."""
    away, wanders, watches = (vector("ChaseAndAttack", 1, reading=n) for n in READINGS)
    for envs in (away, wanders, watches):
        envs.task.state[:5, 0] = [-0.5, 0, 0.3, 0, 0]
        envs.step(of_choice([0], [[0.5]], [[0.0]]))
        assert envs.task.state[:2, 0] == pytest.approx([-0.5, 0.1])
    angle = np.arctan2(-0.1, 0.8)
    assert away.task.state[2:4, 0] == pytest.approx([0.3 + 0.05 * np.cos(angle), 0.05 * np.sin(angle)])
    assert np.hypot(wanders.task.state[2, 0] - 0.3, wanders.task.state[3, 0]) == pytest.approx(0.05)
    assert watches.task.state[2:4, 0] == pytest.approx([0.3, 0])
    headings = vector("ChaseAndAttack", 4000, reading=2)
    headings.task.state[2:5] = [[0.99] * 4000, [0.0] * 4000, [0.3] * 4000]
    headings.step(of_choice([0] * 4000, [np.zeros(4000)], [np.zeros(4000)]))
    reflected = np.isclose(headings.task.state[4], np.pi - 0.3)
    assert reflected.mean() == pytest.approx(0.9, abs=0.03)


def footballer(by_field: bool) -> Any:
    """Turn to the ball and run to it; within reach of it, kick into the goal's middle."""

    def player(obs: Numbers) -> Any:
        body = np.arctan2(obs[:, 3], obs[:, 2])
        to_ball, to_goal = np.arctan2(obs[:, 10], obs[:, 9]), np.arctan2(obs[:, 13], obs[:, 12])
        within = obs[:, 14] > 0
        choice = np.where(within, 2, np.where(np.abs(to_ball) < 0.1, 0, 1))
        frame = body if by_field else 0.0
        ahead = ((to_ball + frame + np.pi) % (2 * np.pi) - np.pi) / np.pi
        aim = ((to_goal + frame + np.pi) % (2 * np.pi) - np.pi) / np.pi
        full = np.ones(len(obs))
        return of_choice(choice, [full, ahead], [ahead if not by_field else to_ball / np.pi], [full, aim])

    return player


@pytest.mark.parametrize("reading", READINGS)
def test_a_footballer_with_a_script_scores(reading: int) -> None:
    envs = vector("HalfFieldFootball", 256, reading=reading)
    success, total = play(envs, footballer(reading == 2), 200)
    assert success.all()
    if reading == 3:
        assert total == pytest.approx(10)


@pytest.mark.parametrize("reading", [1, 2])
def test_rewards_of_ways_add_up_to_what_lies_between_beginning_and_end(reading: int) -> None:
    """A sum of differences: that of the first and the last distances, and what is paid once."""
    envs = vector("HalfFieldFootball", 64, reading=reading)
    first = last = np.array(envs.task.distances())
    reached = within = envs.task.state[9].copy()
    total, over, generator = np.zeros(64), np.zeros(64, bool), np.random.default_rng(0)
    for _ in range(40):
        draws = generator.uniform(-1, 1, (5, 64))
        choice = generator.integers(0, 3, 64)
        action = of_choice(choice, [abs(draws[0]), draws[1]], [draws[2]], [abs(draws[3]), draws[4]])
        _, reward, terminated, truncated, _ = envs.step(action)
        total += np.where(over, 0, reward - 5 * (envs.task.state[11] > 0))
        last = np.where(over, last, envs.task.distances())
        within = np.where(over, within, envs.task.state[9])
        over |= terminated | truncated
    assert not over.all()
    assert total == pytest.approx((first - last)[0] / 43 + 3 * (first - last)[1] / 43 + within - reached)


def test_full_power_runs_a_metre_a_decision_and_a_kick_rolls_forty_five() -> None:
    """0.6 + 0.4·(0.6 + …) = 1; a ball that touches the foot ahead rolls by 2.7/(1 − 0.94) = 45."""
    envs = vector("HalfFieldFootball", 2)
    envs.task.state[:9, 0] = [1, 0, 0, 0, 0, 30, 20, 0, 0]
    envs.task.state[:9, 1] = [1, 0, 0, 0, 0, 1.385, 0, 0, 0]
    before = 0.0
    for t in range(100):
        before = envs.task.state[0, 0]
        envs.step(of_choice([0, 2 if t == 0 else 1], [[1, 1], [0, 0]], [[0, 0]], [[1, 1], [0, 0]]))
        if t == 20:
            assert envs.task.state[0, 0] - before == pytest.approx(1, abs=1e-6)
    assert envs.task.state[5, 1] == pytest.approx(1.385 + 45, abs=0.2)


def test_a_ball_over_the_line_between_the_posts_is_a_goal_and_elsewhere_out() -> None:
    envs = vector("HalfFieldFootball", 4, reading=3)
    envs.task.state[:9] = 0
    envs.task.state[5:9] = [[52, 52, 20, 1], [6.5, 6.5, 33.5, 0], [1, 1, 0, -2], [0, 1.2, 1, 0]]
    _, reward, terminated, truncated, info = envs.step(of_choice([1] * 4, [[0] * 4, [0] * 4], [[0] * 4], [[0] * 4] * 2))
    assert terminated.all()
    assert not truncated.any()
    assert info["is_success"].tolist() == [True, False, False, False]  # the second crosses at 6.5 + 0.6
    assert reward.tolist() == [10, 0, 0, 0]


@pytest.mark.parametrize("name", ["ChaseAndAttack", "HalfFieldFootball"])
def test_a_fourth_reading_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"reading is 4, .*: write 1, 2 or 3"):
        clipper.train(f"clipper/{name}-v0,reading=4", total_steps=1)
