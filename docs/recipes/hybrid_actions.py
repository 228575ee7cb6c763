"""A choice with arguments: one ratio, one per part, and all arguments counted. python docs/recipes/hybrid_actions.py"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
from duel import Duel
from gymnasium.spaces import Discrete, Tuple
from matplotlib.figure import Figure
from runs import column

import clipper
from clipper.learning.action_parts import PerPart


class AllCount(gymnasium.Wrapper):
    """The same game with a Tuple: each skill's target is drawn every time, and counts, whether it is used or not."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.action_space = Tuple([Discrete(3), *Duel.action_space.spaces])

    def reset(self, **options: Any) -> tuple[Any, dict]:
        obs, info = self.env.reset(**options)
        return obs, flat(info)

    def step(self, action: tuple) -> tuple[Any, Any, bool, bool, dict]:
        *result, info = self.env.step((action[0], action[1 + action[0]]))
        return *result, flat(info)


def flat(info: dict) -> dict:
    """The mask of a OneOf → of the Tuple."""
    skills, targets = info["action_mask"]
    return {"action_mask": (skills, *targets)}


JOINT = clipper.PPO(horizon=32, epochs=6, learning_rate=3e-3)
PER_PART = clipper.PPO(horizon=32, epochs=6, learning_rate=3e-3, parts=PerPart())
KINDS: dict[str, tuple[Callable[[], gymnasium.Env], clipper.PPO]] = {
    "OneOf, one ratio": (Duel, JOINT),
    "OneOf, a ratio per part": (Duel, PER_PART),
    "Tuple: all targets count": (lambda: AllCount(Duel()), JOINT),
}


def numbers(total_steps: int = 15_000, seeds: int = 2) -> dict[str, list[float]]:
    """Mean return of the episodes that ended in each iteration, for each kind and seed."""
    found: dict[str, list[float]] = {"steps": []}
    for name, (env, algorithm) in KINDS.items():
        for seed in range(1, 1 + seeds):
            run = clipper.train(
                env, algorithm, num_envs=32, seed=seed, total_steps=total_steps, engine="torch", vector="serial"
            )
            found["steps"] = column(run, "steps")
            found[f"{name}, seed {seed}"] = column(run, "episode/return")
    return found


def draw(found: dict[str, list[float]], file: Path) -> None:
    """The mean over seeds against decisions, each seed a thin line."""
    figure = Figure(figsize=(5.8, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, colour in zip(KINDS, ("#0072B2", "#009E73", "#D55E00"), strict=True):
        curves = [curve for key, curve in found.items() if key.startswith(name)]
        for curve in curves:
            axes.plot(found["steps"], curve, color=colour, linewidth=0.6, alpha=0.5)
        mean = [sum(values) / len(values) for values in zip(*curves, strict=True)]
        axes.plot(found["steps"], mean, color=colour, label=name)
    axes.set_xlabel("decisions")
    axes.set_ylabel("return")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


REDUCED, TOLERANCE = {"total_steps": 2_000, "seeds": 2}, 0.5
COMPARED = {"steps": 2} | {f"{name}, seed {seed}": 2 for name in KINDS for seed in (1, 2)}

if __name__ == "__main__":
    draw(numbers(), Path("hybrid_actions.svg"))
