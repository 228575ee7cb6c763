"""Drone-v0: its equations against a finer integration, and a controller of textbooks that hovers at the target."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import clipper  # noqa: F401 (registers the environments)

G, DT = 9.81, 0.05


def drones(n: int) -> Any:
    envs: Any = gymnasium.make_vec("clipper/Drone-v0", n)
    envs.reset(seed=0)
    return envs


def controller(obs: np.ndarray) -> np.ndarray:
    """A wish for an acceleration from place and velocity, the tilt that points there, and the torque that tilts so."""
    dx, dy, vx, vy, sin, cos, omega = obs.astype(np.float64).T
    wish_x, wish_y = np.clip(3 * dx - 3 * vx, -4, 4), np.clip(6 * dy - 4.5 * vy, -6, 6)
    theta = np.arctan2(sin, cos)
    tilt = np.clip(np.arctan2(-wish_x, G + wish_y), -0.7, 0.7)
    total = np.clip((G + wish_y) / np.maximum(cos, 0.3), 0, 2 * G)
    turn = np.clip((60 * (tilt - theta) - 13 * omega) / 1.5, -G, G)
    thrust = np.stack([total - turn, total + turn], 1) / 2
    return np.clip(2 * thrust / G - 1, -1, 1).astype(np.float32)


def test_a_controller_hovers_at_the_target() -> None:
    envs, total = drones(200), np.zeros(200)
    obs, info = envs.reset(seed=1)
    for t in range(200):
        obs, reward, terminated, truncated, info = envs.step(controller(obs))
        total += reward
        assert not terminated.any()
        assert truncated.all() == (t == 199)
    assert info["is_success"].all()
    assert 0.9 < total.mean() < 0.97


def test_half_thrust_carries_the_weight_and_none_falls() -> None:
    """Without a tilt: x stays, and yₙ = y − g Δt² n (n + 1)/2 with thrust 0."""
    envs = drones(2)
    envs.task.state[:] = 0
    envs.task.state[1] = [0.0, 1.5]
    for _ in range(10):
        envs.step(np.array([[0, 0], [-1, -1]], np.float32))
    assert envs.task.state[:2, 0] == pytest.approx([0, 0])
    assert envs.task.state[1, 1] == pytest.approx(1.5 - G * DT**2 * 55)


def test_the_right_rotor_tilts_to_the_left_and_a_tilt_pushes_there() -> None:
    envs = drones(1)
    envs.task.state[:] = 0
    envs.step(np.array([[-0.2, 0.2]], np.float32))
    x, _, vx, _, theta, omega = envs.task.state[:6, 0]
    assert omega == pytest.approx(DT * 1.5 * 0.2 * G)  # T₂ − T₁ = g (0.2 + 0.2)/2
    assert theta == pytest.approx(DT * omega)
    assert (x, vx) == (0, 0)
    envs.step(np.zeros((1, 2), np.float32))
    assert envs.task.state[2, 0] == pytest.approx(-DT * G * np.sin(theta))


def test_a_return_is_what_the_distances_say_and_a_crash_ends_it() -> None:
    envs = drones(3)
    envs.task.state[:] = 0
    envs.task.state[0], envs.task.state[6] = [0, 1.999, 0], [1, 1.999, 0]
    envs.task.state[2], envs.task.state[4] = [0, 1, 0], [0, 0, 1.6]
    _, reward, terminated, truncated, info = envs.step(np.zeros((3, 2), np.float32))
    assert reward[0] == pytest.approx(0.5 / 200)
    assert terminated.tolist() == [False, True, True]
    assert not truncated.any()
    assert not info["is_success"][1:].any()
