"""Exercises of the page on hybrid actions."""

import torch
from torch import Tensor

from clipper.distributions import Categorical, DiagonalGaussian
from clipper.exercises.exercise import Answer, Exercise, Mistake, Words, blank, gradients
from clipper.functional.objectives import clip

NAN = float("nan")
LOGITS = ((0.4, -0.2, 1.0), (0.0, 2.0, -1.0))
MEAN = ((0.0, 0.5, -0.5), (1.0, -1.0, 0.2))
LOG_STD = (-0.5, 0.0, 0.3)


def start_of(values: object) -> Tensor:
    """In float64, with a gradient."""
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def probe_log_prob(answer: Answer) -> dict[str, Tensor]:
    """Value and gradients, with and without NaN in what is not used."""
    logits, mean, log_std = start_of(LOGITS), start_of(MEAN), start_of(LOG_STD)
    choice = torch.tensor([2, 0])
    used = torch.tensor(((7.0, -7.0, 0.3), (0.8, 5.0, -5.0)), dtype=torch.float64)
    lost = torch.tensor(((NAN, NAN, 0.3), (0.8, NAN, NAN)), dtype=torch.float64)
    found = answer(logits, choice, mean, log_std, used)
    parameters = [logits, mean, log_std]
    with_nan = answer(logits, choice, mean, log_std, lost)
    names = ("logits", "μ", "log σ")
    return (
        {"log π": found}
        | {f"∂/∂{n}": g for n, g in zip(names, gradients(found, parameters), strict=True)}
        | {"log π, NaN in what is not used": with_nan}
        | {f"∂/∂{n}, NaN in what is not used": g for n, g in zip(names, gradients(with_nan, parameters), strict=True)}
    )


def each_argument(mean: Tensor, log_std: Tensor, arguments: Tensor) -> Tensor:
    """Log-density of each branch's argument, [B, K]."""
    return DiagonalGaussian(mean.unsqueeze(-1), log_std.unsqueeze(-1)).log_prob(arguments.unsqueeze(-1))


def log_prob(logits: Tensor, choice: Tensor, mean: Tensor, log_std: Tensor, arguments: Tensor) -> Tensor:
    """Only the chosen argument is ever looked at."""
    index = choice.unsqueeze(-1)
    mine = DiagonalGaussian(mean.gather(-1, index), log_std[choice].unsqueeze(-1))
    return Categorical(logits).log_prob(choice) + mine.log_prob(arguments.gather(-1, index))


def all_arguments(logits: Tensor, choice: Tensor, mean: Tensor, log_std: Tensor, arguments: Tensor) -> Tensor:
    """What is not used counts."""
    return Categorical(logits).log_prob(choice) + each_argument(mean, log_std, arguments).sum(-1)


def argument_only(logits: Tensor, choice: Tensor, mean: Tensor, log_std: Tensor, arguments: Tensor) -> Tensor:
    """Without the choice."""
    return log_prob(logits, choice, mean, log_std, arguments) - Categorical(logits).log_prob(choice)


def probe_entropy(answer: Answer) -> dict[str, Tensor]:
    """Value and gradients."""
    logits, log_std = start_of(LOGITS), start_of(LOG_STD)
    found = answer(logits, log_std)
    return dict(zip(("H", "∂H/∂logits", "∂H/∂log σ"), (found, *gradients(found, [logits, log_std])), strict=True))


def of_branches(log_std: Tensor) -> Tensor:
    """H of each argument, [K]."""
    return DiagonalGaussian(torch.zeros_like(log_std).unsqueeze(-1), log_std.unsqueeze(-1)).entropy()


def entropy(logits: Tensor, log_std: Tensor) -> Tensor:
    """H(choice) + Σ π(k) H(argument k)."""
    return Categorical(logits).entropy() + logits.softmax(-1) @ of_branches(log_std)


def probe_parts(answer: Answer) -> dict[str, Tensor]:
    """Value and gradients, inside and outside the bounds."""
    log_ratio = start_of(((0.3, -0.1, 0.0, 0.5), (-0.2, 0.4, 0.0, -0.45)))
    advantage = torch.tensor((1.0, -2.0, 3.0, 0.5), dtype=torch.float64)
    found = answer(log_ratio, advantage, 0.2)
    return {"loss": found, "∂/∂log r": gradients(found, [log_ratio])[0]}


def parts(log_ratio: Tensor, advantage: Tensor, epsilon: float) -> Tensor:
    """Without the constant that the library takes away."""
    return clip(log_ratio, advantage.expand_as(log_ratio), epsilon, epsilon).sum(0)


def product_of_clipped(log_ratio: Tensor, advantage: Tensor, epsilon: float) -> Tensor:
    """Clipped first, multiplied then."""
    r = log_ratio.exp()
    return -torch.minimum(r.prod(0) * advantage, r.clamp(1 - epsilon, 1 + epsilon).prod(0) * advantage)


