"""Exercises of the page on entropy, shared networks and the full loss."""

import torch
from torch import Tensor

from clipper.distributions import Categorical
from clipper.exercises.exercise import Answer, Exercise, Mistake, Words, blank, gradients
from clipper.functional import reduce

LOGITS = ((0.0, 0.0, 0.0, 0.0), (1.0, -2.0, 0.5, 3.0), (0.0, -1e9, 1.0, -1e9))


def probe_entropy(answer: Answer) -> dict[str, Tensor]:
    """Value and gradient, also where probabilities are 0."""
    logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    found = answer(logits)
    return {"H": found, "∂H/∂logits": gradients(found, [logits])[0]}


def nats(logits: Tensor) -> Tensor:
    """As the library has it."""
    return Categorical(logits).entropy()


def probe_loss(answer: Answer) -> dict[str, Tensor]:
    """The loss, and what it pulls at."""
    values = ((1.0, -0.5, 2.0), (0.3, 1.2, -1.0), (1.0, 1.0, 0.5), (0.7, 0.2, 1.1))
    parts = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in values]
    found = answer(*parts, 0.5, 0.01)
    names = ("surrogate", "value", "target", "entropy")
    return {"loss": found} | {f"∂/∂{name}": g for name, g in zip(names, gradients(found, parts), strict=True)}


def loss(surrogate: Tensor, value: Tensor, target: Tensor, entropy: Tensor, c1: float, c2: float) -> Tensor:
    """−L^{CLIP+VF+S} (arXiv:1707.06347, eq 9)."""
    return (-surrogate + c1 * (value - target.detach()).square() - c2 * entropy).mean()


def probe_standardise(answer: Answer) -> dict[str, Tensor]:
    """With a row that is no decision, and with advantages all alike."""
    advantage = torch.tensor([3.0, -1.0, 99.0, 4.0, 0.5, -7.0], dtype=torch.float64)
    mask = torch.tensor([True, True, False, True, True, True])
    return {
        "Â": answer(advantage, mask),
        "Â, all the same": answer(torch.full((4,), 0.5, dtype=torch.float64), torch.ones(4, dtype=torch.bool)),
    }


def standardise(advantage: Tensor, mask: Tensor) -> Tensor:
    """As the library has it."""
    return reduce.standardise(advantage, mask)


def over(advantage: Tensor, which: Tensor, correction: int) -> Tensor:
    """Standardised by the rows ``which``."""
    chosen = advantage[which]
    return (advantage - chosen.mean()) / (chosen.std(correction=correction) + 1e-8)


