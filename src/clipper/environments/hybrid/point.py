"""CatchingPoint-v0 and HardMove-v0: a point is pushed about, to be where the target is.

Source: HyAR (arXiv 2109.05490, github.com/TJU-DRL-LAB/self-supervised-rl, commit ece9562): its scenarios
``simple_catch``, after the Catching Point of arXiv 1903.01344 (whose code was never released), and
``simple_move_4_direction_v1``, with the ends of episodes that its training scripts set. Checked against it: 40,000
random decisions of each (n = 4) from the same generator, rewards and ends equal, observations to float32's rounding
(``tests/unit/environments/hybrid/make_golden.py``).

Point and target start uniformly in [−1, 1]², the point at rest; the plane has no border. One decision with the push u:

    v ← 0.75·v + 0.1·u,   x ← x + 0.1·v,   d = distance to the target after that

CatchingPoint: move(b), b ∈ [−1, 1], pushes with u = 2·(sin πb, cos πb); catch has u = 0. Reward −d²; a catch within
d ≤ 0.2 ends the episode with 20 more. After the eleventh catch that missed, the next decision ends it with reward 0.

HardMove: n actuators at the directions φᵢ = 2πi/n (cos and sin rounded to three decimals, as published) are each on or
off, and an acceleration b ∈ [−1, 1] is given: u = 2b·Σᵢ onᵢ·e(φᵢ)/c, where c is the greatest length of such a sum.
Reward −d²; d ≤ 0.2 ends the episode with 20 more. ``actions="published"`` is HyAR's set: one choice k of 2ⁿ, whose
binary digits are the switches, the most significant first, and 2ⁿ accelerations, of which the k-th counts.

Decision 25 (CatchingPoint) or 30 (HardMove) truncates: the numbers of HyAR's own runs; its baselines caught for up to
30. In both an observation is the velocity and the vector to the target. Success is the reward of 20.

Chosen here: ``actions="switches"``, HardMove's default, is n switches and one acceleration. Every push can be made with
either set, but the published one is harder to learn, since its size is the point of the task: results of the two are
not comparable.
"""

from functools import partial
from typing import ClassVar, Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, OneOf, Tuple

from clipper.data.tree_type import Tree
from clipper.environments.hybrid.moving import OneOfAction
from clipper.environments.hybrid.picture import BLUE, GREEN, INK, RED, Picture
from clipper.errors import ConfigError

DAMPING, DT, FORCE = 0.25, 0.1, 2.0
RADIUS = 0.2
PRIZE = 20.0

Pushes = tuple[np.ndarray, np.ndarray, np.ndarray]  # u_x, u_y, and who tries to catch, [N] each


@runtime_checkable
class Rule(Protocol):
    """What distinguishes the two tasks."""

    space: gymnasium.Space
    max_misses: float
    """Catches beyond the target's reach, after one more of which the episode is lost."""

    def push(self, action: Tree) -> Pushes:
        """The action's push, and who says that the target is within reach."""
        ...


