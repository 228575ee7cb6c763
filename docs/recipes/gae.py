"""What λ trades: bias of a wrong critic against variance of returns. python docs/recipes/gae.py"""

from pathlib import Path

from coins import gradients
from matplotlib.figure import Figure
from streak import exact_gradient, games, probability, value

from clipper.functional.returns import gae

P = 0.8
LAMBDAS = tuple(i / 20 for i in range(21))
CRITICS = {"V̂ = V": (1.0, "#009E73"), "V̂ = V/2": (0.5, "#0072B2"), "V̂ = 0": (0.0, "#D55E00")}
BATCH = 16
TOLERANCE = ABSOLUTE = 1e-9  # in tests


def numbers() -> dict[str, list[float]]:
    """Bias, standard deviation and, for 16 games, RMS error of ∇J over ∇J, by enumeration, for each critic and λ."""
    played = games()
    chance, exact = probability(played, P), exact_gradient(P)
    ended = played.done  # both tails and the T-th toss end the game: nothing is left to win
    found: dict[str, list[float]] = {"λ": list(LAMBDAS)}
    for name, (share, _) in CRITICS.items():
        predicted = (share * value(P))[:, None].expand(-1, played.reward.shape[1])
        bias, std = [], []
        for lam in LAMBDAS:
            advantage = gae(played.reward, predicted, ended, played.done, played.mask, gamma=1.0, lam=lam)
            estimate = gradients(played.action, advantage, P)
            mean = (chance * estimate).sum()
            bias.append((mean / exact - 1).item())
            std.append(((chance * (estimate - mean) ** 2).sum().sqrt() / exact).item())
        found |= {f"bias {name}": bias, f"std {name}": std}
        found[f"rms {name}"] = [(b**2 + s**2 / BATCH) ** 0.5 for b, s in zip(bias, std, strict=True)]
    return found


def draw(found: dict[str, list[float]], file: Path) -> None:
    """Bias, standard deviation and RMS error against λ."""
    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    labels = {"bias": "E[ĝ]/∇J − 1", "std": "std(ĝ)/∇J", "rms": f"RMSE/∇J (M = {BATCH})"}
    for axes, (quantity, label) in zip(figure.subplots(1, 3), labels.items(), strict=True):
        for name, (_, colour) in CRITICS.items():
            axes.plot(found["λ"], found[f"{quantity} {name}"], color=colour, label=name)
        axes.set_xlabel("λ")
        axes.set_ylabel(label)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[2].legend(frameon=False, fontsize=8, loc="upper right")
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    draw(numbers(), Path("gae.svg"))
