"""Exercises to the page on return normalisation."""

import torch
from torch import Tensor

from clipper.exercises.exercise import Answer, Exercise, Measured, Mistake, Words, blank
from clipper.functional.reduce import standardise, standardise_trajectories


def probe_standardise(answer: Answer) -> Measured:
    """Returns of three trajectories of which one is shorter, and returns that are all the same."""
    returns = torch.tensor([[4.0, 1.0, -2.0], [3.0, 9.0, 0.5], [1.0, 9.0, 2.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, True], [True, False, True], [True, False, True]])
    return {"G̃": answer(returns, mask), "G̃ (all equal)": answer(torch.full_like(returns, 3), torch.ones_like(mask))}


def scaled(
    x: Tensor, mask: Tensor, correction: int = 0, power: int = 1, centre: bool = True, eps: float = 1e-8
) -> Tensor:
    """(x − μ)/σ over trajectories, with the places where mistakes are made."""
    length, m = mask.sum(0), mask.shape[1]
    mean = ((x * mask).sum(0) / length).mean()
    std = (((x - mean).square() * mask).sum(0) / length).sum().div(m - correction).sqrt()
    return ((x - mean * centre) / (std + eps) ** power).masked_fill(~mask, 0)


def counted_once(x: Tensor, mask: Tensor) -> Tensor:
    """Each column, a trajectory, counts once in μ and σ."""
    last = mask & ~torch.cat([mask[1:], torch.zeros_like(mask[:1])])
    return standardise_trajectories(x, last, mask)


def by_trajectory(x: Tensor, mask: Tensor) -> Tensor:
    """Each column by itself."""
    return torch.cat([scaled(x[:, n : n + 1], mask[:, n : n + 1]) for n in range(x.shape[1])], 1)


def over_decisions(x: Tensor, mask: Tensor) -> Tensor:
    """Each decision counts once."""
    return standardise(x, mask, correction=0)


STANDARDISE = Exercise(
    name="standardise-returns",
    title=Words("Standard units", "化为标准单位"),
    task=Words(
        """
Write `standardise_returns(returns, mask)`: (G − μ)/σ with μ and σ over the M trajectories of the batch and numpy's σ
(divided by M). Both are [T, M], a column per trajectory; rows whose `mask` is False are no decisions: give back 0
there. Each decision has a return of its own, so let μ be the mean over trajectories of the mean within each, and σ²
likewise that of (G − μ)²: a long trajectory counts as much as a short one. Where all returns are equal, give back 0 as
well.
""",
        """
请写出 `standardise_returns(returns, mask)`：计算 (G − μ)/σ，μ 和 σ 对这批的 M 条轨迹计算，σ 取 numpy 的定义
（除以 M）。两者形状都是 [T, M]，每列一条轨迹；`mask` 为 False 的行不是决策，返回 0。每个决策都有自己的回报，所以
μ 是先在每条轨迹内取均值、再对各条轨迹取均值，σ² 同样是 (G − μ)² 的这种均值：长轨迹与短轨迹分量相同。
若所有回报都相等，也返回 0。
""",
    ),
    start=blank("standardise_returns(returns, mask)"),
    probe=probe_standardise,
    right=counted_once,
    mistakes=(
        Mistake(
            "no-epsilon",
            Words("Where all returns are equal this divides 0 by 0: add an ε to σ.",
                  "所有回报都相等时，这里是 0 除以 0：σ 要加上一个 ε。"),
            lambda x, mask: scaled(x, mask, eps=0),
        ),
        Mistake(
            "sample-deviation",
            Words("σ divides by M − 1, as torch does: numpy's divides by M (correction=0).",
                  "这里的 σ 除以 M − 1，是 torch 的习惯；numpy 除以 M（correction=0）。"),
            lambda x, mask: scaled(x, mask, correction=1),
        ),
        Mistake(
            "padding-counted",
            Words("Rows that are no decisions count in μ and σ: take the mean over the mask.",
                  "不是决策的行也算进了 μ 和 σ：只应对 mask 为 True 的行求均值。"),
            lambda x, mask: scaled(x, torch.ones_like(mask)).masked_fill(~mask, 0),
        ),
        Mistake(
            "variance",
            Words("This divides by the variance: take its square root.", "这里除以的是方差：还要开方。"),
            lambda x, mask: scaled(x, mask, power=2),
        ),
        Mistake(
            "not-centred",
            Words("The mean is not subtracted, and it is the mean that lowers the variance.",
                  "没有减去均值，而降低方差靠的正是它。"),
            lambda x, mask: scaled(x, mask, centre=False),
        ),
        Mistake(
            "over-decisions",
            Words("A long trajectory counts more than a short one: let each trajectory count once, not each decision.",
                  "长轨迹比短轨迹分量更重：这里每个决策算一次，而应是每条轨迹算一次。"),
            over_decisions,
        ),
        Mistake(
            "by-trajectory",
            Words("Each trajectory has a μ and σ of its own: good and bad ones then look alike.",
                  "每条轨迹各用自己的 μ 和 σ：这样一来，好轨迹与坏轨迹就没有分别了。"),
            by_trajectory,
        ),
    ),
)  # fmt: skip


