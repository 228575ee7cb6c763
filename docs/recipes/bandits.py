"""The ten-armed testbed of Sutton & Barto (2018), chapter 2: figures 2.2, 2.4, 2.5. python docs/recipes/bandits.py"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

ARMS, RUNS, STEPS = 10, 2000, 1000
POINTS = (1, 2, 3, 5, 8, 12, 18, 25, 35, 50, 70, 100, 140, 200, 280, 400, 550, 750, 1000)
"""Steps that the figure keeps, each a mean over the steps since the one before."""
REDUCED = {"steps": 35}  # in tests: the same runs, and fewer of their steps
TOLERANCE = 1e-6
Choice = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]


def argmax(scores: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """The best arm of each run; ties are broken at random."""
    best = scores == scores.max(1, keepdims=True)
    return (best * chance.random(scores.shape)).argmax(1)


def epsilon_greedy(epsilon: float) -> Choice:
    """The best estimate, but for a fraction ε of steps, where any arm may come."""

    def choose(q: np.ndarray, n: np.ndarray, t: int, chance: np.random.Generator) -> np.ndarray:
        greedy, explores = argmax(q, chance), chance.random(len(q)) < epsilon
        return np.where(explores, chance.integers(q.shape[1], size=len(q)), greedy)

    return choose


def upper_confidence_bound(c: float) -> Choice:
    """The best of Q + c √(ln t / N); an arm that was never tried comes first."""

    def choose(q: np.ndarray, n: np.ndarray, t: int, chance: np.random.Generator) -> np.ndarray:
        bound = q + c * np.sqrt(np.log(t) / np.maximum(n, 1))
        return argmax(np.where(n == 0, np.inf, bound), chance)

    return choose


def by_values(choose: Choice, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Sample averages: the mean reward of each step, and how often the best arm was taken."""
    chance = np.random.default_rng(0)
    true = chance.standard_normal((RUNS, ARMS))
    q, n, every = np.zeros((RUNS, ARMS)), np.zeros((RUNS, ARMS)), np.arange(RUNS)
    rewards, optimal = np.zeros(steps), np.zeros(steps)
    for t in range(steps):
        arm = choose(q, n, t + 1, chance)
        reward = true[every, arm] + chance.standard_normal(RUNS)
        n[every, arm] += 1
        q[every, arm] += (reward - q[every, arm]) / n[every, arm]
        rewards[t], optimal[t] = reward.mean(), (arm == true.argmax(1)).mean()
    return rewards, optimal


def by_gradient(alpha: float, baseline: bool, steps: int) -> np.ndarray:
    """Preferences H, π = softmax H, on arms that pay about 4; how often the best one was taken."""
    chance = np.random.default_rng(0)
    true = 4 + chance.standard_normal((RUNS, ARMS))
    preference, mean, every = np.zeros((RUNS, ARMS)), np.zeros(RUNS), np.arange(RUNS)
    optimal = np.zeros(steps)
    for t in range(steps):
        pi = np.exp(preference - preference.max(1, keepdims=True))
        pi /= pi.sum(1, keepdims=True)
        arm = np.minimum((pi.cumsum(1) < chance.random((RUNS, 1))).sum(1), ARMS - 1)
        reward = true[every, arm] + chance.standard_normal(RUNS)
        mean += (reward - mean) / (t + 1) if baseline else 0.0
        score = -pi  # ∇_H log π(a) = 1[a] − π
        score[every, arm] += 1
        preference += alpha * (reward - mean)[:, None] * score
        optimal[t] = (arm == true.argmax(1)).mean()
    return optimal


def at_points(curve: np.ndarray) -> list[float]:
    """Means over the steps that lie between the points."""
    ends = [0, *(p for p in POINTS if p <= len(curve))]
    return [float(curve[a:b].mean()) for a, b in pairwise(ends)]


def numbers(steps: int = STEPS) -> dict[str, list[float]]:
    """Mean rewards and how often the best arm was taken, over 2000 problems."""
    found: dict[str, list[float]] = {"step": [float(p) for p in POINTS if p <= steps]}
    choices = {f"ε = {x:g}": epsilon_greedy(x) for x in (0.0, 0.01, 0.1)} | {"UCB, c = 2": upper_confidence_bound(2.0)}
    for name, choose in choices.items():
        rewards, optimal = by_values(choose, steps)
        found |= {f"reward {name}": at_points(rewards), f"optimal {name}": at_points(optimal)}
    for alpha in (0.1, 0.4):
        for baseline in (True, False):
            name = f"α = {alpha:g}, {'with' if baseline else 'without'} baseline"
            found[f"optimal {name}"] = at_points(by_gradient(alpha, baseline, steps))
    return found


COMPARED = {key: len([p for p in POINTS if p <= REDUCED["steps"]]) for key in numbers(1)}


def draw(found: dict[str, list[float]], file: Path) -> None:
    """Rewards of ε-greedy and UCB, their best arms, and those of the gradient bandit."""
    figure = Figure(figsize=(9.6, 3.2), layout="constrained")
    panels = figure.subplots(1, 3)
    colours = ("#009E73", "#D55E00", "#0072B2", "0.4")
    for axes, kind in zip(panels[:2], ("reward", "optimal"), strict=True):
        names = [key.removeprefix(f"{kind} ") for key in found if key.startswith((f"{kind} ε", f"{kind} UCB"))]
        for name, colour in zip(names, colours, strict=True):
            axes.plot(found["step"], found[f"{kind} {name}"], color=colour, label=name)
        axes.set_ylabel("R" if kind == "reward" else "P(a = a*)")
    for key, colour in zip([k for k in found if k.startswith("optimal α")], colours, strict=True):
        panels[2].plot(found["step"], found[key], color=colour, label=key.removeprefix("optimal "))
    panels[2].set_ylabel("P(a = a*)")
    for axes in panels:
        axes.set_xscale("log")
        axes.set_xlabel("t")
        axes.legend(frameon=False, fontsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    draw(numbers(), Path("bandits.svg"))
