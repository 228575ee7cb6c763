"""How β adapts, and how a KL is estimated from samples. python docs/recipes/kl_penalties.py"""

from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from clipper.distributions import Categorical
from clipper.functional.objectives import adapt_penalty, kl_estimates

START, TARGET, UPDATES = 0.02, 0.01, 16
BETAS = {0.5: "#D55E00", 5.0: "#0072B2", 50.0: "#009E73"}
BEHAVIOUR, POLICIES = 0.5, tuple(0.51 + 0.02 * i for i in range(18))
ESTIMATES = {"k₁": "#D55E00", "k₂": "#0072B2", "k₃": "#009E73"}
TOLERANCE = ABSOLUTE = 1e-9  # in tests


def tosses(p: Tensor) -> Categorical:
    """The policy that tosses heads with probability p."""
    return Categorical(torch.stack([1 - p, p], -1).log())


def climb(p: Tensor, beta: Tensor) -> Tensor:
    """Argmax E[r A] − β KL(π_old ‖ π) from π_old = p, where heads pay 1: the root of q (1 − q) = β (q − p)."""
    return (1 - beta + ((1 - beta) ** 2 + 4 * beta * p).sqrt()) / 2


def adapted(beta: float) -> tuple[list[float], list[float]]:
    """β and the KL of each update; after it β adapts."""
    p, weight = torch.tensor(START, dtype=torch.float64), torch.tensor(beta, dtype=torch.float64)
    betas, kls = [], []
    for _ in range(UPDATES):
        new = climb(p, weight)
        kl = tosses(p).kl(tosses(new))
        betas.append(weight.item())
        kls.append(kl.item())
        p, weight = new, adapt_penalty(weight, kl, TARGET)
    return betas, kls


def numbers() -> dict[str, list[float]]:
    """β and KL by update for three first β; mean and deviation of the estimates by the exact KL, by enumeration."""
    found: dict[str, list[float]] = {}
    for beta in BETAS:
        found[f"β {beta:g}"], found[f"KL {beta:g}"] = adapted(beta)
    found |= {"KL": []} | {f"{what} {name}": [] for name in ESTIMATES for what in ("mean", "std")}
    old = tosses(torch.tensor(BEHAVIOUR, dtype=torch.float64))
    chance = old.logits.exp()
    for p in POLICIES:
        new = tosses(torch.tensor(p, dtype=torch.float64))
        found["KL"].append(old.kl(new).item())
        for name, k in zip(ESTIMATES, kl_estimates(new.logits - old.logits), strict=True):
            mean = (chance * k).sum()
            found[f"mean {name}"].append(mean.item())
            found[f"std {name}"].append((chance * (k - mean) ** 2).sum().sqrt().item())
    return found


def draw(found: dict[str, list[float]], file: Path) -> None:
    """KL and β by update; the estimates' mean and deviation."""
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    (top, bias), (bottom, deviation) = figure.subplots(2, 2)
    for beta, colour in BETAS.items():
        top.semilogy(found[f"KL {beta:g}"], "o-", color=colour, markersize=3)
        bottom.semilogy(found[f"β {beta:g}"], "o-", color=colour, markersize=3, label=f"β₀ = {beta:g}")
    top.set_ylim(1e-6, 2)
    top.axhspan(TARGET / 1.5, TARGET * 1.5, color="0.85")
    for name, colour in ESTIMATES.items():
        bias.plot(found["KL"], found[f"mean {name}"], "o-", color=colour, markersize=3, label=name)
        deviation.plot(found["KL"], found[f"std {name}"], "o-", color=colour, markersize=3)
    for axes, x, y in ((top, "k", "KL"), (bottom, "k", "β"), (bias, "KL", "E[kᵢ]"), (deviation, "KL", "std(kᵢ)")):
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in (top, bottom):
        axes.set_xticks(range(0, UPDATES, 5))
    bottom.legend(frameon=False, fontsize=8)
    bias.legend(frameon=False, fontsize=8)
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    draw(numbers(), Path("kl_penalties.svg"))