def probe_leave_one_out(answer: Answer) -> Measured:
    """Four returns."""
    return {"Â": answer(torch.tensor([3.0, -1.0, 4.0, 0.5], dtype=torch.float64))}


LEAVE_ONE_OUT = Exercise(
    name="leave-one-out",
    title=Words("Without the bias", "去掉偏差"),
    task=Words(
        """
The batch's mean holds each return itself, which shrinks the gradient by 1 − 1/M. Write `leave_one_out(returns)` for
`returns` [M]: from each return subtract the mean of the others. This baseline is independent of what it is subtracted
from, and the estimate unbiased. Give back [M].
""",
        """
整批的均值里含有每个回报自己，因此梯度缩小为 1 − 1/M。对 `returns` [M]，请写出 `leave_one_out(returns)`：
从每个回报中减去其余回报的均值。这样的基线与被减的回报独立，估计无偏。返回 [M]。
""",
    ),
    start=blank("leave_one_out(returns)"),
    probe=probe_leave_one_out,
    right=lambda x: torch.stack([x[i] - (x.sum() - x[i]) / (len(x) - 1) for i in range(len(x))]),
    mistakes=(
        Mistake(
            "own-included",
            Words("This is the mean of all: each return is in its own baseline, and the bias is back.",
                  "减去的是全体的均值：每个回报都在自己的基线里，偏差又回来了。"),
            lambda x: x - x.mean(),
        ),
        Mistake(
            "divided-by-all",
            Words("The others are M − 1: their sum is divided by M here.", "其余的有 M − 1 个：这里却除以了 M。"),
            lambda x: x - (x.sum() - x) / len(x),
        ),
        Mistake(
            "baseline-only",
            Words("This is the baseline itself: subtract it from the returns.", "这是基线本身：还要从回报中减去它。"),
            lambda x: (x.sum() - x) / (len(x) - 1),
        ),
    ),
)  # fmt: skip


def probe_minibatches(answer: Answer) -> Measured:
    """Six advantages in two minibatches of unlike level."""
    advantage = torch.tensor([1.0, 2.0, 4.0, -3.0, 0.0, -1.0], dtype=torch.float64)
    return {"Ã": answer(advantage, 3), "Ã (size 2)": answer(advantage, 2)}


def in_parts(x: Tensor, size: int, correction: int = 1, scale: bool = True) -> Tensor:
    """Part by part."""
    parts = [part - part.mean() for part in x.split(size)]
    return torch.cat([part / (part.std(correction=correction) + 1e-8) if scale else part for part in parts])


MINIBATCHES = Exercise(
    name="minibatch-advantages",
    title=Words("As PPO does it", "PPO 的做法"),
    task=Words(
        """
PPO brings advantages to standard units minibatch by minibatch ("37 details", core 7), with torch's deviation. Write
`minibatch_advantages(advantage, size)`: `advantage` [B] is cut, in order, into minibatches of `size`. Give back [B].
""",
        """
PPO 对每个小批量分别把优势化为标准单位（“37 个细节”核心第 7 条），标准差取 torch 的定义。
请写出 `minibatch_advantages(advantage, size)`：`advantage` [B] 依次切成大小为 `size` 的小批量。返回 [B]。
""",
    ),
    start=blank("minibatch_advantages(advantage, size)"),
    probe=probe_minibatches,
    right=in_parts,
    mistakes=(
        Mistake(
            "whole-batch",
            Words("This is done over the whole batch at once: each minibatch has its own mean and deviation.",
                  "这是对整批一次完成的：每个小批量应有自己的均值和标准差。"),
            lambda x, size: in_parts(x, len(x)),
        ),
        Mistake(
            "population",
            Words("The deviation divides by n, as numpy does: torch's divides by n − 1.",
                  "标准差除以了 n，是 numpy 的习惯；torch 除以 n − 1。"),
            lambda x, size: in_parts(x, size, correction=0),
        ),
        Mistake(
            "centred-only",
            Words("Advantages are centred but not scaled.", "只减了均值，没有除以标准差。"),
            lambda x, size: in_parts(x, size, scale=False),
        ),
        Mistake(
            "scaled-by-the-batch",
            Words("Each minibatch is centred, but scaled by the whole batch's deviation.",
                  "均值按小批量算，标准差却用了整批的。"),
            lambda x, size: in_parts(x, size, scale=False) / x.std(),
        ),
    ),
)  # fmt: skip

EXERCISES = (STANDARDISE, LEAVE_ONE_OUT, MINIBATCHES)
