"""Four ways to set σ, and three densities on a bounded range. python docs/recipes/continuous_actions.py"""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from matplotlib.figure import Figure
from runs import column

import clipper
from clipper.distributions import DiagonalGaussian, IndependentBeta, SquashedGaussian
from clipper.networks.heads import ExpOfState, Fixed, Learned, LinearStd

WAYS = {"fixed": Fixed(), "scheduled": LinearStd(0.1), "learned": Learned(), "of the state": ExpOfState()}
COLOURS = ("#999999", "#D55E00", "#0072B2", "#009E73")
GRID = tuple(i / 100 for i in range(-99, 100))


class Needle(gymnasium.Env):
    """Meet the target x. Where the second number is 1 a miss costs much, where it is 0 nothing; 16 times an episode."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.count = 0
        return self.look(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        reward = -4 * float(self.obs[1]) * float(action[0] - self.obs[0]) ** 2
        self.count += 1
        return self.look(), reward, self.count == 16, False, {}

    def look(self) -> np.ndarray:
        self.obs = np.array([self.np_random.uniform(-0.8, 0.8), self.np_random.integers(2)], np.float32)
        return self.obs


def sigmas(policy: Any) -> list[float]:
    """σ where a miss costs nothing, and where it does; the mean over targets."""
    targets = torch.linspace(-0.8, 0.8, 9)
    states = [torch.stack([targets, torch.full_like(targets, exact)], -1) for exact in (0.0, 1.0)]
    with torch.no_grad():
        return [policy.act(obs)[0].log_std.exp().expand(9, 1).mean().item() for obs in states]


def numbers(total_steps: int = 40_000) -> dict[str, list[float]]:
    """σ after each update for the four ways, and the densities."""
    found: dict[str, list[float]] = {"steps": []}
    algorithm = clipper.PPO(gamma=0.0, epochs=4, entropy_coef=0.003)
    for name, std in WAYS.items():
        seen: list[list[float]] = []
        options = clipper.PolicyOptions(head=clipper.HeadOptions(std=std, initial_log_std=-0.7))
        run = clipper.train(
            Needle, algorithm, policy=options, total_steps=total_steps, engine="torch", vector="serial",
            callback=lambda run, seen=seen: seen.append(sigmas(run.policy)),
        )  # fmt: skip
        found["steps"] = column(run, "steps")
        found |= {f"{name}, loose": [pair[0] for pair in seen], f"{name}, exact": [pair[1] for pair in seen]}
    return found | densities()


def densities() -> dict[str, list[float]]:
    """Densities over a ∈ (−1, 1), where N(0.5, 0.6²) is cut off, squashed, or a Beta of about that mode and spread."""
    a = torch.tensor(GRID, dtype=torch.float64)[:, None]
    mean, log_std = torch.full_like(a, 0.5), torch.tensor([0.6], dtype=torch.float64).log()
    beta = IndependentBeta(torch.full_like(a, 2.5), torch.full_like(a, 1.5))
    logit = torch.logit((a + 1) / 2)
    beyond = torch.distributions.Normal(0.5, 0.6)
    return {
        "a": list(GRID),
        "gaussian": DiagonalGaussian(mean, log_std).log_prob(a).exp().tolist(),
        "tanh": SquashedGaussian(mean, log_std).log_prob(a.atanh()).exp().tolist(),
        "beta": (beta.log_prob(logit).exp() / 2).tolist(),  # of a = 2x − 1
        "cut off": [beyond.cdf(torch.tensor(-1.0)).item(), 1 - beyond.cdf(torch.tensor(1.0)).item()],
    }


def draw(found: dict[str, list[float]], file: Path) -> None:
    """σ against decisions, and the densities, the Gaussian's mass beyond the bounds as dots."""
    figure = Figure(figsize=(8.0, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, colour in zip(WAYS, COLOURS, strict=True):
        left.plot(found["steps"], found[f"{name}, exact"], color=colour, label=name)
        left.plot(found["steps"], found[f"{name}, loose"], ":", color=colour)
    left.set_xlabel("decisions")
    left.locator_params(axis="x", nbins=4)
    left.set_ylabel("σ (dotted: where a miss is free)")
    left.set_yscale("log")
    for name, colour in (("gaussian", "#0072B2"), ("tanh", "#D55E00"), ("beta", "#009E73")):
        right.plot(found["a"], found[name], color=colour, label=name)
    for bound, mass in zip((-1, 1), found["cut off"], strict=True):
        right.plot([bound, bound], [0, mass], "o-", color="#0072B2", markersize=4, clip_on=False)
    right.set_xlabel("a")
    right.set_ylabel("density (dots: probability at a bound)")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


# A schedule depends on the run's length: of each σ only the first point can be had from a shorter run.
REDUCED, TOLERANCE = {"total_steps": 1_000}, 0.02
COMPARED = {"steps": 1} | {f"{name}, {where}": 1 for name in WAYS for where in ("loose", "exact")}

if __name__ == "__main__":
    draw(numbers(), Path("continuous_actions.svg"))
