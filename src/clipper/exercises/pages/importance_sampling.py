"""Exercises to the page on importance sampling."""

import torch
from torch import Tensor

from clipper.exercises.exercise import Answer, Exercise, Measured, Mistake, Words, blank, gradients
from clipper.functional.importance import effective_sample_size


def probe_weights(answer: Answer) -> Measured:
    """Episodes of 3 and 2 decisions in one column, of 5 in the other."""
    log_ratio = torch.tensor([[0.1, -0.2], [0.3, 0.5], [-0.6, 0.1], [0.2, 0.0], [-0.1, -0.3]], dtype=torch.float64)
    done = torch.zeros(5, 2, dtype=torch.bool)
    done[2, 0] = done[4] = True
    return {"W": answer(log_ratio, done)}


def products(log_ratio: Tensor, done: Tensor, past: bool = True, future: bool = False, cut: bool = True) -> Tensor:
    """Exp of the sum over the episode's rows up to t, from t on, or both, row by row."""
    found = torch.zeros_like(log_ratio)
    for n in range(log_ratio.shape[1]):
        for t in range(len(log_ratio)):
            first = last = t
            while past and first > 0 and not (cut and done[first - 1, n]):
                first -= 1
            while future and last + 1 < len(log_ratio) and not (cut and done[last, n]):
                last += 1
            found[t, n] = log_ratio[first : last + 1, n].sum()
    return found.exp()


WEIGHTS = Exercise(
    name="causal-weights",
    title=Words("Weights up to now", "到此刻为止的权重"),
    task=Words(
        """
Write `causal_weights(log_ratio, done)`: the weight of a reward at t, the product of the ratios π′/μ of its episode's
decisions up to and including t. `log_ratio` [T, N] is log π′ − log μ, time downwards; after a row whose `done` [T, N]
is True another episode begins. Give back the weights themselves, [T, N].
""",
        """
请写出 `causal_weights(log_ratio, done)`：t 时刻奖励的权重，即该回合中到 t 为止（含 t）各决策的比率 π′/μ 之积。
`log_ratio` [T, N] 是 log π′ − log μ，时间自上而下；`done` [T, N] 为 True 的行之后是新的回合。返回权重本身，[T, N]。
""",
    ),
    start=blank("causal_weights(log_ratio, done)"),
    probe=probe_weights,
    right=products,
    mistakes=(
        Mistake(
            "whole-product",
            Words("This is the whole episode's product: later actions cannot have changed the reward at t.",
                  "这是整个回合的连乘：之后的动作不可能影响 t 时刻的奖励。"),
            lambda x, done: products(x, done, future=True),
        ),
        Mistake(
            "first-order",
            Words("This is one ratio a step, the first-order form: the decisions before t are left out.",
                  "每步只有一个比率，这是一阶形式：t 之前的决策被略去了。"),
            lambda x, done: x.exp(),
        ),
        Mistake(
            "future",
            Words("These are the ratios from t on: a reward depends on the actions up to t.",
                  "这是从 t 往后的比率：奖励取决于到 t 为止的动作。"),
            lambda x, done: products(x, done, past=False, future=True),
        ),
        Mistake(
            "across-the-end",
            Words("The product runs on into the next episode: it begins anew after done.",
                  "连乘延续到了下一回合：done 之后应重新开始。"),
            lambda x, done: products(x, done, cut=False),
        ),
        Mistake(
            "without-t",
            Words("The ratio of t itself is missing.", "缺了 t 时刻自己的比率。"),
            lambda x, done: products(x, done) / x.exp(),
        ),
        Mistake(
            "logarithms",
            Words("These are the logarithms: the weights are their exponentials.", "这是对数：权重还要取指数。"),
            lambda x, done: products(x, done).log(),
        ),
    ),
)  # fmt: skip


def probe_effective(answer: Answer) -> Measured:
    """Weights of ordinary size, all equal, and so large that their exponentials are infinite."""
    log_weight = torch.tensor([0.0, 1.0, -2.0, 0.5], dtype=torch.float64)
    found = {"ESS": log_weight, "ESS (all equal)": torch.full_like(log_weight, 2), "ESS (+ 1000)": log_weight + 1000}
    return {name: answer(x) for name, x in found.items()}


