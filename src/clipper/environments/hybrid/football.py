"""HalfFieldFootball-v0: run to a ball and kick it into an empty goal.

Source: H-PPO (Fan et al. 2019, arXiv 1903.01344, section 5.1), whose environment was never released. This much is
published: dash with a power into a direction, turn, or kick with a power into a direction; no keeper; an episode ends
with a goal, the ball out of play, or after a time; DQN's 104 actions are 8 directions and 6 powers; success 95.39 % and
a mean reward of 9.849 for H-PPO. The rest is chosen here, so results are comparable in kind only.

Half a field, x ∈ [0, 52.5], |y| ≤ 34, the goal at x = 52.5, |y| ≤ 7.01; player and ball start uniformly in [5, 45] ×
[−25, 25], both at rest, the player looking anywhere. Numbers are those of RoboCup's simulator, without its noise. A
decision, with p ∈ [0, 1], b ∈ [−1, 1], the player's direction θ and velocity v, the ball's w, e(φ) = (cos φ, sin φ):

    dash(p, b)   v ← v + 0.6·p·q·e(θ + πb);  q is 1 forwards, 0.4 sideways, 0.6 backwards, and linear between
    turn(b)      θ ← θ + πb/(1 + 5·|v|)
    kick(p, b)   w ← w + 2.7·p·q·e(θ + πb) if the ball is within 1.085;
                 q = 1 − |angle to the ball from θ|/4π − (distance − 0.385)/2.8
    x ← x + v, v ← 0.4·v for the player, who stays in the field;  x ← x + w, w ← 0.94·w for the ball

with |v| ≤ 1.05 and |w| ≤ 3. A ball that leaves the field is a goal where it crosses the goal's line. ``reading`` is
that on which the paper is silent, the reward and what directions count from:

    1   the reward of Hausknecht and Stone 2016 (arXiv 1511.04143): d(ball, player) and three times d(ball, goal), as
        far as they fell, in units of 43 (half the field's diagonal); 1 when it is first within reach; 5 for a goal
    2   the same reward; dash and kick count directions from the field's x-axis, and q = 1 for each dash
    3   directions as in 1; 10 for a goal, and nothing else

All ends are terminations but for decision 200, which truncates. Success is a goal.

Observation, 16 numbers: the player's place and direction (x/52.5, y/34, cos θ, sin θ); in the frame of θ its velocity
and the ball's; distance to the ball, in units of 43, and its direction from θ as cosine and sine; the same of the goal;
is the ball within reach, and was it ever.
"""

from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, OneOf

from clipper.environments.hybrid.goal import LAWN, WHITE
from clipper.environments.hybrid.moving import OneOfAction
from clipper.environments.hybrid.picture import BLUE, INK, Picture
from clipper.errors import ConfigError

LENGTH, HALF_WIDTH, POST = 52.5, 34.0, 7.01
UNIT = 43.0  # of distances
DASH_RATE, KICK_RATE = 0.6, 2.7  # at full power
MAX_SPEED, MAX_BALL_SPEED = 1.05, 3.0
DECAY, BALL_DECAY = 0.4, 0.94
INERTIA = 5.0
TOUCH, MARGIN = 0.385, 0.7  # distance of centres that touch; what is still within reach beyond that
DASH, TURN, KICK = range(3)
BY_BODY, BY_FIELD, GOALS_ALONE = 1, 2, 3


