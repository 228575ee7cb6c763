"""Exercises to the page on the surrogate and its clipping."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from clipper.exercises.exercise import Answer, Exercise, Measured, Mistake, Words, blank, gradients
from clipper.functional import objectives

EPSILON = 0.2
RATIOS = (0.5, 0.9, 1.1, 1.6)


def cells() -> tuple[Tensor, Tensor, Tensor]:
    """Log π, log μ and Â of eight decisions: both signs at each ratio, so that all six cells have some."""
    ratio = torch.tensor(RATIOS * 2, dtype=torch.float64)
    advantage = torch.tensor([1.0, 2.0, 0.5, 1.5, -1.0, -2.0, -0.5, -1.5], dtype=torch.float64)
    old = torch.linspace(-2, -0.6, 8, dtype=torch.float64)
    return (old + ratio.log()).requires_grad_(), old, advantage


def probe_clip(answer: Answer) -> Measured:
    """The loss and its gradient, cell by cell."""
    log_prob, old, advantage = cells()
    loss = answer(log_prob, old, advantage, EPSILON)
    return {"loss": loss, "∂loss/∂log π": gradients(loss, (log_prob,))[0]}


def clipped(
    surrogate: Callable[[Tensor, Tensor, float], Tensor],
) -> Callable[[Tensor, Tensor, Tensor, float], Tensor]:
    """The mean loss that a surrogate of (r, Â, ε) makes."""
    return lambda new, old, advantage, epsilon: -surrogate((new - old).exp(), advantage, epsilon).mean()


CLIP = Exercise(
    name="clipped-loss",
    title=Words("PPO's loss", "PPO 的损失"),
    task=Words(
        """
Write `clipped_loss(log_prob, old_log_prob, advantage, epsilon)`: −L^CLIP = −E[min(r Â, clip(r, 1−ε, 1+ε) Â)], a loss
to be minimised, with r = π/π_old. All are [B]; give back a scalar, the mean. Its gradient is checked in all six cells.
""",
        """
请写出 `clipped_loss(log_prob, old_log_prob, advantage, epsilon)`：−L^CLIP = −E[min(r Â, clip(r, 1−ε, 1+ε) Â)]，
即要最小化的损失，其中 r = π/π_old。各参数形状都是 [B]；返回标量（均值）。六种情形下的梯度都会检查。
""",
    ),
    start=blank("clipped_loss(log_prob, old_log_prob, advantage, epsilon)"),
    probe=probe_clip,
    right=lambda new, old, advantage, epsilon: objectives.clip(new - old, advantage, epsilon, epsilon).mean(),
    mistakes=(
        Mistake(
            "ascent",
            Words("The sign is wrong: an optimiser descends, so the surrogate needs a minus.",
                  "符号反了：优化器做的是下降，替代目标前要加负号。"),
            clipped(lambda r, a, e: -torch.minimum(r * a, r.clamp(1 - e, 1 + e) * a)),
        ),
        Mistake(
            "no-minimum",
            Words("Only the clipped term is there: without the minimum, nothing brings back a step that went wrong.",
                  "只有裁剪项：没有取最小值，走错的一步就再也拉不回来。"),
            clipped(lambda r, a, e: r.clamp(1 - e, 1 + e) * a),
        ),
        Mistake(
            "maximum",
            Words("This is the maximum of the two terms: PPO takes the worse, the minimum.",
                  "这里取了两项的最大值：PPO 取较差的那一项，即最小值。"),
            clipped(lambda r, a, e: torch.maximum(r * a, r.clamp(1 - e, 1 + e) * a)),
        ),
        Mistake(
            "minimum-of-ratios",
            Words("The minimum is taken of the ratios: multiply by Â first, since where Â < 0 the order turns round.",
                  "最小值取在了比率上：要先乘 Â，因为 Â < 0 时大小顺序会颠倒。"),
            clipped(lambda r, a, e: torch.minimum(r, r.clamp(1 - e, 1 + e)) * a),
        ),
        Mistake(
            "not-clipped",
            Words("This is L^CPI: nothing is clipped.", "这是 L^CPI：完全没有裁剪。"),
            clipped(lambda r, a, e: r * a),
        ),
        Mistake(
            "no-exponential",
            Words("A difference of logarithms is log r, and r = exp(log π − log π_old).",
                  "对数之差是 log r，而 r = exp(log π − log π_old)。"),
            lambda new, old, a, e: -torch.minimum((new - old) * a, (new - old).clamp(1 - e, 1 + e) * a).mean(),
        ),
        Mistake(
            "inverse-ratio",
            Words("The ratio is upside down: r = π/π_old.", "比率颠倒了：r = π/π_old。"),
            lambda new, old, a, e: objectives.clip(old - new, a, e, e).mean(),
        ),
        Mistake(
            "summed",
            Words("This is the sum over the batch: it is a mean, so that the step does not depend on its size.",
                  "这是对整批求和：应取均值，步长才不随批量大小改变。"),
            lambda new, old, a, e: objectives.clip(new - old, a, e, e).sum(),
        ),
    ),
)  # fmt: skip


def probe_let_go(answer: Answer) -> Measured:
    """Which of the eight have no gradient."""
    log_prob, old, advantage = cells()
    return {"let go": answer((log_prob - old).detach(), advantage, EPSILON)}


def outside(log_ratio: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Whether r lies below, and whether above the bounds."""
    return log_ratio.exp() < 1 - epsilon, log_ratio.exp() > 1 + epsilon