class Point:
    """N points."""

    fps: ClassVar[int] = 10

    def __init__(self, num_envs: int, rule: Rule, max_steps: int) -> None:
        self.single_observation_space = Box(-10, 10, (4,))
        self.single_action_space = rule.space
        self.rule, self.max_steps = rule, max_steps
        self.state = np.zeros((9, num_envs))
        """x, y, vx, vy, the target's x and y, misses, decisions so far, success."""

    def begin(self, count: int, generator: np.random.Generator) -> np.ndarray:
        x, y, target_x, target_y = generator.uniform(-1, 1, (count, 4)).T
        o = np.zeros(count)
        return np.stack([x, y, o, o, target_x, target_y, o, o, o])

    def step(
        self, action: Tree, generator: np.random.Generator, over: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        place, velocity, target = self.state[0:2], self.state[2:4], self.state[4:6]
        misses, steps, success = self.state[6:]
        *push, catches = self.rule.push(action)
        velocity *= 1 - DAMPING
        velocity += np.stack(push) * DT
        place += velocity * DT
        squared = ((place - target) ** 2).sum(0)
        lost = misses > self.rule.max_misses
        success[:] = catches & (squared <= RADIUS**2) & ~lost
        misses += catches & (success == 0)
        steps += 1
        reward = np.where(lost, 0.0, PRIZE * success - squared)
        terminated = lost | (success > 0)
        return reward, terminated, (steps >= self.max_steps) & ~terminated

    def observe(self) -> np.ndarray:
        ahead = self.state[4:6] - self.state[0:2]
        return np.concatenate([self.state[2:4], ahead]).T.astype(np.float32)

    def info(self) -> dict[str, np.ndarray]:
        return {"is_success": self.state[8] > 0}

    def draw(self, i: int) -> np.ndarray:
        x, y, vx, vy, target_x, target_y, _, _, success = self.state[:, i]
        picture = Picture(400, -1.5, 1.5, -1.5, 1.5)
        picture.disc(target_x, target_y, RADIUS, GREEN, 0.75 if success else 0.3)
        picture.ring(target_x, target_y, RADIUS, 0.015, GREEN)
        picture.line(x, y, x + vx / 2, y + vy / 2, 0.02, RED)
        picture.disc(x, y, 0.05, BLUE)
        picture.disc(target_x, target_y, 0.015, INK)
        return picture.frame()


class Catch:
    """Move into a direction, or try to catch."""

    space: gymnasium.Space = OneOf([Box(-1, 1, (1,)), Discrete(1)])
    max_misses: float = 10

    def push(self, action: Tree) -> Pushes:
        choice, (direction, _) = action
        angle = np.pi * direction[:, 0].astype(np.float64)
        force = np.where(choice == 0, FORCE, 0.0)
        return force * np.sin(angle), force * np.cos(angle), choice == 1


class Actuators:
    """Switch on some of n actuators, and accelerate by what they add up to; to be there is enough."""

    max_misses: float = np.inf

    def __init__(self, actuators: int) -> None:
        self.space: gymnasium.Space = Tuple([MultiBinary(actuators), Box(-1, 1, (1,))])
        self.directions = directions(actuators)

    def push(self, action: Tree) -> Pushes:
        switches, acceleration = action
        u_x, u_y = FORCE * np.asarray(acceleration, dtype=np.float64)[:, 0] * (switches @ self.directions).T
        return u_x, u_y, np.ones(len(u_x), dtype=bool)


class Subsets:
    """Choose one of the 2ⁿ sets of actuators, each with an acceleration of its own: HyAR's actions."""

    max_misses: float = np.inf

    def __init__(self, actuators: int) -> None:
        sets = subsets(actuators)
        self.space: gymnasium.Space = OneOf([Box(-1, 1, (1,)) for _ in sets])
        self.directions = sets @ directions(actuators)

    def push(self, action: OneOfAction) -> Pushes:
        choice, accelerations = action
        own = np.concatenate(accelerations, axis=1)[np.arange(len(choice)), choice].astype(np.float64)
        u_x, u_y = FORCE * own * self.directions[choice].T
        return u_x, u_y, np.ones(len(u_x), dtype=bool)


def subsets(n: int) -> np.ndarray:
    """``[2ⁿ, n]``: which actuators are on by choice k, whose binary digits they are, the most significant first."""
    return (np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1


def directions(n: int) -> np.ndarray:
    """``[n, 2]``: what each actuator adds, scaled so that the longest of all sums has length 1."""
    angle = 2 * np.pi * np.arange(n) / n
    each = np.round(np.stack([np.cos(angle), np.sin(angle)], axis=1), 3)
    return each / np.linalg.norm(subsets(n) @ each, axis=1).max()


def hard_move(num_envs: int, actuators: int = 4, max_steps: int = 30, actions: str = "switches") -> Point:
    """N points with ``actuators`` (published: 4, 6, 8, 10); ``actions`` are ``switches`` or ``published``."""
    rules = {"switches": Actuators, "published": Subsets}
    if actions not in rules:
        raise ConfigError(f"HardMove's actions are switches or published, not {actions!r}")
    return Point(num_envs, rules[actions](actuators), max_steps)


CatchingPoint = partial(Point, rule=Catch(), max_steps=25)
