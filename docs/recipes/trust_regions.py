"""Where too large a step leads, with and without a trust region. python docs/recipes/trust_regions.py"""

from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from clipper.distributions import DiagonalGaussian
from clipper.functional.linear import backtracking, fisher_vector_product, flat_gradient, natural_step

TARGET, WIDTH = 2.0, 0.7
START = (-0.5, -0.3)  # μ and log σ
STEPS, RATE, DELTA = 12, 8.0, 0.2
COLOURS = {"∇": "#D55E00", "F⁻¹∇": "#0072B2", "TRPO": "#009E73"}
TOLERANCE = ABSOLUTE = 1e-6  # in tests


def expected_reward(theta: Tensor) -> Tensor:
    """J = E[exp(−(a − 2)²/2w²)] of a ~ N(μ, σ²): a hill, and a plain around it where nothing is to be felt."""
    variance = WIDTH**2 + (2 * theta[1]).exp()
    return WIDTH / variance.sqrt() * (-((theta[0] - TARGET) ** 2) / (2 * variance)).exp()


def policy(theta: Tensor) -> DiagonalGaussian:
    """π of θ = (μ, log σ)."""
    return DiagonalGaussian(theta[:1], theta[1:])


def step(kind: str, theta: Tensor) -> Tensor:
    """What is added to θ: α∇J, the natural step, or as much of that as the line search accepts."""
    here = theta.clone().requires_grad_()
    gradient = flat_gradient(expected_reward(here), [here])
    if kind == "∇":
        return RATE * gradient
    kl_gradient = flat_gradient(policy(theta).kl(policy(here)), [here], create_graph=True)
    natural = natural_step(lambda v: fisher_vector_product(kl_gradient, [here], v), gradient, DELTA, iterations=2)

    def accept(scale: float) -> bool:
        new = theta + scale * natural
        better = expected_reward(new) > expected_reward(theta)
        return bool(better & (policy(theta).kl(policy(new)) <= DELTA))

    return natural if kind == "F⁻¹∇" else backtracking(accept, 0.8, 10) * natural


def path(kind: str) -> list[tuple[float, float, float, float]]:
    """(μ, log σ, J, KL(π_old ‖ π) of the step) at the start and after each step."""
    theta = torch.tensor(START, dtype=torch.float64)
    found = [(*theta.tolist(), expected_reward(theta).item(), 0.0)]
    for _ in range(STEPS):
        new = theta + step(kind, theta)
        found.append((*new.tolist(), expected_reward(new).item(), policy(theta).kl(policy(new)).item()))
        theta = new
    return found


def numbers() -> dict[str, list[float]]:
    """Each kind's path: μ, log σ, J, and the KL of each step."""
    found = {}
    for kind in COLOURS:
        columns = zip(*path(kind), strict=True)
        found |= {f"{name} {kind}": list(x) for name, x in zip(("μ", "log σ", "J", "KL"), columns, strict=True)}
    return found


def draw(found: dict[str, list[float]], file: Path) -> None:
    """The paths over the hill, and the KL of each step."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    mean, log_std = (torch.linspace(*ends, 120, dtype=torch.float64) for ends in ((-1.5, 6.2), (-3, 1.2)))
    grid = torch.stack(torch.meshgrid(mean, log_std, indexing="xy"))
    left.contourf(mean, log_std, expected_reward(grid), levels=12, cmap="Greys", alpha=0.5)
    for kind, colour in COLOURS.items():
        left.plot(found[f"μ {kind}"], found[f"log σ {kind}"], "o-", color=colour, markersize=3, linewidth=1, label=kind)
        right.semilogy(range(1, STEPS + 1), [max(x, 1e-6) for x in found[f"KL {kind}"][1:]], "o-", color=colour, ms=3)
    right.axhline(DELTA, color="0.5", linestyle="--", linewidth=1, label="δ")
    left.set_ylim(-3, 1.2)
    left.set_xlabel("μ")
    left.set_ylabel("log σ")
    right.set_xlabel("k")
    right.set_ylabel("KL(πₖ‖πₖ₊₁)")
    right.set_xticks(range(0, STEPS + 1, 4))
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    draw(numbers(), Path("trust_regions.svg"))