EXERCISES = (
    Exercise(
        name="entropy",
        title=Words("Entropy of a choice", "离散动作的熵"),
        task=Words(
            "Write `entropy(logits)`: logits `[B, K]` of a categorical distribution → its entropy `[B]` in nats, H =\n"
            "−Σₖ πₖ log πₖ. A logit may be −10⁹ (an action that is masked): its share of the entropy and its gradient\n"
            "are 0, not NaN.",
            "写 `entropy(logits)`：输入分类分布的 logits `[B, K]`，返回以 nat 为单位的熵 `[B]`，H = −Σₖ πₖ log πₖ。\n"
            "logit 可能是 −10⁹（被屏蔽的动作）：它对熵的贡献和它的梯度都是 0，而不是 NaN。",
        ),
        start=blank("entropy(logits)"),
        probe=probe_entropy,
        right=nats,
        mistakes=(
            Mistake(
                "sign",
                Words(
                    "This is Σ π log π, which is never positive: the sign is missing.",
                    "这是 Σ π log π，它从不为正：少了负号。",
                ),
                answer=lambda logits: -nats(logits),
            ),
            Mistake(
                "bits",
                Words("This is in bits: the logarithm is to base 2, not e.", "单位成了比特：对数的底是 2，而不是 e。"),
                answer=lambda logits: nats(logits) / torch.tensor(2.0, dtype=torch.float64).log(),
            ),
            Mistake(
                "mean",
                Words(
                    "This divides by the number of actions: entropy is a sum over k.",
                    "这里除以了动作的个数：熵是对 k 求和，不是求平均。",
                ),
                answer=lambda logits: nats(logits) / logits.shape[-1],
            ),
            Mistake(
                "zero-times-infinity",
                Words(
                    "Where π is 0, log π is −∞ and 0 · −∞ is NaN: take log π from log_softmax, not from log(softmax).",
                    "π 为 0 处 log π 是 −∞，而 0 · −∞ 是 NaN：log π 应取自 log_softmax，而不是 log(softmax)。",
                ),
                when=lambda found, expected: bool(found["H"].isnan().any() or found["∂H/∂logits"].isnan().any()),
            ),
        ),
    ),
    Exercise(
        name="full-loss",
        title=Words("Three terms and their signs", "三项与它们的符号"),
        task=Words(
            "Write `full_loss(surrogate, value, target, entropy, c1, c2)`. The first four are `[B]`: L^CLIP of each\n"
            "decision (to be climbed), V(s), what V is fitted to, and the policy's entropy. Return the one number\n"
            "that an optimizer should descend: L^CLIP and c₂ H should grow, c₁ (V − R)² should shrink, each in the\n"
            "mean over decisions. The target is data: no gradient goes through it.",
            "写 `full_loss(surrogate, value, target, entropy, c1, c2)`。前四个都是 `[B]`：每个决策的 L^CLIP（越大越\n"
            "好）、V(s)、V 的拟合目标、策略的熵。返回优化器应当下降的那一个数：L^CLIP 和 c₂ H 要增大，c₁ (V − R)² 要\n"
            "减小，都对决策取平均。拟合目标是数据：梯度不经过它。",
        ),
        start=blank("full_loss(surrogate, value, target, entropy, c1, c2)"),
        probe=probe_loss,
        right=loss,
        mistakes=(
            Mistake(
                "entropy-sign",
                Words(
                    "This loss falls as entropy falls: the bonus became a fine. What is to grow has a minus here.",
                    "熵越小损失越小：奖励变成了惩罚。要增大的量在损失里带负号。",
                ),
                answer=lambda s, v, r, h, c1, c2: loss(s, v, r, -h, c1, c2),
            ),
            Mistake(
                "surrogate-sign",
                Words(
                    "Descending this makes the surrogate smaller: it needs a minus.",
                    "沿它下降会使替代目标变小：它前面要加负号。",
                ),
                answer=lambda s, v, r, h, c1, c2: loss(-s, v, r, h, c1, c2),
            ),
            Mistake(
                "half",
                Words(
                    "The value loss is half of what is asked for. CleanRL and baselines have this ½; the paper has "
                    "not.",
                    "价值损失只有要求的一半。CleanRL 和 baselines 里有这个 ½，论文里没有。",
                ),
                answer=lambda s, v, r, h, c1, c2: loss(s, v, r, h, c1 / 2, c2),
            ),
            Mistake(
                "moving-target",
                Words(
                    "The number is right, but a gradient reaches the target: detach it. Else the target runs to meet "
                    "the prediction.",
                    "数值是对的，但有梯度流到了拟合目标：要 detach。否则目标会迎着预测跑过来。",
                ),
                when=lambda found, expected: bool(
                    found["∂/∂target"].abs().max() > 1e-9 and torch.allclose(found["loss"], expected["loss"])
                ),
            ),
        ),
    ),
    Exercise(
        name="standardise-advantages",
        title=Words("Standardised advantages", "优势标准化"),
        task=Words(
            "Write `standardise_advantages(advantage, mask)`, both `[B]`: bring the advantages of the decisions (mask\n"
            "True) to mean 0 and standard deviation 1, with n − 1 under the root, as torch has it. Rows that are no\n"
            "decision count for nothing and become 0. Where all advantages are the same, the result is 0.",
            "写 `standardise_advantages(advantage, mask)`，两者都是 `[B]`：把各决策（mask 为 True）的优势变为均值 0、\n"
            "标准差 1，方差除以 n − 1，与 torch 一致。不是决策的行不参与统计，结果为 0。所有优势都相同时，结果为 0。",
        ),
        start=blank("standardise_advantages(advantage, mask)"),
        probe=probe_standardise,
        right=standardise,
        mistakes=(
            Mistake(
                "padding",
                Words("Rows that are no decision entered mean and deviation.", "不是决策的行也进入了均值和标准差。"),
                answer=lambda advantage, mask: over(advantage, torch.ones_like(mask), 1).where(mask, 0.0),
            ),
            Mistake(
                "population",
                Words(
                    "This divides the variance by n, as numpy does; torch's std divides by n − 1.",
                    "这里方差除以 n（numpy 的习惯）；torch 的 std 除以 n − 1。",
                ),
                answer=lambda advantage, mask: over(advantage, mask, 0).where(mask, 0.0),
            ),
            Mistake(
                "left-in",
                Words(
                    "Right for decisions, but rows that are none have to become 0.",
                    "决策的结果是对的，但不是决策的行应当变为 0。",
                ),
                answer=lambda advantage, mask: over(advantage, mask, 1),
            ),
            Mistake(
                "zero-by-zero",
                Words(
                    "0/0: where all advantages are the same the deviation is 0. Add a small ε to it.",
                    "0/0：所有优势都相同时标准差为 0。给它加上一个小的 ε。",
                ),
                when=lambda found, expected: bool(found["Â, all the same"].isnan().any()),
            ),
        ),
    ),
)
