"""Maxima over noise, and entropy in Bellman's equation. python docs/recipes/action_values.py"""

from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Generator, Tensor

from clipper.functional.q_targets import (
    chosen_value,
    clipped_double_q,
    double_q_value,
    expected_soft_value,
    greedy_value,
    td_target,
)

SAMPLES, CHOICES = 40_000, (1, 2, 3, 5, 8, 12, 20)
ALPHAS = (0.02, 0.1, 0.25, 0.5, 1.0, 2.0)
AFTER = torch.tensor([[0, 1], [1, 0]])  # two states; the second action leads to the other one
REWARD = torch.tensor([[0.0, 1.0], [0.5, 0.0]], dtype=torch.float64)
GAMMA = 0.8
COLOURS = {"DQN": "#D55E00", "double": "#0072B2", "TD3": "#009E73"}
TOLERANCE = ABSOLUTE = 1e-6  # in tests


def bias(choices: int) -> dict[str, float]:
    """Mean of the value that each target takes, where every action is worth 0 and estimates err by N(0, 1)."""
    q = torch.randn(2, SAMPLES, choices, generator=Generator().manual_seed(choices), dtype=torch.float64)
    greedy = q[0].argmax(-1)
    found = {
        "DQN": greedy_value(q[0]),
        "double": double_q_value(q[1], q[0]),
        "TD3": clipped_double_q(torch.stack([chosen_value(own, greedy) for own in q])),
    }
    return {name: value.mean().item() for name, value in found.items()}


def soft_q(alpha: float) -> Tensor:
    """Q* of rewards and α times the entropy: Bellman's equation, until it no longer moves."""
    q = torch.zeros(2, 2, dtype=torch.float64)
    for _ in range(200):
        log_p = (q / alpha).log_softmax(-1)
        q = td_target(REWARD, torch.full_like(REWARD, GAMMA), expected_soft_value(q, log_p, alpha)[AFTER])
    return q


def numbers() -> dict[str, list[float]]:
    """The bias by the number of actions, and of the soft fixed point V(s₀) and π(a₁|s₀) by α."""
    biases = [bias(k) for k in CHOICES]
    found = {f"bias {name}": [one[name] for one in biases] for name in COLOURS}
    fixed = [soft_q(alpha) for alpha in ALPHAS]
    found["V"] = [alpha * (q[0] / alpha).logsumexp(-1).item() for alpha, q in zip(ALPHAS, fixed, strict=True)]
    found["π"] = [(q[0] / alpha).softmax(-1)[1].item() for alpha, q in zip(ALPHAS, fixed, strict=True)]
    return found


def draw(found: dict[str, list[float]], file: Path) -> None:
    """Bias on the left, the soft fixed point on the right."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, colour in COLOURS.items():
        left.plot(CHOICES, found[f"bias {name}"], "o-", color=colour, markersize=3, linewidth=1, label=name)
    left.axhline(0, color="0.5", linestyle="--", linewidth=1)
    left.set_xlabel("K")
    left.set_ylabel("E[V̂] − V")
    right.plot(ALPHAS, found["V"], "o-", color="#D55E00", markersize=3, linewidth=1, label="V(s₀)")
    right.plot(ALPHAS, found["π"], "o-", color="#0072B2", markersize=3, linewidth=1, label="π(a₁|s₀)")
    right.set_xlabel("α")
    right.set_xscale("log")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    draw(numbers(), Path("action_values.svg"))
