"""What three kinds of weights do to the gradient as π leaves μ. python docs/recipes/importance_sampling.py"""

import math
from pathlib import Path

import torch
from coins import gradients
from matplotlib.figure import Figure
from streak import exact_gradient, games, probability

from clipper.learning.importance_weights import CausalProduct, FirstOrder, WholeTrajectory

MU = 0.6
POLICIES = (0.6, 0.62, 0.64, 0.66, 0.68, 0.7, 0.72, 0.74, 0.76, 0.78, 0.8)
KINDS = {"Π r": (WholeTrajectory(), "#D55E00"), "Π≤t r": (CausalProduct(), "#009E73"), "rₜ": (FirstOrder(), "#0072B2")}
TOLERANCE = ABSOLUTE = 1e-9  # in tests


def numbers() -> dict[str, list[float]]:
    """Bias and standard deviation of one game's gradient over ∇J, by enumeration, for each π; KL(μ ‖ π) of a toss."""
    played = games()
    chance = probability(played, MU)
    found: dict[str, list[float]] = {"KL": [], "effective": []}
    found |= {f"{quantity} {name}": [] for quantity in ("bias", "std") for name in KINDS}
    for p in POLICIES:
        heads, tails = math.log(p / MU), math.log((1 - p) / (1 - MU))
        found["KL"].append(-MU * heads - (1 - MU) * tails)
        log_ratio = (played.reward * heads + (1 - played.reward) * tails) * played.mask
        exact = exact_gradient(p)
        for name, (kind, _) in KINDS.items():
            weight = kind.log_weight(log_ratio, played.done, played.mask)
            baseline = torch.zeros_like(played.reward)
            credit = kind.credit(weight, played.reward, baseline, played.done, played.mask, 1.0)
            estimate = gradients(played.action, credit.masked_fill(~played.mask, 0), p)
            mean = (chance * estimate).sum()
            found[f"bias {name}"].append((mean / exact - 1).item())
            found[f"std {name}"].append(((chance * (estimate - mean) ** 2).sum().sqrt() / exact).item())
        whole = KINDS["Π r"][0].log_weight(log_ratio, played.done, played.mask)[0]
        found["effective"].append(((chance * whole.exp()).sum() ** 2 / (chance * (2 * whole).exp()).sum()).item())
    return found


def draw(found: dict[str, list[float]], file: Path) -> None:
    """Bias and standard deviation against the KL."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    for axes, quantity in zip(figure.subplots(1, 2), ("bias", "std"), strict=True):
        for name, (_, colour) in KINDS.items():
            axes.plot(found["KL"], found[f"{quantity} {name}"], "o-", color=colour, label=name)
        axes.set_xlabel("KL(μ‖π)")
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("E[ĝ]/∇J − 1")
    figure.axes[1].set_ylabel("std(ĝ)/∇J")
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    draw(numbers(), Path("importance_sampling.svg"))
