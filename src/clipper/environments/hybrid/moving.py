"""Moving-v0 and Sliding-v0: steer a vehicle onto a target and stop there.

Source: gym-hybrid (github.com/thomashirtz/gym-hybrid, commit 2256181), after a task of arXiv 1903.01344, section 5.1.
Checked against it: 40,000 random decisions of each task from the same generator, ends equal, rewards to 1e-15,
observations to float32's rounding (``tests/unit/environments/hybrid/make_golden.py`` compares any number of them).

The field is [−1, 1]². The target lies uniformly in [−0.9, 0.9]², the agent starts uniformly in the field with a uniform
direction θ and speed v = 0. One decision, with Δt = 0.005 and arguments a ∈ [0, 1], b ∈ [−1, 1]:

    accelerate(a)   Moving:  v ← v + a/2
                    Sliding: (v, φ) ← polar form of v·e(φ) + a/2·e(θ)
    turn(b)         θ ← (θ + b·π/2) mod 2π
    brake           v ← v − 0.1, or 0 where v < 0.1; Sliding: φ ← θ once v = 0
    (x, y) ← (x, y) + Δt·v·e(θ), for Sliding e(φ), where e(α) = (cos α, sin α)

Let d be the distance to the target after the decision and d′ that before. Reward d′ − d − 0.001, and 1 more with which
the episode ends where d < 0.1 and v = 0. Leaving the field or decision 201 end it with reward −1 instead of all that;
both are terminations, since time is part of the observation. A sound agent's mean return is about 1.9.

Chosen here: bounds of the observation space that hold (the original's are inverted), and brake's argument, which is
``Discrete(1)``: nothing to decide. The original's observation has θ, but not φ; ``Sliding-v0,velocity=true`` adds
v·e(φ), without which an agent that turns while it slides cannot know where to.
"""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, OneOf

from clipper.environments.hybrid.picture import BLUE, GREEN, INK, RED, Picture

FIELD = 1.0
RADIUS = 0.1
MAX_TURN = np.pi / 2
MAX_ACCELERATION = 0.5
BRAKE = 0.1
DT = 0.005
MAX_STEPS = 200
PENALTY = 0.001

ACCELERATE, TURN, STOP = range(3)
LOW = (-2, -2, 0, -1, -1, -1, -1, 0, 0, 0)
HIGH = (2, 2, 101, 1, 1, 1, 1, 5, 1, 2)

OneOfAction = tuple[np.ndarray, tuple[np.ndarray, ...]]
Drive = Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]


