"""What centring and scaling a batch's returns do to the gradient. python docs/recipes/return_normalisation.py"""

from functools import partial
from pathlib import Path

import torch
from coins import gradients, toss
from matplotlib.figure import Figure
from torch import Tensor

from clipper.functional.reduce import standardise
from clipper.functional.returns import total_return

LENGTH, P, BATCH = 10, 0.3, 16
OFFSETS = (0, 2, 4, 8, 16, 32)
SIZES = (2, 4, 8, 16, 32, 64, 128)
COLOURS = {"G": "#D55E00", "G − μ": "#0072B2", "(G − μ)/σ": "#009E73"}
REDUCED, TOLERANCE = {"games": 128 * 400}, 0.35  # in tests


def estimates(games: int, size: int, offset: float) -> dict[str, Tensor]:
    """∇J of each batch of ``size`` games ``[games / size]``, for each credit; every game pays ``offset`` on top."""
    action = toss(LENGTH, games, seed=size, p=P)
    done = torch.zeros_like(action, dtype=torch.bool)
    done[-1] = True
    total = total_return(action.double(), done, torch.ones_like(done), gamma=1.0)[0].view(-1, size) + offset
    every = torch.ones_like(total, dtype=torch.bool)
    scaled = torch.vmap(partial(standardise, correction=0))(total, every)
    kinds = (total, total - total.mean(1, keepdim=True), scaled)
    return {
        name: gradients(action, credit.flatten().expand_as(action), P).view(-1, size).mean(1)
        for name, credit in zip(COLOURS, kinds, strict=True)
    }


def numbers(games: int = 128 * 2000) -> dict[str, list[float]]:
    """Noise std/mean of batches of 16 against the offset, and the mean beside that of an infinite batch against M."""
    found: dict[str, list[float]] = {"offset": list(map(float, OFFSETS)), "M": list(map(float, SIZES))}
    found |= {f"{quantity} {name}": [] for quantity in ("noise", "bias") for name in COLOURS}
    for offset in OFFSETS:
        for name, x in estimates(games, BATCH, offset).items():
            found[f"noise {name}"].append((x.std() / x.mean()).item())
    exact = LENGTH * P * (1 - P)
    limits = (exact, exact, exact**0.5)  # σ of the return is √(T p (1 − p))
    for size in SIZES:
        for limit, (name, x) in zip(limits, estimates(games, size, 0).items(), strict=True):
            found[f"bias {name}"].append(x.mean().item() / limit)
    return found


def draw(found: dict[str, list[float]], file: Path) -> None:
    """Noise against the offset, mean against the batch's size."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, colour in COLOURS.items():
        left.plot(found["offset"], found[f"noise {name}"], "o-", color=colour, label=name)
        right.semilogx(found["M"], found[f"bias {name}"], "o-", color=colour, base=2)
    right.plot(found["M"], [1 - 1 / m for m in found["M"]], "--", color="0.5", linewidth=1, label="1 − 1/M")
    left.set_xlabel("c")
    left.set_ylabel("std(ĝ) / E[ĝ]")
    right.set_xlabel("M")
    right.set_ylabel("E[ĝ] / E[ĝ]∞")
    for axes in (left, right):
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    draw(numbers(), Path("return_normalisation.svg"))
