"""Advantages and entropy while a policy learns CartPole by the full loss. python docs/recipes/full_loss.py"""

from pathlib import Path

from matplotlib.figure import Figure
from runs import column

import clipper

BONUSES = (0.0, 0.1)
WATCHED = (
    "advantage/mean", "advantage/std", "advantage/minibatch_mean_min", "advantage/minibatch_mean_max",
    "advantage/minibatch_std_min", "advantage/minibatch_std_max", "policy/entropy",
)  # fmt: skip


def numbers(total_steps: int = 30_000) -> dict[str, list[float]]:
    """What each update tells of its advantages, with c₂ = 0, and of the entropy for each c₂."""
    found: dict[str, list[float]] = {}
    for bonus in BONUSES:
        algorithm = clipper.PPO(epochs=4, entropy_coef=bonus)
        run = clipper.train("CartPole-v1", algorithm, total_steps=total_steps, engine="torch", vector="serial")
        found["steps"] = column(run, "steps")
        for key in WATCHED if bonus == 0 else ("policy/entropy",):
            found[f"{key}, c₂ = {bonus:g}"] = column(run, key)
    return found


def draw(found: dict[str, list[float]], file: Path) -> None:
    """Mean and standard deviation per batch, with those of the minibatches as a band; entropy."""
    figure = Figure(figsize=(8.4, 3.0), layout="constrained")
    panels = figure.subplots(1, 3)
    steps = found["steps"]
    for axes, kind in zip(panels, ("mean", "std"), strict=False):
        low, high = (found[f"advantage/minibatch_{kind}_{end}, c₂ = 0"] for end in ("min", "max"))
        axes.fill_between(steps, low, high, color="#0072B2", alpha=0.25, linewidth=0, label="minibatches")
        axes.plot(steps, found[f"advantage/{kind}, c₂ = 0"], color="#0072B2", label="batch")
        axes.set_title("mean of Â" if kind == "mean" else "deviation of Â")
    for bonus, colour in zip(BONUSES, ("#0072B2", "#D55E00"), strict=True):
        panels[2].plot(steps, found[f"policy/entropy, c₂ = {bonus:g}"], color=colour, label=f"c₂ = {bonus:g}")
    panels[2].set_title("entropy")
    for axes in panels:
        axes.set_xlabel("decisions")
        axes.locator_params(axis="x", nbins=4)
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


REDUCED, TOLERANCE = {"total_steps": 2_000}, 0.2
COMPARED = {"steps": 2, **{f"{key}, c₂ = 0": 2 for key in WATCHED}, "policy/entropy, c₂ = 0.1": 2}

if __name__ == "__main__":
    draw(numbers(), Path("full_loss.svg"))
