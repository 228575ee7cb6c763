"""Goal-v0 and HardGoal-v0: get a ball past a keeper.

Source: gym-goal (github.com/cycraig/gym-goal, commit 8e142be), the task of Masson, Ranchod and Konidaris 2016 (arXiv
1509.01644); HardGoal's choices from HyAR (arXiv 2109.05490, github.com/TJU-DRL-LAB/self-supervised-rl, commit ece9562).
Checked against gym-goal: 6,000 random decisions from the same generator, ends equal, rewards to 1e-13, observations to
float32's rounding (``tests/unit/environments/hybrid/make_golden.py`` compares any number of them).

Half a field, x ∈ [0, 20], y ∈ [−15, 15]; the goal is x ∈ [20, 22.44], |y| ≤ 7.01. The player starts at x = 0 with y
uniform and the ball in front of it, the keeper between ball and goal. Small steps, with e(θ) = (cos θ, sin θ):

    player: kicks if the ball is within 1.6, with a = 0.06·(target − player) − v_ball, power p = |a|/(q·0.027) within
        ±100 and q = 1 − |angle to the ball − orientation|/4π − distance/6.4: the ball accelerates by p·q along a;
        else turns to the ball, by the angle/(1 + 5·speed), or, where that is within π/8, accelerates by 10
    keeper: accelerates by 20 to the nearest point of a shot's line, if that line enters the goal (or misses it by less
        than 2); else by 8 to where the ball will rest
    accelerate by p along θ: v ← v + p·rate·e((1 + ε)·θ) + noise, the acceleration and v within ±max per component;
        ε ~ U(±n), noise ~ U(±n·|v|); rate, n, max: 0.006, 0.1, 1 for players, 0.027, 0.05, 2.7 for the ball.
        The angle's noise is multiplicative.
    all: x ← x + v, v ← decay·v (0.4 for players, 0.94 for the ball); those that overlap (radii 0.9, the ball's 0.4) are
        put apart and turn back

One decision is *kick to* (x, y), until the ball is slow and within reach again, or *shoot* at height h of the goal's
line, until the episode ends. As in the original, a kick's target is (x, x): its y is not read. Reward: 50 in the net;
minus the distance to the goal when the keeper is within 2 of the ball, the ball leaves the field, or at decision 100;
else 0. All ends are terminations. Success is a return above 0.

Arguments: kick to [0, 40] × [−15, 15], most of which is out of the field; shoot left and shoot right h ∈ ±7.01, which
do the same. HardGoal: kick to, and each of the two shots five times, with h in [−7.01, −4.21], [−4.21, −1.40], at 1.40
(the third range in HyAR's code is that single height: kept), in [1.40, 4.21], [4.21, 7.01].

Observation, 17 numbers: position, velocity and orientation of the player, the same of the keeper, position and velocity
of the ball, the direction from keeper to ball, and where the line from the ball through the keeper meets the goal's
line (within [−7.01, 14.02], as published); the last three are those of MP-DQN's and HyAR's wrapper.

Chosen here: the number of small steps, the other half of the original's observation, is left out; a decision ends after
10,000 small steps, so that arguments that are no numbers cannot run for ever.
"""

from functools import partial
from typing import ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, OneOf

from clipper.environments.hybrid.kernels.goal import (
    BALL,
    CATCHABLE,
    GOAL_DEPTH,
    KEEPER,
    KICKABLE,
    LINE,
    PITCH_LENGTH,
    PITCH_WIDTH,
    POST,
    ROUND,
    SIZE,
    SUCCESS,
    decide,
)
from clipper.environments.hybrid.moving import OneOfAction
from clipper.environments.hybrid.picture import BLUE, INK, RED, Picture

BOX_DEPTH, BOX_WIDTH = 5.5, 18.32  # of the keeper's area
LAWN, WHITE = (86, 140, 82), (240, 240, 236)