LET_GO = Exercise(
    name="let-go",
    title=Words("Where it lets go", "何时放手"),
    task=Words(
        """
Write `let_go(log_ratio, advantage, epsilon)`: True for the decisions whose gradient of L^CLIP is 0. All are [B]; give
back booleans [B]. Do it by comparisons, without autograd. Then compare with the clip fraction that PPO programs print.
""",
        """
请写出 `let_go(log_ratio, advantage, epsilon)`：L^CLIP 的梯度为 0 的那些决策处为 True。
各参数形状都是 [B]；返回布尔值 [B]。只用比较，不用自动微分。再想一想，它与各家 PPO 打印的裁剪比例有何不同。
""",
    ),
    start=blank("let_go(log_ratio, advantage, epsilon)"),
    probe=probe_let_go,
    right=lambda l, a, e: outside(l, e)[0] & (a < 0) | outside(l, e)[1] & (a > 0),
    mistakes=(
        Mistake(
            "clip-fraction",
            Words("These are all ratios outside the bounds, which the clip fraction counts: half keep their gradient.",
                  "这是所有越界的比率，裁剪比例数的就是它们；其中一半仍有梯度。"),
            lambda l, a, e: outside(l, e)[0] | outside(l, e)[1],
        ),
        Mistake(
            "signs-swapped",
            Words("The signs are swapped: it lets go where the ratio has gone the way that Â favours.",
                  "符号弄反了：比率沿着 Â 所指的方向越界时，它才放手。"),
            lambda l, a, e: outside(l, e)[0] & (a > 0) | outside(l, e)[1] & (a < 0),
        ),
        Mistake(
            "above-only",
            Words("Only the upper bound is there: where Â < 0 it lets go below 1 − ε.",
                  "只考虑了上界：Â < 0 时，低于 1 − ε 也会放手。"),
            lambda l, a, e: outside(l, e)[1] & (a > 0),
        ),
        Mistake(
            "inverted",
            Words("These are the decisions that keep their gradient.", "这些是仍有梯度的决策。"),
            lambda l, a, e: ~(outside(l, e)[0] & (a < 0) | outside(l, e)[1] & (a > 0)),
        ),
    ),
)  # fmt: skip

SIZES = (3, 2, (4, 5))


class GaussianPolicy(nn.Module):
    """Tanh layers and a Gaussian about the last one's output, with the places where mistakes are made."""

    def __init__(
        self, sizes: list[int], activation: type[nn.Module], last: type[nn.Module], learnt: bool, summed: bool
    ) -> None:
        super().__init__()
        layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), activation())]
        self.mean = nn.Sequential(*layers[:-1], last())
        log_std = torch.full((sizes[-1],), -0.5)
        if learnt:
            self.log_std = nn.Parameter(log_std)
        else:
            self.register_buffer("log_std", log_std)
        self.summed = summed

    def forward(self, obs: Tensor) -> Normal | Independent:
        normal = Normal(self.mean(obs), self.log_std.exp())
        return Independent(normal, 1) if self.summed else normal


def policy(
    activation: type[nn.Module] = nn.Tanh,
    last: type[nn.Module] = nn.Identity,
    learnt: bool = True,
    summed: bool = True,
) -> Answer:
    """An answer with these parts."""
    return lambda obs, act, hidden: GaussianPolicy([obs, *hidden, act], activation, last, learnt, summed)


