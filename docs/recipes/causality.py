"""What causality and a baseline do to the gradient's variance. python docs/recipes/causality.py"""

from pathlib import Path

import torch
from coins import gradients, toss
from matplotlib.figure import Figure

from clipper.functional.returns import reward_to_go, total_return

P = 0.5
LENGTHS = (2, 4, 8, 16, 32, 64)
REDUCED, TOLERANCE = {"games": 5_000}, 0.2  # in tests
COLOURS = {"G(τ)": "#D55E00", "Gₜ": "#0072B2", "Gₜ − V": "#009E73"}


def numbers(games: int = 100_000) -> dict[str, list[float]]:
    """Variance of one game's gradient for each credit, and for each length T of a game."""
    found: dict[str, list[float]] = {"length": list(map(float, LENGTHS))} | {name: [] for name in COLOURS}
    for length in LENGTHS:
        action = toss(length, games, seed=length, p=P)
        reward, mask = action.double(), torch.ones_like(action, dtype=torch.bool)
        done = torch.zeros_like(mask)
        done[-1] = True
        to_go = reward_to_go(reward, done, mask, gamma=1.0)
        value = P * torch.arange(length, 0, -1.0, dtype=torch.float64)[:, None]  # V(sₜ) = p (T − t)
        kinds = (total_return(reward, done, mask, gamma=1.0), to_go, to_go - value)
        for name, credit in zip(COLOURS, kinds, strict=True):
            found[name].append(gradients(action, credit, P).var().item())
    return found


def draw(found: dict[str, list[float]], file: Path) -> None:
    """Variance against T."""
    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, colour in COLOURS.items():
        axes.loglog(found["length"], found[name], "o-", color=colour, label=name)
    axes.set_xlabel("T")
    axes.set_ylabel("Var(∇J)")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    draw(numbers(), Path("causality.svg"))