class Vehicles:
    """N vehicles; ``drive`` says what an action does to their speed and directions."""

    fps: ClassVar[int] = 30

    def __init__(self, num_envs: int, drive: Drive, velocity: bool = False) -> None:
        more = (HIGH[2],) * 2 if velocity else ()
        low, high = (*LOW, *(-x for x in more)), (*HIGH, *more)
        self.velocity = velocity
        """Does the observation end with v·e(φ)?"""
        self.single_observation_space = Box(np.array(low, np.float32), np.array(high, np.float32))
        self.single_action_space: gymnasium.Space = OneOf([Box(0, 1, (1,)), Box(-1, 1, (1,)), Discrete(1)])
        self.drive = drive
        self.state = np.zeros((9, num_envs))
        """x, y, v, θ, φ, the target's x and y, decisions so far, whether the agent stopped at the target."""

    def begin(self, count: int, generator: np.random.Generator) -> np.ndarray:
        limit = FIELD - RADIUS
        low = [-limit, -limit, RADIUS, -FIELD, -FIELD, 0]
        high = [limit, limit, RADIUS, FIELD, FIELD, 2 * np.pi]
        target_x, target_y, _, x, y, theta = generator.uniform(low, high, (count, 6)).T
        nothing = np.zeros(count)
        return np.stack([x, y, nothing, theta, theta, target_x, target_y, nothing, nothing])

    def step(
        self, action: OneOfAction, generator: np.random.Generator, over: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        choice, arguments = action
        x, y, speed, theta, phi, _, _, steps, success = self.state
        before = self.distance()
        push = MAX_ACCELERATION * np.clip(arguments[0][:, 0], 0, 1, dtype=np.float64)
        turn = MAX_TURN * np.clip(arguments[1][:, 0], -1, 1, dtype=np.float64)
        speed[:], theta[:], phi[:] = self.drive(choice, push, turn, speed, theta, phi)
        x += DT * speed * np.cos(phi)
        y += DT * speed * np.sin(phi)
        steps += 1
        distance = self.distance()
        stopped = (distance < RADIUS) & (speed == 0)
        success[:] = stopped
        lost = ~stopped & ((np.abs(x) > FIELD) | (np.abs(y) > FIELD) | (steps > MAX_STEPS))
        reward = np.where(lost, -1.0, before - distance - PENALTY + stopped)
        return reward, stopped | lost, np.zeros_like(lost)

    def distance(self) -> np.ndarray:
        """From the agents to their targets, ``[N]``."""
        x, y, _, _, _, target_x, target_y, _, _ = self.state
        return np.sqrt((x - target_x) ** 2 + (y - target_y) ** 2)

    def observe(self) -> np.ndarray:
        x, y, speed, theta, phi, target_x, target_y, steps, _ = self.state
        distance = self.distance()
        inside = distance <= RADIUS
        direction = np.cos(theta), np.sin(theta)
        columns = (x, y, speed, *direction, target_x, target_y, distance, inside, steps / MAX_STEPS)
        if self.velocity:
            columns = (*columns, speed * np.cos(phi), speed * np.sin(phi))
        return np.stack(columns, axis=1, dtype=np.float32, casting="same_kind")

    def info(self) -> dict[str, np.ndarray]:
        return {"is_success": self.state[8] > 0}

    def draw(self, i: int) -> np.ndarray:
        x, y, speed, theta, phi, target_x, target_y, _, _ = self.state[:, i]
        picture = Picture(400, -FIELD, FIELD, -FIELD, FIELD)
        picture.disc(target_x, target_y, RADIUS, GREEN, 0.35)
        picture.ring(target_x, target_y, RADIUS, 0.012, GREEN)
        ahead = x + 0.1 * speed * np.cos(phi), y + 0.1 * speed * np.sin(phi)
        picture.line(x, y, *ahead, 0.015, RED)
        picture.disc(x, y, 0.05, BLUE)
        picture.arrow(x, y, theta, 0.09, 0.06, INK)
        return picture.frame()


def roll(
    choice: np.ndarray, push: np.ndarray, turn: np.ndarray, speed: np.ndarray, theta: np.ndarray, phi: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Moving: the agent goes where it looks, φ = θ. Returns v, θ and φ after the action, ``[N]`` each."""
    speed = np.where(choice == ACCELERATE, speed + push, brake(choice, speed))
    theta = np.where(choice == TURN, (theta + turn) % (2 * np.pi), theta)
    return speed, theta, theta


def slide(
    choice: np.ndarray, push: np.ndarray, turn: np.ndarray, speed: np.ndarray, theta: np.ndarray, phi: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sliding: v·e(φ) + push·e(θ), so the agent goes on where it was going. Returns v, θ and φ, ``[N]`` each."""
    along, across = speed * np.cos(phi - theta), speed * np.sin(phi - theta)
    pushed = np.sqrt(push**2 + speed**2 + 2 * push * along)
    speed = np.where(choice == ACCELERATE, pushed, brake(choice, speed))
    phi = np.where(choice == ACCELERATE, theta + np.arctan2(across, push + along), phi)
    phi = np.where((choice == STOP) & (speed == 0), theta, phi)
    theta = np.where(choice == TURN, (theta + turn) % (2 * np.pi), theta)
    return speed, theta, phi


def brake(choice: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """V − 0.1, or 0 where v < 0.1, for those that chose to brake."""
    slower = np.where(speed < BRAKE, 0, speed - BRAKE)
    return np.where(choice == STOP, slower, speed)


Moving = partial(Vehicles, drive=roll)
Sliding = partial(Vehicles, drive=slide)