def probe_policy(answer: Answer) -> Measured:
    """With weights set by hand, so that the initial ones do not matter: the density, its parts, what it learns."""
    made = answer(*SIZES)
    linear = [layer for layer in made.modules() if isinstance(layer, nn.Linear)]
    weights = [p for layer in linear for p in (layer.weight, layer.bias)]
    for p in weights:
        p.data = torch.sin(torch.arange(p.numel(), dtype=p.dtype) + 0.5).view(p.shape)
    obs = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.3, -1.0]])
    action = torch.tensor([[0.5, -1.5], [2.0, 0.0]])
    dist = made(obs)
    log_prob = dist.log_prob(action)
    by_weights = gradients(log_prob, weights)
    rest = [p for p in made.parameters() if not any(p is w for w in weights)]
    return {
        "number of weights": float(sum(p.numel() for p in weights)),
        "μ": dist.mean,
        "σ": dist.stddev.expand(2, 2),
        "log π": log_prob,
        "number of parameters beside the weights": float(sum(p.numel() for p in rest)),
        "|∂log π/∂weights|": math.sqrt(sum(float(g.square().sum()) for g in by_weights)),
        "|∂log π/∂log σ|": math.sqrt(sum(float(g.square().sum()) for g in gradients(log_prob, rest))),
    }


POLICY = Exercise(
    name="mlp-gaussian-policy",
    title=Words("A policy for PPO (Spinning Up 1.2)", "给 PPO 用的策略（Spinning Up 1.2）"),
    task=Words(
        """
Write `mlp_gaussian_policy(obs_dim, action_dim, hidden)`: an nn.Module that maps observations [B, obs_dim] to a
torch.distributions object over actions [B, action_dim]. Its mean comes from linear layers of the widths in `hidden`, a
tanh after each of them and none after the last layer. Its σ is the same in all states and learnt: log σ is a parameter,
−0.5 at the start. The distribution's log_prob gives one number per action, [B].
""",
        """
请写出 `mlp_gaussian_policy(obs_dim, action_dim, hidden)`：一个 nn.Module，把观测 [B, obs_dim] 映射为
动作 [B, action_dim] 上的 torch.distributions 分布对象。均值来自若干线性层，隐藏层宽度由 `hidden` 给出，
每个隐藏层后接 tanh，最后一层之后不接激活函数。
σ 与状态无关，且可学习：log σ 是参数，初值为 −0.5。该分布的 log_prob 对每个动作给出一个数，即 [B]。
""",
    ),
    start="import torch\nfrom torch import nn\n\n\n"
    "def mlp_gaussian_policy(obs_dim, action_dim, hidden):\n    raise NotImplementedError\n",
    probe=probe_policy,
    right=policy(),
    mistakes=(
        Mistake(
            "not-summed",
            Words("log_prob gives a number per part: torch.distributions.Independent(…, 1) sums over the parts.",
                  "log_prob 对每个分量各给一个数：用 torch.distributions.Independent(…, 1) 对动作各分量求和。"),
            policy(summed=False),
        ),
        Mistake(
            "fixed-sigma",
            Words("σ cannot be learnt: make log σ an nn.Parameter.", "σ 无法学习：log σ 要设成 nn.Parameter。"),
            policy(learnt=False),
        ),
        Mistake(
            "bounded-mean",
            Words("An activation follows the last layer: it bounds the mean.",
                  "最后一层之后接了激活函数：均值被限制住了。"),
            policy(last=nn.Tanh),
        ),
        Mistake(
            "linear",
            Words("There is no activation between the layers: all of them are one linear map.",
                  "各层之间没有激活函数：合起来只是一个线性映射。"),
            policy(activation=nn.Identity),
        ),
        Mistake(
            "relu",
            Words("ReLU stands where tanh was asked for.", "题目要求 tanh，这里用的是 ReLU。"),
            policy(activation=nn.ReLU),
        ),
        Mistake(
            "sigma-of-the-state",
            Words("σ depends on the observation: here it is one parameter per part, the same in all states.",
                  "σ 随观测变化：这里每个分量只有一个参数，所有状态共用。"),
            when=lambda found, _: bool((found["σ"][0] - found["σ"][1]).abs().max() > 1e-6),
        ),
    ),
)  # fmt: skip

EXERCISES = (CLIP, LET_GO, POLICY)