EXERCISES = (
    Exercise(
        name="one-of-log-prob",
        title=Words("Only the chosen skill counts", "只有选中的技能才算数"),
        task=Words(
            "Write `one_of_log_prob(logits, choice, mean, log_std, arguments)`. There are K skills with one normally\n"
            "distributed argument each: logits, mean and arguments are `[B, K]`, log_std `[K]`, choice `[B]`. Return\n"
            "`[B]`: log π(a) = log π(k) + log π(xₖ | k). Arguments of other skills are there only to keep the shape;\n"
            "they may be NaN, and neither value nor gradient may notice.",
            "写 `one_of_log_prob(logits, choice, mean, log_std, arguments)`。共有 K 个技能，各带一个正态分布的参数：\n"
            "logits、mean、arguments 是 `[B, K]`，log_std 是 `[K]`，choice 是 `[B]`。返回 `[B]`：log π(a) = log π(k)\n"
            "+ log π(xₖ | k)。其他技能的参数只是为了保持形状，可能是 NaN，数值和梯度都不应受影响。",
        ),
        start=blank("one_of_log_prob(logits, choice, mean, log_std, arguments)"),
        probe=probe_log_prob,
        right=log_prob,
        mistakes=(
            Mistake(
                "all-arguments",
                Words(
                    "The arguments of skills that were not chosen count too: noise that had no effect on anything.",
                    "没有选中的技能的参数也算进去了：那是对什么都没有影响的噪声。",
                ),
                answer=all_arguments,
            ),
            Mistake(
                "argument-only",
                Words(
                    "log π(k) is missing: the choice itself would never be learned.",
                    "少了 log π(k)：选择本身永远学不到。",
                ),
                answer=argument_only,
            ),
            Mistake(
                "nan",
                Words(
                    "A NaN in an argument that is not used reached value or gradient. 0 · NaN is NaN, and where() "
                    "backpropagates through both sides: pick the chosen argument (gather), or replace the others, "
                    "before any density is computed.",
                    "没有用到的参数里的 NaN 传到了数值或梯度。0 · NaN 是 NaN，where() 的反向传播两支都走：应当在计算密"
                    "度之前就取出选中的参数（gather），或把其他的替换掉。",
                ),
                when=lambda found, expected: any(bool(x.isnan().any()) for x in found.values()),
            ),
        ),
    ),
    Exercise(
        name="one-of-entropy",
        title=Words("Entropy of a choice with arguments", "带参数的选择的熵"),
        task=Words(
            "Write `one_of_entropy(logits, log_std)` → `[B]` for the same policy: the entropy of the pair (k, xₖ).\n"
            "logits are `[B, K]`, log_std `[K]`.",
            "对同一个策略写 `one_of_entropy(logits, log_std)`，返回 `[B]`：二元组 (k, xₖ) 的熵。logits 是 `[B, K]`，\n"
            "log_std 是 `[K]`。",
        ),
        start=blank("one_of_entropy(logits, log_std)"),
        probe=probe_entropy,
        right=entropy,
        mistakes=(
            Mistake(
                "unweighted",
                Words(
                    "The arguments' entropies are summed as if all were used: each counts as often as its skill is "
                    "chosen, π(k).",
                    "各参数的熵被直接相加，好像全都用到了：每一个应按其技能被选中的概率 π(k) 计入。",
                ),
                answer=lambda logits, log_std: Categorical(logits).entropy() + of_branches(log_std).sum(),
            ),
            Mistake(
                "choice-only",
                Words(
                    "This is the entropy of the choice: the arguments' share is missing.",
                    "这只是选择的熵：少了参数的那一份。",
                ),
                answer=lambda logits, log_std: Categorical(logits).entropy(),
            ),
            Mistake(
                "arguments-only",
                Words(
                    "This is the expected entropy of the arguments: the choice's own is missing.",
                    "这只是参数熵的期望：少了选择本身的熵。",
                ),
                answer=lambda logits, log_std: logits.softmax(-1) @ of_branches(log_std),
            ),
        ),
    ),
    Exercise(
        name="per-part-loss",
        title=Words("One clipped term per part (H-PPO)", "每一部分各自裁剪（H-PPO）"),
        task=Words(
            "Write `per_part_loss(log_ratio, advantage, epsilon)`: log_ratio `[P, B]` holds log πᵢ/μᵢ of each of the\n"
            "P parts of an action (0 where a part was not used), advantage is `[B]`. Return `[B]`, Σᵢ −min(rᵢ Â,\n"
            "clip(rᵢ, 1 − ε, 1 + ε) Â), where rᵢ is the part's own ratio.",
            "写 `per_part_loss(log_ratio, advantage, epsilon)`：log_ratio `[P, B]` 是动作 P 个部分各自的 log πᵢ/μᵢ（\n"
            "没有用到的部分为 0），advantage 是 `[B]`。返回 `[B]`：Σᵢ −min(rᵢ Â, clip(rᵢ, 1 − ε, 1 + ε) Â)，其中 rᵢ \n"
            "是该部分自己的比率。",
        ),
        start=blank("per_part_loss(log_ratio, advantage, epsilon)"),
        probe=probe_parts,
        right=parts,
        mistakes=(
            Mistake(
                "joint",
                Words(
                    "This clips one ratio of the whole action, the product of the parts' ratios: sound too (Clipper's "
                    "default), but not what is asked for.",
                    "这里裁剪的是整个动作的一个比率，即各部分比率之积：这也合理（Clipper 的默认做法），但不是所要求"
                    "的。",
                ),
                answer=lambda log_ratio, advantage, epsilon: clip(log_ratio.sum(0), advantage, epsilon, epsilon),
            ),
            Mistake(
                "product-of-clipped",
                Words(
                    "The parts are clipped and then multiplied: the bound on the whole is (1 + ε)ᴾ.",
                    "各部分裁剪之后又乘了起来：整体的界成了 (1 + ε)ᴾ。",
                ),
                answer=product_of_clipped,
            ),
            Mistake(
                "no-minimum",
                Words(
                    "Without the minimum, a ratio that has gone the wrong way gets no gradient to bring it back.",
                    "没有取最小值，走错方向的比率就得不到把它拉回来的梯度。",
                ),
                answer=lambda log_ratio, advantage, epsilon: (
                    -(log_ratio.exp().clamp(1 - epsilon, 1 + epsilon) * advantage).sum(0)
                ),
            ),
        ),
    ),
)
