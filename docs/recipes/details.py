"""One detail switched off at a time, on CartPole in millimetres and degrees. python docs/recipes/details.py"""

from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
from matplotlib.figure import Figure

import clipper
from clipper.learning.rewards import Raw, Scaled

UNITS = np.array([1000, 1000, 57.3, 57.3], np.float32)  # m → mm, rad → degrees
ALL = clipper.PPO(horizon=64, epochs=4, learning_rate=clipper.schedules.Linear(1e-3), rewards=Scaled())
NETWORK = clipper.PolicyOptions(normalise_obs=True)
VARIANTS: dict[str, tuple[clipper.PPO, clipper.PolicyOptions]] = {
    "all of these": (ALL, NETWORK),
    "core 2: last layer's gain 1": (ALL, replace(NETWORK, head=clipper.HeadOptions(action_gain=1.0))),
    "core 4: α constant": (replace(ALL, learning_rate=1e-3), NETWORK),
    "core 7: Â as it is": (replace(ALL, advantages=Raw()), NETWORK),
    "core 8: no clipping": (replace(ALL, objective=clipper.objectives.Unclipped()), NETWORK),
    "cont. 6: observations as they are": (ALL, replace(NETWORK, normalise_obs=False)),
    "cont. 8: rewards as they are": (replace(ALL, rewards=Raw()), NETWORK),
}


def odd_units() -> gymnasium.Env:
    """CartPole-v1 with other units of length and angle, and a reward of 100 for each step."""
    env = gymnasium.make("CartPole-v1")
    space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    env = gymnasium.wrappers.TransformObservation(env, lambda obs: obs * UNITS, space)
    return gymnasium.wrappers.TransformReward(env, lambda reward: 100 * float(reward))


def numbers(
    total_steps: int = 16_000, seeds: int = 2, only: tuple[str, ...] = tuple(VARIANTS)
) -> dict[str, list[float]]:
    """Steps that an episode lasted, the latest 100 episodes of a run, for each seed."""
    found: dict[str, list[float]] = {}
    for name, (algorithm, policy) in VARIANTS.items():
        found[name] = []
        for seed in range(1, 1 + seeds) if name in only else ():
            run = clipper.train(
                odd_units,
                algorithm,
                policy=policy,
                seed=seed,
                total_steps=total_steps,
                num_envs=16,
                engine="torch",
                vector="serial",
            )
            found[name].append(sum(run.recent) / len(run.recent) / 100)
    return found


def draw(found: dict[str, list[float]], file: Path) -> None:
    """A bar for the mean, a dot for each seed."""
    figure = Figure(figsize=(6.6, 3.2), layout="constrained")
    axes = figure.subplots()
    rows = list(range(len(found)))[::-1]
    means = [sum(lengths) / max(len(lengths), 1) for lengths in found.values()]
    axes.barh(rows, means, color=["#0072B2", *["#9ecae1"] * (len(rows) - 1)])
    for row, lengths in zip(rows, found.values(), strict=True):
        axes.plot(lengths, [row] * len(lengths), "o", color="0.2", markersize=3)
    axes.set_yticks(rows, list(found))
    axes.set_xlabel("steps that an episode lasts")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


REDUCED = {"seeds": 1, "only": ("all of these", "cont. 8: rewards as they are")}
TOLERANCE, COMPARED = 0.3, {name: int(name in REDUCED["only"]) for name in VARIANTS}

if __name__ == "__main__":
    draw(numbers(), Path("details.svg"))