EFFECTIVE = Exercise(
    name="effective-samples",
    title=Words("How many samples are left", "还剩多少样本"),
    task=Words(
        """
Write `effective_samples(log_weight)` for logarithms of weights [M]: (Σ w)² / Σ w², how many equal weights are worth as
much as these. Trajectories are long: log w may be ±1000, and the answer is finite all the same. Give back a scalar.
""",
        """
给定权重的对数 [M]，请写出 `effective_samples(log_weight)`：(Σ w)² / Σ w²，即这些权重相当于多少个相等的权重。
轨迹可以很长：log w 可能是 ±1000，结果仍应是有限的数。返回标量。
""",
    ),
    start=blank("effective_samples(log_weight)"),
    probe=probe_effective,
    right=effective_sample_size,
    mistakes=(
        Mistake(
            "overflow",
            Words("Right for small weights, but exp(1000) is infinite: subtract the largest log w first.",
                  "权重小时是对的，但 exp(1000) 是无穷大：先减去最大的 log w。"),
            lambda x: x.exp().sum() ** 2 / x.exp().square().sum(),
        ),
        Mistake(
            "upside-down",
            Words("This is upside down: it is between 1 and M where the weights are well-behaved.",
                  "分子分母颠倒了：结果应在 1 与 M 之间。"),
            lambda x: 1 / effective_sample_size(x),
        ),
        Mistake(
            "fraction",
            Words("This is the fraction of M: the number was asked for.", "这是占 M 的比例：题目要的是个数。"),
            lambda x: effective_sample_size(x) / len(x),
        ),
        Mistake(
            "of-the-largest",
            Words("This is Σ w / max w: an estimate of the kind, but not this one.",
                  "这是 Σ w / max w：也是一种有效样本数，但不是这里要的。"),
            lambda x: (x - x.max()).exp().sum(),
        ),
    ),
)  # fmt: skip


def probe_surrogate(answer: Answer) -> Measured:
    """Loss and gradient away from π_old, and the gradient at it, where it is the policy gradient's."""
    old = torch.tensor([-1.0, -0.5, -2.0], dtype=torch.float64)
    advantage = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    found: Measured = {}
    for where, change in (("", (0.3, -0.2, 0.5)), (" (π = μ)", (0.0, 0.0, 0.0))):
        log_prob = (old + torch.tensor(change, dtype=torch.float64)).requires_grad_()
        loss = answer(log_prob, old, advantage)
        found |= {f"loss{where}": loss, f"∂loss/∂log π{where}": gradients(loss, (log_prob,))[0]}
    return found


SURROGATE = Exercise(
    name="first-order-surrogate",
    title=Words("The first-order surrogate", "一阶替代目标"),
    task=Words(
        """
Write `first_order_surrogate(log_prob, old_log_prob, advantage)`: the loss −E[r Â] with r = π/π_old, for actions that
π_old took. All are [B]; give back a scalar, the mean. Its gradient at π = π_old is the policy gradient's.
""",
        """
请写出 `first_order_surrogate(log_prob, old_log_prob, advantage)`：损失 −E[r Â]，其中 r = π/π_old，动作由 π_old 选取。
各参数形状都是 [B]；返回标量（均值）。在 π = π_old 处，它的梯度就是策略梯度。
""",
    ),
    start=blank("first_order_surrogate(log_prob, old_log_prob, advantage)"),
    probe=probe_surrogate,
    right=lambda new, old, advantage: -((new - old).exp() * advantage).mean(),
    mistakes=(
        Mistake(
            "ascent",
            Words("The sign is wrong: an optimiser descends.", "符号反了：优化器做的是下降。"),
            lambda new, old, advantage: ((new - old).exp() * advantage).mean(),
        ),
        Mistake(
            "no-weight",
            Words("This is −log π Â: right only where π = π_old, since the actions are π_old's.",
                  "这是 −log π Â：动作来自 π_old，只有 π = π_old 时才对。"),
            lambda new, old, advantage: -(new * advantage).mean(),
        ),
        Mistake(
            "no-exponential",
            Words("A difference of logarithms is log r: take its exponential.", "对数之差是 log r：还要取指数。"),
            lambda new, old, advantage: -((new - old) * advantage).mean(),
        ),
        Mistake(
            "inverse-ratio",
            Words("The ratio is upside down: r = π/π_old.", "比率颠倒了：r = π/π_old。"),
            lambda new, old, advantage: -((old - new).exp() * advantage).mean(),
        ),
        Mistake(
            "detached",
            Words("The weight is detached and log π is not there: no gradient is left.",
                  "权重被 detach 了，又没有 log π：梯度为零。"),
            lambda new, old, advantage: -((new - old).exp().detach() * advantage).mean(),
        ),
        Mistake(
            "weighted-logarithm",
            Words("The gradient is right, but the number is no surrogate: it is r Â without log π.",
                  "梯度是对的，但数值不是替代目标：应是 r Â，不含 log π。"),
            lambda new, old, advantage: -((new - old).exp().detach() * new * advantage).mean(),
        ),
    ),
)  # fmt: skip

EXERCISES = (WEIGHTS, EFFECTIVE, SURROGATE)
