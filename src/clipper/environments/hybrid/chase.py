"""ChaseAndAttack-v0: run after a runner, and hit it three times.

Source: H-PPO (Fan et al. 2019, arXiv 1903.01344, section 5.1), whose environment was never released. This much is
published: rush into a direction or attack into one; the runner follows a rule and has three lives; an episode ends once
all are lost, or after a time; DQN's 30 actions are 15 directions of each; success 99.98 % and a mean reward of 5.39 for
H-PPO. The rest is chosen here, so results are comparable in kind only.

The field is [−1, 1]², in which agent and runner start uniformly. With b ∈ [−1, 1] and e(φ) = (cos φ, sin φ), a decision
is

    rush(b)     the agent moves by 0.1·e(πb)
    attack(b)   it stands and strikes: a hit if the runner is within 0.3, and within π/6 of the direction πb

and then the runner moves by 0.05; both stay in the field. ``reading`` is the runner's rule, on which the paper is
silent:

    1   straight away from the agent, always
    2   straight on, off the walls as a ball, and with probability 0.1 into a new direction, drawn uniformly
    3   straight away from an agent within 0.6, otherwise it stands

Reward: 2 for a hit (a mean of 5.39 with hardly a failure is a little less than three times that), −0.01 for each
decision. The third hit terminates and is success; decision 200 truncates.

Observation: the agent's place, the vector to the runner, its length and its direction φ/π (what b has to be), the
direction in which the runner went last as cosine and sine, and the lives left, of 3.
"""

from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, OneOf

from clipper.environments.hybrid.moving import OneOfAction
from clipper.environments.hybrid.picture import BLUE, GOLD, INK, RED, Picture
from clipper.errors import ConfigError

FIELD = 1.0
RUSH, ESCAPE = 0.1, 0.05  # ways per decision
REACH, WIDTH = 0.3, np.pi / 6
SIGHT = 0.6
TURNS = 0.1
LIVES = 3
PRIZE, COST = 2.0, 0.01
AWAY, WANDERS, WATCHES = 1, 2, 3


class ChaseAndAttack:
    """N fields."""

    fps: ClassVar[int] = 15

    def __init__(self, num_envs: int, reading: int = AWAY, max_steps: int = 200) -> None:
        if reading not in (AWAY, WANDERS, WATCHES):
            raise ConfigError(f"ChaseAndAttack: reading is {reading!r}, which rule the runner follows: write 1, 2 or 3")
        self.reading, self.max_steps = reading, max_steps
        self.single_observation_space = Box(-3, 3, (9,))
        self.single_action_space = OneOf([Box(-1, 1, (1,)), Box(-1, 1, (1,))])
        self.state = np.zeros((9, num_envs))
        """x, y, the runner's x and y, its direction, the direction of the last strike, lives, decisions, success."""

    def begin(self, count: int, generator: np.random.Generator) -> np.ndarray:
        places = generator.uniform(-FIELD, FIELD, (4, count))
        o = np.zeros(count)
        return np.stack([*places, generator.uniform(-np.pi, np.pi, count), o, o + LIVES, o, o])

    def step(
        self, action: OneOfAction, generator: np.random.Generator, over: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        choice, arguments = action
        agent, (strike, lives, steps, success) = self.state[0:2], self.state[5:]
        each = np.stack([argument[:, 0] for argument in arguments], dtype=np.float64)
        angle = np.pi * np.clip(each[choice, np.arange(len(choice))], -1, 1)
        direction = np.stack([np.cos(angle), np.sin(angle)])
        agent += np.where(choice == 0, RUSH * direction, 0)
        np.clip(agent, -FIELD, FIELD, out=agent)
        to = self.state[2:4] - agent
        apart = np.sqrt((to**2).sum(0))
        hit = (choice == 1) & (apart <= REACH) & ((to * direction).sum(0) >= apart * np.cos(WIDTH))
        strike[:] = angle
        lives -= hit
        steps += 1
        success[:] = lives <= 0
        self.escape(to, apart, generator)
        terminated = success > 0
        return PRIZE * hit - COST, terminated, (steps >= self.max_steps) & ~terminated

    def escape(self, to: np.ndarray, apart: np.ndarray, generator: np.random.Generator) -> None:
        """The runner's own step; ``to`` is the vector from the agent, ``apart`` its length."""
        runner, heading = self.state[2:4], self.state[4]
        moves = apart <= (SIGHT if self.reading == WATCHES else np.inf)
        if self.reading == WANDERS:
            turns = generator.random(len(heading)) < TURNS
            heading[:] = np.where(turns, generator.uniform(-np.pi, np.pi, len(heading)), heading)
        else:
            heading[:] = np.where(moves, np.arctan2(to[1], to[0]), heading)
        x, y = runner + np.where(moves, ESCAPE, 0) * np.stack([np.cos(heading), np.sin(heading)])
        if self.reading == WANDERS:  # off a wall, the angle of the reflected way
            heading[:] = np.where(np.abs(x) > FIELD, np.arctan2(np.sin(heading), -np.cos(heading)), heading)
            heading[:] = np.where(np.abs(y) > FIELD, -heading, heading)
        runner[:] = np.clip([x, y], -FIELD, FIELD)

    def observe(self) -> np.ndarray:
        x, y, runner_x, runner_y, heading, _, lives, _, _ = self.state
        to_x, to_y = runner_x - x, runner_y - y
        ahead = np.hypot(to_x, to_y), np.arctan2(to_y, to_x) / np.pi
        columns = x, y, to_x, to_y, *ahead, np.cos(heading), np.sin(heading), lives / LIVES
        return np.stack(columns, axis=1, dtype=np.float32, casting="same_kind")

    def info(self) -> dict[str, np.ndarray]:
        return {"is_success": self.state[8] > 0}

    def draw(self, i: int) -> np.ndarray:
        x, y, runner_x, runner_y, heading, strike, lives, steps, _ = self.state[:, i]
        picture = Picture(400, -1.1, 1.1, -1.1, 1.1)
        picture.ring(x, y, REACH, 0.01, BLUE, 0.5)
        picture.disc(x, y, 0.05, BLUE)
        if steps:
            picture.line(x, y, x + 0.12 * np.cos(strike), y + 0.12 * np.sin(strike), 0.02, INK)
        picture.disc(runner_x, runner_y, 0.05, RED)
        picture.arrow(runner_x, runner_y, heading, 0.08, 0.05, INK)
        for life in range(int(lives)):
            picture.disc(runner_x + 0.06 * (life - 1), runner_y + 0.1, 0.022, GOLD)
        return picture.frame()
