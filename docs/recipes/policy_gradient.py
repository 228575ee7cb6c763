"""How fast does the score-function estimator find the gradient? python docs/recipes/policy_gradient.py"""

from pathlib import Path

import torch
from coins import gradients, toss
from matplotlib.figure import Figure

from clipper.functional.returns import total_return

LENGTH, P = 10, 0.3
COUNTS = (1, 4, 16, 64, 256, 1024, 4096)
REDUCED, TOLERANCE, COMPARED = {"repeats": 200}, 0.25, {"error": 5}  # in tests


def numbers(repeats: int = 2000) -> dict[str, list[float]]:
    """Root mean square error of the mean over M games, for each M, and the exact gradient T p (1 − p)."""
    exact = LENGTH * P * (1 - P)
    games = max(COUNTS) * max(1, repeats // 100)
    action = toss(LENGTH, games, seed=0, p=P)
    done = torch.zeros_like(action, dtype=torch.bool)
    done[-1] = True
    estimate = gradients(action, total_return(action.double(), done, torch.ones_like(done), gamma=1.0), P)
    errors = [(estimate.view(-1, m).mean(1) - exact).square().mean().sqrt().item() for m in COUNTS]
    return {"games": list(map(float, COUNTS)), "error": errors, "exact": [exact], "mean": [estimate.mean().item()]}


def draw(found: dict[str, list[float]], file: Path) -> None:
    """Error against M, beside 1/√M."""
    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.loglog(found["games"], found["error"], "o-", color="#0072B2", label="estimate")
    axes.loglog(found["games"], [found["error"][0] / m**0.5 for m in found["games"]], "--", color="0.5", label="1/√M")
    axes.axhline(found["exact"][0], color="#D55E00", linewidth=1, label="|∇J|")
    axes.set_xlabel("M")
    axes.set_ylabel("RMS error of ∇J")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    draw(numbers(), Path("policy_gradient.svg"))
