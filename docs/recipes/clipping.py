"""What clipping does in the six cells: the sign of Â and where the ratio stands. python docs/recipes/clipping.py"""

from pathlib import Path

import torch
from matplotlib.figure import Figure

from clipper.functional.objectives import clip, conservative

EPSILON = 0.2
RATIOS = tuple(i / 40 for i in range(20, 61))
CELLS = (0.65, 1.0, 1.35)
TOLERANCE = 1e-12  # in tests


def numbers() -> dict[str, list[float]]:
    """L^CLIP, its slope dL/dr and L^CPI along the ratio, for Â = 1 (+) and Â = −1 (−)."""
    found: dict[str, list[float]] = {"ratio": list(RATIOS)}
    for sign, name in ((1.0, "+"), (-1.0, "−")):
        log_ratio = torch.tensor(RATIOS, dtype=torch.float64).log().requires_grad_()
        advantage = torch.full_like(log_ratio, sign).detach()
        surrogate = -clip(log_ratio, advantage, EPSILON, EPSILON)
        slope = torch.autograd.grad(surrogate.sum(), log_ratio)[0] / log_ratio.detach().exp()
        found |= {f"clip{name}": surrogate.tolist(), f"slope{name}": slope.tolist()}
        found[f"cpi{name}"] = (-conservative(log_ratio, advantage)).tolist()
    return found


def draw(found: dict[str, list[float]], file: Path) -> None:
    """One panel per sign; a dot in each cell, hollow where the gradient is 0."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    ratio = found["ratio"]
    for axes, name in zip(figure.subplots(1, 2), "+−", strict=True):
        axes.plot(ratio, found[f"cpi{name}"], "--", color="0.6", label="rÂ")
        axes.plot(ratio, found[f"clip{name}"], color="#0072B2", label="min(rÂ, clip(r)Â)")
        for bound in (1 - EPSILON, 1 + EPSILON):
            axes.axvline(bound, color="0.85", linewidth=1)
        for r in CELLS:
            i = min(range(len(ratio)), key=lambda k: abs(ratio[k] - r))
            fill = "#0072B2" if found[f"slope{name}"][i] else "white"
            axes.plot(ratio[i], found[f"clip{name}"][i], "o", color="#0072B2", markerfacecolor=fill)
        axes.set_title(f"Â {'>' if name == '+' else '<'} 0")
        axes.set_xlabel("r")
        axes.set_xticks([1 - EPSILON, 1, 1 + EPSILON], ["1−ε", "1", "1+ε"])
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    draw(numbers(), Path("clipping.svg"))
