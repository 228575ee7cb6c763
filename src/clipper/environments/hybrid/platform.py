"""Platform-v0: run and jump over two gaps, past two enemies.

Source: gym-platform (github.com/cycraig/gym-platform, commit e932987), the task of Masson, Ranchod and Konidaris 2016
(arXiv 1509.01644). Checked against it: 20,000 random decisions from the same generator, with observations, rewards and
ends bit-equal (``tests/unit/environments/hybrid/make_golden.py`` records some of them and compares any number).

Three platforms, 40 high, lie at x ∈ [0, 250], [475, 750] and [985, 1035]; player and enemies are 20 wide and 30 high.
The player starts at x = 0, an enemy at the right end of each of the first two platforms; only the enemy of the platform
where the player is (the second from x > 475 on) moves. Small steps of Δt = 0.05, with ν ~ |𝒩(0, 0.025)| each time:

    accelerate(a):  v ← v + a·Δt,  vx ← vx − ν,  |vx| ≤ 100, |vy| ≤ 200, vx ≥ 0
    on a platform:  run(p)   accelerate(p/Δt, 0)
                    hop(p)   jump with vy₀ = 35; leap(p) with vy₀ = 25:
                             accelerate((p/(2·vy₀/9.8 + 1) − vx − ξ₁, vy₀ − ξ₂)/Δt), ξ ~ |𝒩(0, 1)|
                    then vx ≤ 70, also in a jump's first small step
    in the air:     accelerate(0, −9.8)
    both:           x ← x + v·Δt within [0, 1035], then vx ← 0.99·vx
    enemy:          turns at its platform's ends, dx ← dx + 𝒩(0, 0.025) within ±30, x ← x + dx·Δt
    platforms:      push out a player who has entered one, and set vx ← 0: landing stops the player.

One decision is a run of 20 small steps, or a jump until the player stands on a platform again, or the end. Reward:
Δx/1035 over the whole decision, so that a return is the last x/1035 even of those who fall: 0.9 may be no success.
Falling below the platforms' tops or touching an enemy terminates, and so does x = 1035. Decision 200 truncates.

Arguments: run p ∈ [0, 30], hop p ∈ [0, 720], leap p ∈ [0, 430]. Observation: x, vx, the enemy's x and dx, the widths of
this platform and the next, the gap, this platform's x, the height difference (0), all scaled to [0, 1].

Chosen here: the original observes a pair of this and the number of small steps in the last decision; the latter is left
out, as users of it do.
"""

from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, OneOf

from clipper.environments.hybrid.kernels.platform import (
    END,
    ENEMY,
    ENEMY_SPEED,
    HEIGHT,
    LEFT,
    LIMITS,
    MAX_VX,
    SIZE_X,
    SIZE_Y,
    STEPS,
    SUCCESS,
    VX,
    WIDTH,
    X,
    Y,
    decide,
)
from clipper.environments.hybrid.moving import OneOfAction
from clipper.environments.hybrid.picture import BLUE, GREEN, INK, RED, Picture

MAX_STEPS = 200
GROUND = np.array([[250, 275, 225, 0, 0], [275, 50, 235, 475, 0], [50, 0, 0, 985, 0]]) / [275, 275, 235, 1035, 1]
"""By the platform's number, scaled: its width, the next one's width, the gap between them, its x, height difference."""


class Platform:
    """N players."""

    fps: ClassVar[int] = 3

    def __init__(self, num_envs: int) -> None:
        self.single_observation_space = Box(0, 1, (9,))
        self.single_action_space = OneOf([Box(0, limit, (1,)) for limit in LIMITS])
        self.state = np.zeros((10, num_envs))
        """x, y, vx, vy; x and dx of the first and the second enemy; decisions so far; whether the end was reached."""

    def begin(self, count: int, generator: np.random.Generator) -> np.ndarray:
        first, second = (LEFT[i] + WIDTH[i] - SIZE_X for i in (0, 1))
        start = [0.0, HEIGHT, 0.0, 0.0, first, -ENEMY_SPEED, second, -ENEMY_SPEED, 0.0, 0.0]
        return np.repeat(np.array(start)[:, None], count, axis=1)

    def step(
        self, action: OneOfAction, generator: np.random.Generator, over: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        choice = action[0].astype(np.int64)
        each = np.stack([argument[:, 0] for argument in action[1]], dtype=np.float64)
        argument = each[choice, np.arange(len(choice))]
        reward, terminated = np.zeros(len(choice)), np.zeros(len(choice), dtype=bool)
        decide(self.state, choice, argument, generator, over, reward, terminated)
        return reward, terminated, (self.state[STEPS] >= MAX_STEPS) & ~terminated

    def observe(self) -> np.ndarray:
        x, vx = self.state[X], self.state[VX]
        first = x <= LEFT[1]
        enemy = np.where(first, self.state[ENEMY : ENEMY + 2], self.state[ENEMY + 2 : ENEMY + 4])
        at = (x >= LEFT[1]).astype(np.int64) + (x >= LEFT[2])
        own = np.stack([(x + SIZE_X) / (END + SIZE_X), vx / MAX_VX, enemy[0] / END])
        motion = (enemy[1] + ENEMY_SPEED) / (2 * ENEMY_SPEED)
        return np.concatenate([own.T, motion[:, None], GROUND[at]], axis=1, dtype=np.float32, casting="same_kind")

    def info(self) -> dict[str, np.ndarray]:
        return {"is_success": self.state[SUCCESS] > 0}

    def draw(self, i: int) -> np.ndarray:
        picture = Picture(800, -20, END + 40, -30, 150)
        for left, width in zip(LEFT, WIDTH, strict=True):
            picture.box(left, left + width, -40, HEIGHT, GREEN)
        picture.line(END, HEIGHT, END, HEIGHT + 60, 3, INK)
        picture.box(END - 24, END, HEIGHT + 42, HEIGHT + 60, RED)
        for enemy in self.state[[ENEMY, ENEMY + 2], i]:
            picture.box(enemy, enemy + SIZE_X, HEIGHT, HEIGHT + SIZE_Y, RED, corner=6)
        x, y = self.state[X, i], self.state[Y, i]
        picture.box(x, x + SIZE_X, y, y + SIZE_Y, BLUE, corner=6)
        return picture.frame()
