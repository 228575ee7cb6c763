"""Exercises to the page on KL penalties."""

import math

import torch
from torch import Tensor

from clipper.exercises.exercise import Answer, Exercise, Measured, Mistake, Words, blank, gradients
from clipper.functional import objectives

TARGET = 0.02
KLS = {"KL = d/2": 0.01, "KL = 0.7 d": 0.014, "KL = d": 0.02, "KL = 1.4 d": 0.028, "KL = 2 d": 0.04}


def probe_beta(answer: Answer) -> Measured:
    """β after each of five updates, on both sides of both bounds."""
    return {f"β ({name})": answer(3.0, kl, TARGET) for name, kl in KLS.items()}


def adapt(beta: float, kl: float, target: float, low: float = 1.5, high: float = 1.5, factor: float = 2.0) -> float:
    """The rule, with the places where mistakes are made."""
    if kl < target / low:
        return beta / factor
    return beta * factor if kl > target * high else beta


ADAPT = Exercise(
    name="adaptive-beta",
    title=Words("The rule for β", "β 的调整规则"),
    task=Words(
        """
Write `adaptive_beta(beta, kl, target)`: the paper's rule. β is halved where the KL of the update came out below
d_targ / 1.5, doubled where it came out above 1.5 d_targ, and kept between. All are numbers; give back the next β.
""",
        """
请写出 `adaptive_beta(beta, kl, target)`：论文中的规则。
更新后的 KL 低于 d_targ / 1.5 时 β 减半，高于 1.5 d_targ 时加倍，介于其间则不变。各参数都是数；返回下一个 β。
""",
    ),
    start="def adaptive_beta(beta, kl, target):\n    raise NotImplementedError\n",
    probe=probe_beta,
    right=adapt,
    mistakes=(
        Mistake(
            "reversed",
            Words("The directions are exchanged: a KL that is too large asks for a larger penalty.",
                  "方向反了：KL 过大，惩罚就该加重。"),
            lambda beta, kl, target: adapt(beta, kl, target, factor=0.5),
        ),
        Mistake(
            "no-band",
            Words("β changes even where the KL is near its target: between d/1.5 and 1.5 d it is kept.",
                  "KL 已接近目标，β 仍在变：在 d/1.5 与 1.5 d 之间应保持不变。"),
            lambda beta, kl, target: adapt(beta, kl, target, low=1, high=1),
        ),
        Mistake(
            "only-doubles",
            Words("β is never halved: it can only grow.", "β 从不减半：它只会增大。"),
            lambda beta, kl, target: adapt(beta, kl, target, low=math.inf),
        ),
        Mistake(
            "factor",
            Words("1.5 bounds the band; β itself changes by a factor of 2.", "1.5 是界限用的；β 本身按 2 倍变化。"),
            lambda beta, kl, target: adapt(beta, kl, target, factor=1.5),
        ),
    ),
)  # fmt: skip


def probe_estimate(answer: Answer) -> Measured:
    """Estimates from five log-ratios."""
    return {"k₃": answer(torch.tensor([0.0, 0.5, -0.5, 2.0, -3.0], dtype=torch.float64))}


