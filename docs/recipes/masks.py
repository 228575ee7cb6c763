"""Where most actions are invalid: a mask, half a mask, no mask. python docs/recipes/masks.py"""

from pathlib import Path
from typing import Any

import gymnasium
from matplotlib.figure import Figure
from runs import column
from torch import Generator, Tensor, nn

import clipper

COLOURS = {"masked": "#0072B2", "naive": "#D55E00", "unmasked": "#999999"}


class Naive(nn.Module):
    """Draws what is legal, but takes its likelihood from the distribution without the mask, then and when learning."""

    def __init__(self, inner: clipper.ActorCritic) -> None:
        super().__init__()
        self.inner = inner
        self.to_env, self.value, self.absorb = inner.to_env, inner.value, inner.absorb
        self.actor_parameters, self.critic_parameters = inner.actor_parameters, inner.critic_parameters

    def act(self, obs: Tensor, memory: Any = (), action_mask: Any = ()) -> tuple[Any, Any]:
        return Halved(self.inner.act(obs, action_mask=action_mask)[0], self.inner.act(obs)[0]), memory

    def forward(self, obs: Tensor, memory: Any = (), action_mask: Any = ()) -> tuple[Any, Any]:
        return self.inner(obs)


class Halved:
    """What acts and what is remembered, apart."""

    def __init__(self, drawn: Any, told: Any) -> None:
        self.drawn, self.log_prob = drawn, told.log_prob

    def sample(self, generator: Generator | None = None) -> Tensor:
        return self.drawn.sample(generator)


class Unmasked(Naive):
    """Draws invalid actions too, which do nothing."""

    def act(self, obs: Tensor, memory: Any = (), action_mask: Any = ()) -> tuple[Any, Any]:
        return self.inner.act(obs)


def numbers(total_steps: int = 30_000) -> dict[str, list[float]]:
    """Return of the episodes in each iteration and the mean KL(μ‖π) over its update (k3), for the three kinds."""
    found: dict[str, list[float]] = {}
    algorithm = clipper.PPO(horizon=64, epochs=4, learning_rate=2e-3)
    for name, kind in (("masked", lambda inner: inner), ("naive", Naive), ("unmasked", Unmasked)):
        env = gymnasium.make_vec("clipper/MaskedGrid-v0", 16, size=4, items=1, kinds=24, max_steps=40)
        spaces = env.single_observation_space, env.single_action_space
        policy = kind(clipper.make_policy(*spaces, clipper.PolicyOptions(), Generator().manual_seed(1)))
        run = clipper.train(env, algorithm, policy=policy, total_steps=total_steps, engine="torch")
        for key, column_name in (("decisions", "steps"), ("return", "episode/return"), ("KL", "policy/kl")):
            found[f"{key}, {name}"] = column(run, column_name)
    return found


def draw(found: dict[str, list[float]], file: Path) -> None:
    """Return and KL against decisions."""
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, colour in COLOURS.items():
        left.plot(found[f"decisions, {name}"], found[f"return, {name}"], color=colour, label=name)
        right.semilogy(found[f"decisions, {name}"], found[f"KL, {name}"], color=colour, label=name)
    left.set_ylabel("return")
    right.set_ylabel("KL(μ‖π)")
    for axes in (left, right):
        axes.set_xlabel("decisions")
        axes.locator_params(axis="x", nbins=4)
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


REDUCED, TOLERANCE = {"total_steps": 2_000}, 0.5
COMPARED = {f"{key}, {name}": 2 for key in ("decisions", "return", "KL") for name in COLOURS}

if __name__ == "__main__":
    draw(numbers(), Path("masks.svg"))
