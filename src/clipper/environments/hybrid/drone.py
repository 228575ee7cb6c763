"""Drone-v0: two rotors carry a drone to a point, where it hovers.

Our own task, the planar quadrotor of textbooks (Underactuated Robotics, chapter 3), in the place of "drone fly" of the
course PPO × Family, which needs a three-dimensional simulator. The drone is a rod with a rotor at either end, at x and
y with velocity v, tilted by θ, turning with ω; thrusts are accelerations. One decision of Δt = 0.05 s, with actions
a ∈ [−1, 1]², of the left and the right rotor, and g = 9.81:

    Tᵢ = g·(1 + aᵢ)/2           full power is twice the weight, and a = 0 carries it
    vₓ ← vₓ − Δt·(T₁ + T₂)·sin θ,   v_y ← v_y + Δt·((T₁ + T₂)·cos θ − g),   ω ← ω + Δt·1.5·(T₂ − T₁)
    (x, y) ← (x, y) + Δt·v,   θ ← θ + Δt·ω

Drone and target start uniformly in [−1, 1]², at rest, θ uniformly within ±0.3. With d the distance to the target after
the decision, each pays (1 − d/2)/200, or 0 beyond 2: a return is between 0 and 1. To leave [−2, 2]² or to tilt beyond
π/2 is a crash, which terminates; decision 200, after 10 s, truncates. Success is d < 0.1 and a speed below 0.2, at the
end.

Observation: the vector to the target, the velocity, sin θ and cos θ, ω.
"""

from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box

from clipper.environments.hybrid.picture import BLUE, GREEN, GREY, INK, RED, Picture

DT, GRAVITY, TORQUE = 0.05, 9.81, 1.5
START, FIELD, TILT = 1.0, 2.0, 0.3
NEAR, SLOW = 0.1, 0.2


class Drone:
    """N drones."""

    fps: ClassVar[int] = 20

    def __init__(self, num_envs: int, max_steps: int = 200) -> None:
        self.max_steps = max_steps
        self.single_observation_space = Box(-np.inf, np.inf, (7,))
        self.single_action_space = Box(-1, 1, (2,))
        self.state = np.zeros((12, num_envs))
        """x, y, vx, vy, θ, ω, the target's x and y, both thrusts, decisions so far, success."""

    def begin(self, count: int, generator: np.random.Generator) -> np.ndarray:
        x, y, target_x, target_y = generator.uniform(-START, START, (4, count))
        theta, o = generator.uniform(-TILT, TILT, count), np.zeros(count)
        return np.stack([x, y, o, o, theta, o, target_x, target_y, o, o, o, o])

    def step(
        self, action: np.ndarray, generator: np.random.Generator, over: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        place, velocity, (theta, omega), target = (self.state[i : i + 2] for i in (0, 2, 4, 6))
        steps, success = self.state[10:]
        left, right = GRAVITY * (1 + np.clip(action.T.astype(np.float64), -1, 1)) / 2
        self.state[8:10] = left, right
        velocity += DT * np.stack([-(left + right) * np.sin(theta), (left + right) * np.cos(theta) - GRAVITY])
        omega += DT * TORQUE * (right - left)
        place += DT * velocity
        theta += DT * omega
        steps += 1
        distance = np.sqrt(((place - target) ** 2).sum(0))
        terminated = (np.abs(place) > FIELD).any(0) | (np.abs(theta) > np.pi / 2)
        success[:] = (distance < NEAR) & (np.sqrt((velocity**2).sum(0)) < SLOW) & ~terminated
        reward = np.maximum(1 - distance / 2, 0) / self.max_steps
        return reward, terminated, (steps >= self.max_steps) & ~terminated

    def observe(self) -> np.ndarray:
        x, y, vx, vy, theta, omega, target_x, target_y = self.state[:8]
        columns = target_x - x, target_y - y, vx, vy, np.sin(theta), np.cos(theta), omega
        return np.stack(columns, axis=1, dtype=np.float32, casting="same_kind")

    def info(self) -> dict[str, np.ndarray]:
        return {"is_success": self.state[11] > 0}

    def draw(self, i: int) -> np.ndarray:
        x, y, _, _, theta, _, target_x, target_y, left, right, _, _ = self.state[:, i]
        picture = Picture(400, -FIELD, FIELD, -FIELD, FIELD)
        picture.line(-START, -FIELD, -START, FIELD, 0.01, GREY)
        picture.line(START, -FIELD, START, FIELD, 0.01, GREY)
        picture.disc(target_x, target_y, NEAR, GREEN, 0.4)
        picture.ring(target_x, target_y, NEAR, 0.02, GREEN)
        along, up = np.array([np.cos(theta), np.sin(theta)]), np.array([-np.sin(theta), np.cos(theta)])
        arm = 0.2 * along
        picture.line(x - arm[0], y - arm[1], x + arm[0], y + arm[1], 0.04, BLUE)
        for end, thrust in ((np.array([x, y]) - arm, left), (np.array([x, y]) + arm, right)):
            below, blade = end - 0.3 * thrust / GRAVITY * up, 0.08 * along
            (a, b), (c, d), (e, f) = end, below, end + 0.04 * up
            picture.line(a, b, c, d, 0.03, RED)
            picture.line(e - blade[0], f - blade[1], e + blade[0], f + blade[1], 0.02, INK)
        picture.disc(x, y, 0.05, INK)
        return picture.frame()