ESTIMATE = Exercise(
    name="kl-from-samples",
    title=Words("The KL from samples", "由样本估计 KL"),
    task=Words(
        """
Write `kl_from_samples(log_ratio)`: for each action a ~ μ the estimate k₃ of KL(μ ‖ π), unbiased and never negative,
from `log_ratio` [B] = log π(a) − log μ(a). Give back [B].
Hint: E[r − 1] = 0 under μ, and log is below its tangent at 1.
""",
        """
请写出 `kl_from_samples(log_ratio)`：对每个 a ~ μ 的动作，由 `log_ratio` [B] = log π(a) − log μ(a)
给出 KL(μ ‖ π) 的估计 k₃，它无偏且从不为负。返回 [B]。提示：在 μ 下 E[r − 1] = 0，而 log 总在它于 1 处的切线之下。
""",
    ),
    start=blank("kl_from_samples(log_ratio)"),
    probe=probe_estimate,
    right=lambda log_ratio: objectives.kl_estimates(log_ratio)[2],
    mistakes=(
        Mistake(
            "k1",
            Words("This is k₁ = −log r: unbiased, but negative wherever π likes the action better than μ did.",
                  "这是 k₁ = −log r：无偏，但只要 π 比 μ 更偏好该动作，它就为负。"),
            lambda x: -x,
        ),
        Mistake(
            "k2",
            Words("This is k₂ = ½ (log r)²: never negative, but biased.", "这是 k₂ = ½ (log r)²：从不为负，但有偏。"),
            lambda x: 0.5 * x.square(),
        ),
        Mistake(
            "other-direction",
            Words("This is an estimate of KL(π ‖ μ): the actions come from μ, and r = π/μ.",
                  "这估计的是 KL(π ‖ μ)：动作来自 μ，且 r = π/μ。"),
            lambda x: x.exp() * x - x.exp() + 1,
        ),
        Mistake(
            "sign-of-the-ratio",
            Words("The ratio is upside down: r = π/μ = exp(log_ratio).", "比率颠倒了：r = π/μ = exp(log_ratio)。"),
            lambda x: (-x).exp() - 1 + x,
        ),
        Mistake(
            "no-one",
            Words("The −1 is missing: where π = μ the estimate has to be 0.", "缺了 −1：π = μ 时估计应为 0。"),
            lambda x: x.exp() - x,
        ),
    ),
)  # fmt: skip


def probe_loss(answer: Answer) -> Measured:
    """The loss, and its gradients by log π and by the KL."""
    old = torch.tensor([-1.0, -0.5, -2.0], dtype=torch.float64)
    log_prob = torch.tensor([-0.8, -0.9, -1.5], dtype=torch.float64).requires_grad_()
    kl = torch.tensor([0.03, 0.01, 0.2], dtype=torch.float64).requires_grad_()
    loss = answer(log_prob, old, torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), kl, 1.5)
    by_log_prob, by_kl = gradients(loss, (log_prob, kl))
    return {"loss": loss, "∂loss/∂log π": by_log_prob, "∂loss/∂KL": by_kl}


def penalised(new: Tensor, old: Tensor, advantage: Tensor, kl: Tensor, beta: float) -> Tensor:
    """−E[r Â − β KL]."""
    return (objectives.conservative(new - old, advantage) + beta * kl).mean()


LOSS = Exercise(
    name="penalised-loss",
    title=Words("The penalised loss", "带惩罚的损失"),
    task=Words(
        """
Write `penalised_loss(log_prob, old_log_prob, advantage, kl, beta)`: −E[r Â − β KL(π_old ‖ π)], a loss to be minimised.
`kl` [B] is the exact KL in each state, with its graph; the others are [B], too. Give back a scalar, the mean.
""",
        """
请写出 `penalised_loss(log_prob, old_log_prob, advantage, kl, beta)`：−E[r Â − β KL(π_old ‖ π)]，即要最小化的损失。
`kl` [B] 是各状态下精确的 KL，带有计算图；其余参数形状也是 [B]。返回标量（均值）。
""",
    ),
    start=blank("penalised_loss(log_prob, old_log_prob, advantage, kl, beta)"),
    probe=probe_loss,
    right=penalised,
    mistakes=(
        Mistake(
            "ascent",
            Words("The sign of the whole is wrong: an optimiser descends.", "整体符号反了：优化器做的是下降。"),
            lambda *inputs: -penalised(*inputs),
        ),
        Mistake(
            "reward-for-distance",
            Words("The KL is rewarded here: in a loss the penalty has a plus.",
                  "这里 KL 反而得到奖励：在损失里，惩罚项应取正号。"),
            lambda new, old, advantage, kl, beta: penalised(new, old, advantage, kl, -beta),
        ),
        Mistake(
            "detached",
            Words("No gradient flows through the KL: the penalty then has no effect.",
                  "梯度没有流过 KL：惩罚便不起作用。"),
            lambda new, old, advantage, kl, beta: penalised(new, old, advantage, kl.detach(), beta),
        ),
        Mistake(
            "no-ratio",
            Words("log π stands where r = π/π_old should.", "该用 r = π/π_old 的地方用了 log π。"),
            lambda new, old, advantage, kl, beta: (beta * kl - new * advantage).mean(),
        ),
    ),
)  # fmt: skip

EXERCISES = (ADAPT, ESTIMATE, LOSS)