class Goal:
    """N fields; ``shots`` are the ranges of height of each choice to shoot."""

    fps: ClassVar[int] = 2

    def __init__(self, num_envs: int, shots: tuple[tuple[float, float], ...]) -> None:
        half = PITCH_WIDTH / 2
        kick = Box(np.array([0, -half], np.float32), np.array([PITCH_LENGTH, half], np.float32))
        shoot: list[gymnasium.Space] = [Box(low, high, (1,)) if low < high else Discrete(1) for low, high in shots]
        self.single_observation_space = Box(-np.inf, np.inf, (17,))
        self.single_action_space = OneOf([kick, *shoot])
        self.low, self.high = np.array([(0, PITCH_LENGTH), *shots]).T
        self.state = np.zeros((16, num_envs))
        """x, y, vx, vy and orientation of player and keeper; x, y, vx, vy of the ball; decisions so far; success."""

    def begin(self, count: int, generator: np.random.Generator) -> np.ndarray:
        y = generator.uniform(-PITCH_WIDTH / 2, PITCH_WIDTH / 2, count)
        angle = np.arctan2(-y, LINE)
        reach = KICKABLE - 1e-12  # within reach whatever the rounding
        ball_x, ball_y = reach * np.cos(angle), y + reach * np.sin(angle)
        slope = -ball_y / (LINE - ball_x)
        keeper_x = np.full(count, LINE - BOX_DEPTH)
        keeper_y = np.clip(slope * keeper_x + ball_y - slope * ball_x, -BOX_WIDTH / 2, BOX_WIDTH / 2)
        looks = np.arctan2(ball_y - keeper_y, ball_x - keeper_x)
        o = np.zeros(count)
        return np.stack([o, y, o, o, angle, keeper_x, keeper_y, o, o, looks, ball_x, ball_y, o, o, o, o])

    def step(
        self, action: OneOfAction, generator: np.random.Generator, over: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        choice = action[0].astype(np.int64)
        each = np.stack([argument.reshape(len(choice), -1)[:, 0] for argument in action[1]], dtype=np.float64)
        aim = np.clip(each[choice, np.arange(len(choice))], self.low[choice], self.high[choice])
        kicks = choice == 0
        reward, terminated = np.zeros(len(choice)), np.zeros(len(choice), dtype=bool)
        target_x = np.where(kicks, aim, LINE + ROUND[SIZE])
        decide(self.state, kicks, target_x, aim, generator, over, reward, terminated)
        return reward, terminated, np.zeros_like(terminated)

    def observe(self) -> np.ndarray:
        keeper_x, keeper_y = self.state[KEEPER : KEEPER + 2]
        ball_x, ball_y = self.state[BALL : BALL + 2]
        apart = np.sqrt((ball_x - keeper_x) ** 2 + (ball_y - keeper_y) ** 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            direction = (ball_x - keeper_x) / apart, (ball_y - keeper_y) / apart
            slope = (keeper_y - ball_y) / (keeper_x - ball_x)
            meets = np.clip(slope * PITCH_LENGTH / 2 + ball_y - slope * ball_x, -POST, 2 * POST)
        meets = np.where(keeper_x == ball_x, np.where(keeper_y < ball_y, -POST, POST), meets)
        return np.stack([*self.state[:14], *direction, meets], axis=1, dtype=np.float32, casting="same_kind")

    def info(self) -> dict[str, np.ndarray]:
        return {"is_success": self.state[SUCCESS] > 0}

    def draw(self, i: int) -> np.ndarray:
        half = PITCH_WIDTH / 2
        picture = Picture(480, -1, LINE + GOAL_DEPTH + 0.5, -half - 0.5, half + 0.5, LAWN)
        for y in (-half, half):
            picture.line(0, y, LINE, y, 0.15, WHITE)
        picture.line(LINE, -half, LINE, half, 0.15, WHITE)
        picture.line(LINE - BOX_DEPTH, -BOX_WIDTH / 2, LINE - BOX_DEPTH, BOX_WIDTH / 2, 0.1, WHITE)
        picture.box(LINE, LINE + GOAL_DEPTH, -POST, POST, WHITE)
        for body, colour, reach in ((0, BLUE, KICKABLE), (KEEPER, RED, CATCHABLE)):
            x, y, _, _, angle = self.state[body : body + 5, i]
            picture.ring(x, y, reach, 0.08, WHITE, 0.6)
            picture.disc(x, y, 0.9, colour)
            picture.line(x, y, x + 0.9 * np.cos(angle), y + 0.9 * np.sin(angle), 0.2, WHITE)
        x, y = self.state[BALL : BALL + 2, i]
        picture.disc(x, y, ROUND[SIZE], INK)
        return picture.frame()


FIFTHS = tuple((POST * low, POST * high) for low, high in ((-1, -0.6), (-0.6, -0.2), (0.2, 0.2), (0.2, 0.6), (0.6, 1)))
Plain = partial(Goal, shots=((-POST, POST),) * 2)
Hard = partial(Goal, shots=FIFTHS * 2)
