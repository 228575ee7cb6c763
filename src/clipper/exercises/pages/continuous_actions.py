"""Exercises of the page on continuous actions."""

import torch
from torch import Tensor

from clipper.distributions import DiagonalGaussian, SquashedGaussian
from clipper.exercises.exercise import Answer, Exercise, Mistake, Words, blank, gradients

HIGHEST = 5.0
MEAN, LOG_STD = ((0.5, -1.0), (0.0, 2.0)), (-0.5, 0.3)


def numbers(x: object) -> Tensor:
    """In float64, with a gradient."""
    return torch.tensor(x, dtype=torch.float64, requires_grad=True)


def probe_stored(answer: Answer) -> dict[str, Tensor]:
    """With draws on both sides of the bounds."""
    mean, log_std = numbers(MEAN), numbers(LOG_STD)
    noise = torch.tensor(((0.3, -0.2), (-2.5, 0.4)), dtype=torch.float64)
    low, high = (torch.tensor(x, dtype=torch.float64) for x in ((-2.0, 0.0), (2.0, HIGHEST)))
    kept, sent, log_prob = answer(mean, log_std, noise, low, high)
    return {"stored": kept, "sent": sent, "log π": log_prob}


def stored(mean: Tensor, log_std: Tensor, noise: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What was drawn is kept; what is sent leaves no trace in the likelihood."""
    raw = (mean + log_std.exp() * noise).detach()
    sent = ((low + high) / 2 + (high - low) / 2 * raw).clamp(low, high)
    return raw, sent, likelihood(raw, mean, log_std)


def of_the_clipped(
    mean: Tensor, log_std: Tensor, noise: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The density at the bound instead of beyond it."""
    raw, sent, _ = stored(mean, log_std, noise, low, high)
    return raw, sent, likelihood(raw.clamp(-1, 1), mean, log_std)


def not_mapped(
    mean: Tensor, log_std: Tensor, noise: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Clipped only."""
    raw, _, log_prob = stored(mean, log_std, noise, low, high)
    return raw, raw.clamp(low, high), log_prob


def likelihood(action: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """As the library has it."""
    return DiagonalGaussian(mean, log_std).log_prob(action)


Layers = list[tuple[Tensor, Tensor]]


def probe_actor(answer: Answer) -> dict[str, Tensor]:
    """The action, its density and the gradients of that."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((3, 5), (5, 2))
    layers = [tuple(torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
                    for shape in ((out, inputs), (out,))) for inputs, out in sizes]  # fmt: skip
    obs = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    noise = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    log_std = numbers(LOG_STD)
    action, log_prob = answer(obs, layers, log_std, noise)
    of_log_std, of_weight = gradients(log_prob, [log_std, layers[0][0]])
    return {"action": action, "log π": log_prob, "∂log π/∂log σ": of_log_std, "∂log π/∂W": of_weight}


def network(obs: Tensor, layers: Layers) -> Tensor:
    """Tanh between the layers, none behind the last."""
    for weight, bias in layers[:-1]:
        obs = torch.tanh(obs @ weight.T + bias)
    return obs @ layers[-1][0].T + layers[-1][1]


def actor(obs: Tensor, layers: Layers, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """What is drawn is data: its likelihood is differentiated with the action held."""
    dist = DiagonalGaussian(network(obs, layers), log_std)
    action = (dist.mean + dist.log_std.exp() * noise).detach()
    return action, dist.log_prob(action)


def attached(obs: Tensor, layers: Layers, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient runs through the sample too."""
    dist = DiagonalGaussian(network(obs, layers), log_std)
    action = dist.mean + dist.log_std.exp() * noise
    return action, dist.log_prob(action)


def bounded(obs: Tensor, layers: Layers, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Tanh behind the last layer."""
    dist = DiagonalGaussian(network(obs, layers).tanh(), log_std)
    action = (dist.mean + dist.log_std.exp() * noise).detach()
    return action, dist.log_prob(action)


def logarithmic(obs: Tensor, layers: Layers, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The noise times log σ."""
    dist = DiagonalGaussian(network(obs, layers), log_std)
    action = (dist.mean + dist.log_std * noise).detach()
    return action, dist.log_prob(action)


def probe_squashed(answer: Answer) -> dict[str, Tensor]:
    """Far out, too, and for two components."""
    u = torch.tensor([[0.0], [0.8], [-1.5], [6.0], [-40.0]], dtype=torch.float64)
    mean, log_std = torch.full_like(u, 0.3), torch.tensor([-0.2], dtype=torch.float64)
    two = torch.tensor([[0.4, -0.9]], dtype=torch.float64)
    return {
        "log π": answer(u, mean, log_std),
        "log π, two components": answer(two, torch.zeros_like(two), torch.zeros(2, dtype=torch.float64)),
    }


def squashed(u: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """As the library has it."""
    return SquashedGaussian(mean, log_std).log_prob(u)


def slope(u: Tensor) -> Tensor:
    """−log of the slope of tanh at u: what squashing adds."""
    return squashed(u, u, torch.zeros_like(u)) - likelihood(u, u, torch.zeros_like(u))


EXERCISES = (
    Exercise(
        name="stored-action",
        title=Words("What is stored, what is sent", "存什么，发什么"),
        task=Words(
            "Write `stored_action(mean, log_std, noise, low, high)` → `(stored, sent, log_prob)`. mean and noise are\n"
            "`[B, A]`, log_std, low and high `[A]`. The policy draws a normal action, meant for [−1, 1]. What is sent\n"
            "to the environment is mapped affinely from [−1, 1] onto [low, high] and clipped there; what is stored,\n"
            "and whose log-density `[B]` is returned, must be such that a later ratio is exact.",
            "写 `stored_action(mean, log_std, noise, low, high)`，返回 `(stored, sent, log_prob)`。mean 和 noise 是\n"
            "`[B, A]`，log_std、low、high 是 `[A]`。策略采样一个正态动作，它的范围按 [−1, 1] 设计。发给环境的动作由\n"
            "[−1, 1] 仿射映射到 [low, high] 并在那里裁剪；存下来的动作和返回的对数密度 `[B]`，必须使以后的比率是准确\n"
            "的。",
        ),
        start=blank("stored_action(mean, log_std, noise, low, high)"),
        probe=probe_stored,
        right=stored,
        mistakes=(
            Mistake(
                "stores-what-was-sent",
                Words(
                    "What is stored is what was sent: everything beyond a bound was drawn as something else, and its "
                    "likelihood is lost.",
                    "存的是发出去的动作：越界的部分采样时并不是这个值，它的似然就丢了。",
                ),
                when=lambda found, expected: torch.equal(found["stored"], expected["sent"]),
            ),
            Mistake(
                "likelihood-of-the-clipped",
                Words(
                    "The right action is stored, but log_prob is that of the clipped one: the first ratio of an "
                    "update would not be 1.",
                    "存的动作是对的，但 log_prob 是裁剪后动作的：更新开始时的比率就不是 1。",
                ),
                answer=of_the_clipped,
            ),
            Mistake(
                "not-mapped",
                Words(
                    "What is sent is clipped but not mapped: ±1 should become the bounds.",
                    "发出的动作只裁剪了，没有映射：±1 应当对应到边界。",
                ),
                answer=not_mapped,
            ),
            Mistake(
                "not-clipped",
                Words("What is sent lies beyond the bounds.", "发出的动作越过了边界。"),
                when=lambda found, expected: bool((found["sent"].abs() > HIGHEST).any()),
            ),
        ),
    ),
    Exercise(
        name="gaussian-actor",
        title=Words("What is drawn is data", "采出的动作就是数据"),
        task=Words(
            "Write `gaussian_actor(obs, layers, log_std, noise)` → `(action, log_prob)`. `layers` is a list of\n"
            "(weight `[out, in]`, bias `[out]`) of an MLP with tanh between its layers and nothing behind the last,\n"
            "whose output is the mean. The action is drawn with the given standard normal noise. log_prob `[B]` is\n"
            "what a policy gradient differentiates: the likelihood of that action, which is data from then on.",
            "写 `gaussian_actor(obs, layers, log_std, noise)`，返回 `(action, log_prob)`。`layers` 是 (weight `[out,\n"
            "in]`, bias `[out]`) 的列表，构成一个 MLP：层间用 tanh，最后一层之后什么也不加，输出就是均值。动作用给定\n"
            "的标准正态噪声采样。log_prob `[B]` 是策略梯度要求导的量：该动作的似然，而动作一旦采出就是数据。",
        ),
        start=blank("gaussian_actor(obs, layers, log_std, noise)"),
        probe=probe_actor,
        right=actor,
        mistakes=(
            Mistake(
                "through-the-sample",
                Words(
                    "The numbers are right, the gradient is not: it runs through the sample, which moves along with "
                    "the mean, so that nothing is left for the mean to learn. Detach the action.",
                    "数值是对的，梯度不对：它流过了采样得到的动作，动作随均值一起移动，均值就什么也学不到了。请 "
                    "detach 动作。",
                ),
                answer=attached,
            ),
            Mistake(
                "tanh-at-the-end",
                Words(
                    "There is a tanh behind the last layer: means beyond ±1 are out of reach.",
                    "最后一层之后多了一个 tanh：均值到不了 ±1 之外。",
                ),
                answer=bounded,
            ),
            Mistake(
                "noise-by-log-std",
                Words("The noise is multiplied by log σ instead of σ.", "噪声乘的是 log σ，而不是 σ。"),
                answer=logarithmic,
            ),
        ),
    ),
    Exercise(
        name="squashed-log-prob",
        title=Words("The density of a squashed action", "压缩后动作的密度"),
        task=Words(
            "Write `squashed_log_prob(u, mean, log_std)`: u `[B, A]` was drawn from N(mean, σ²), and the action is a\n"
            "= tanh(u). Return log π(a) `[B]`, the density of a. It has to be exact where tanh(u) rounds to ±1: u =\n"
            "−40 is tried.",
            "写 `squashed_log_prob(u, mean, log_std)`：u `[B, A]` 采自 N(mean, σ²)，动作是 a = tanh(u)。返回 a 的对数\n"
            "密度 log π(a) `[B]`。在 tanh(u) 舍入为 ±1 的地方也要准确：会用 u = −40 来试。",
        ),
        start=blank("squashed_log_prob(u, mean, log_std)"),
        probe=probe_squashed,
        right=squashed,
        mistakes=(
            Mistake(
                "of-u",
                Words(
                    "This is the density of u. Squashing packs it more densely: subtract log of the slope of tanh.",
                    "这是 u 的密度。压缩会把它挤得更密：要减去 tanh 斜率的对数。",
                ),
                answer=likelihood,
            ),
            Mistake(
                "added",
                Words(
                    "The correction has the wrong sign: where tanh is flat, much of u lands on little of a, and the "
                    "density is higher.",
                    "修正项的符号反了：tanh 平坦处，大段的 u 落在小段的 a 上，密度应当更高。",
                ),
                answer=lambda u, mean, log_std: likelihood(u, mean, log_std) - slope(u),
            ),
            Mistake(
                "epsilon",
                Words(
                    "An ε inside log(1 − tanh²u + ε) keeps it finite but wrong from |u| ≈ 6 on. Use log(1 − tanh²u) = "
                    "2 (log 2 − u − softplus(−2u)).",
                    "log(1 − tanh²u + ε) 里的 ε 使结果有限，但从 |u| ≈ 6 起就不对了。请用 log(1 − tanh²u) = 2 (log 2 "
                    "− u − softplus(−2u))。",
                ),
                when=lambda found, expected: bool(
                    found["log π"].isfinite().all()
                    and torch.allclose(found["log π"][:3], expected["log π"][:3], rtol=1e-4)
                ),
            ),
            Mistake(
                "infinite",
                Words(
                    "tanh(−40) rounds to −1 and the correction to log 0. Use log(1 − tanh²u) = 2 (log 2 − u − "
                    "softplus(−2u)).",
                    "tanh(−40) 舍入为 −1，修正项成了 log 0。请用 log(1 − tanh²u) = 2 (log 2 − u − softplus(−2u))。",
                ),
                when=lambda found, expected: not bool(found["log π"].isfinite().all()),
            ),
        ),
    ),
)