class HalfFieldFootball:
    """N half fields."""

    fps: ClassVar[int] = 10

    def __init__(self, num_envs: int, reading: int = BY_BODY, max_steps: int = 200) -> None:
        if reading not in (BY_BODY, BY_FIELD, GOALS_ALONE):
            raise ConfigError(
                f"HalfFieldFootball: reading is {reading!r}, how the paper's reward and directions are meant: write "
                "1, 2 or 3"
            )
        self.reading, self.max_steps = reading, max_steps
        self.single_observation_space = Box(-np.inf, np.inf, (16,))
        powered = Box(np.array([0, -1], np.float32), np.array([1, 1], np.float32))
        self.single_action_space = OneOf([powered, Box(-1, 1, (1,)), powered])
        self.state = np.zeros((12, num_envs))
        """x, y, vx, vy, θ of the player; x, y, vx, vy of the ball; was it within reach; decisions; success."""

    def begin(self, count: int, generator: np.random.Generator) -> np.ndarray:
        low, high = (5, -25, 5, -25, -np.pi), (45, 25, 45, 25, np.pi)
        x, y, ball_x, ball_y, theta = generator.uniform(low, high, (count, 5)).T
        o = np.zeros(count)
        reached = np.hypot(ball_x - x, ball_y - y) <= TOUCH + MARGIN
        return np.stack([x, y, o, o, theta, ball_x, ball_y, o, o, reached, o, o])

    def step(
        self, action: OneOfAction, generator: np.random.Generator, over: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        theta, (reached, steps, success) = self.state[4], self.state[9:]
        before, was = self.distances(), reached.copy()
        self.act(*action)
        self.state[0:2] += self.state[2:4]
        self.state[0:2] = np.clip(self.state[0:2].T, (0, -HALF_WIDTH), (LENGTH, HALF_WIDTH)).T
        self.state[2:4] *= DECAY
        theta[:] = (theta + np.pi) % (2 * np.pi) - np.pi
        x, y, vx, vy = self.state[5:9]
        with np.errstate(divide="ignore", invalid="ignore"):
            crosses = y + vy * (LENGTH - x) / vx
        self.state[5:7] += self.state[7:9]
        self.state[7:9] *= BALL_DECAY
        steps += 1
        success[:] = (x > LENGTH) & (np.abs(crosses) <= POST)
        out = (x < 0) | (x > LENGTH) | (np.abs(y) > HALF_WIDTH)
        to_ball, to_goal = self.distances()
        reached[:] = np.maximum(reached, to_ball <= TOUCH + MARGIN)
        nearer = (before[0] - to_ball + 3 * (before[1] - to_goal)) / UNIT
        reward = 10 * success if self.reading == GOALS_ALONE else nearer + (reached - was) + 5 * success
        terminated = out | (success > 0)
        return reward, terminated, (steps >= self.max_steps) & ~terminated

    def act(self, choice: np.ndarray, arguments: tuple[np.ndarray, ...]) -> None:
        """Change velocities and the player's direction."""
        _, _, vx, vy, theta = self.state[0:5]
        dash, turn, kick = (argument.astype(np.float64) for argument in arguments)
        power = np.clip(np.where(choice == DASH, dash[:, 0], kick[:, 0]), 0, 1)
        side = np.clip(np.select([choice == DASH, choice == TURN], [dash[:, 1], turn[:, 0]], kick[:, 1]), -1, 1)
        angle = np.pi * side + (0 if self.reading == BY_FIELD else theta)
        direction = np.stack([np.cos(angle), np.sin(angle)])
        to = self.state[5:7] - self.state[0:2]
        distance = np.sqrt((to**2).sum(0))
        aside = np.abs(wrapped(np.arctan2(to[1], to[0]) - theta))
        straight = 1.0 if self.reading == BY_FIELD else np.interp(np.abs(side), (0, 0.5, 1), (1, 0.4, 0.6))
        kicks = (choice == KICK) & (distance <= TOUCH + MARGIN)
        effect = 1 - aside / (4 * np.pi) - np.maximum(distance - TOUCH, 0) / (4 * MARGIN)
        theta += np.where(choice == TURN, np.pi * side / (1 + INERTIA * np.hypot(vx, vy)), 0)
        self.state[2:4] += np.where(choice == DASH, DASH_RATE * power * straight, 0) * direction
        self.state[7:9] += np.where(kicks, KICK_RATE * power * effect, 0) * direction
        for rows, most in ((slice(2, 4), MAX_SPEED), (slice(7, 9), MAX_BALL_SPEED)):
            speed = np.sqrt((self.state[rows] ** 2).sum(0))
            self.state[rows] *= np.minimum(1, most / np.maximum(speed, 1e-9))

    def distances(self) -> tuple[np.ndarray, np.ndarray]:
        """From the ball to the player and to the middle of the goal, ``[N]`` each."""
        x, y = self.state[5:7]
        return np.hypot(x - self.state[0], y - self.state[1]), np.hypot(LENGTH - x, y)

    def observe(self) -> np.ndarray:
        x, y, vx, vy, theta, ball_x, ball_y, wx, wy, reached, _, _ = self.state
        cos, sin = np.cos(theta), np.sin(theta)
        columns = [x / LENGTH, y / HALF_WIDTH, cos, sin]
        for a, b in ((vx, vy), (wx, wy)):
            columns += [a * cos + b * sin, b * cos - a * sin]
        for a, b in ((ball_x - x, ball_y - y), (LENGTH - x, -y)):
            far = np.hypot(a, b)
            safe = np.maximum(far, 1e-9)
            columns += [far / UNIT, (a * cos + b * sin) / safe, (b * cos - a * sin) / safe]
        columns += [np.hypot(ball_x - x, ball_y - y) <= TOUCH + MARGIN, reached]
        return np.stack(columns, axis=1, dtype=np.float32, casting="same_kind")

    def info(self) -> dict[str, np.ndarray]:
        return {"is_success": self.state[11] > 0}

    def draw(self, i: int) -> np.ndarray:
        x, y, _, _, theta, ball_x, ball_y = self.state[:7, i]
        picture = Picture(420, -2, LENGTH + 5, -HALF_WIDTH - 2, HALF_WIDTH + 2, LAWN)
        for side in (-HALF_WIDTH, HALF_WIDTH):
            picture.line(0, side, LENGTH, side, 0.3, WHITE)
        for end in (0, LENGTH):
            picture.line(end, -HALF_WIDTH, end, HALF_WIDTH, 0.3, WHITE)
        picture.box(LENGTH, LENGTH + 2.44, -POST, POST, WHITE)
        picture.disc(x, y, 1.4, BLUE)
        picture.line(x, y, x + 2.4 * np.cos(theta), y + 2.4 * np.sin(theta), 0.5, INK)
        picture.disc(ball_x, ball_y, 0.7, WHITE)
        picture.ring(ball_x, ball_y, 0.7, 0.2, INK)
        return picture.frame()


def wrapped(angle: np.ndarray) -> np.ndarray:
    """The same angles within ±π."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
