"""Exercises to the page on causality and baselines."""

import torch
from torch import Tensor

from clipper.exercises.exercise import Answer, Exercise, Measured, Mistake, Words, blank, gradients

GAMMA = 0.9


def games() -> tuple[Tensor, Tensor]:
    """Rewards and ends of two columns ``[6, 2]``: episodes of 4 and 2 decisions, and of 1 and 5."""
    reward = torch.tensor([[1.0, 2.0], [0.0, -1.0], [2.0, 0.5], [-1.0, 3.0], [0.5, 0.0], [4.0, 1.0]])
    done = torch.zeros(6, 2, dtype=torch.bool)
    done[3, 0] = done[5, 0] = done[0, 1] = done[5, 1] = True
    return reward.double(), done


def probe_return(answer: Answer) -> Measured:
    """G of the two columns, with and without a discount."""
    return {f"G (γ = {gamma})": answer(*games(), gamma) for gamma in (GAMMA, 1.0)}


def to_go(
    reward: Tensor, done: Tensor, gamma: float, first: int = 0, whole: bool = False, carry: bool = False
) -> Tensor:
    """The sum of its definition: from k = t + first on, from the episode's start, or across its end."""
    found = torch.zeros_like(reward)
    for n in range(reward.shape[1]):
        for t in range(len(reward)):
            start = t
            while whole and start > 0 and not done[start - 1, n]:
                start -= 1
            for k in range(start, len(reward)):
                found[t, n] += gamma ** (k - start + first) * reward[k, n]
                if done[k, n] and not carry:
                    break
    return found


def from_the_start(reward: Tensor, done: Tensor, gamma: float) -> Tensor:
    """γᵏ counted from the episode's first decision: γᵗ Gₜ."""
    ones = torch.ones_like(reward)
    age = to_go(ones.flip(0), torch.cat([torch.ones_like(done[:1]), done[:-1]]).flip(0), 1.0).flip(0) - 1
    return gamma**age * to_go(reward, done, gamma)


REWARD_TO_GO = Exercise(
    name="reward-to-go",
    title=Words("Reward-to-go", "此后的回报"),
    task=Words(
        """
Write `reward_to_go(reward, done, gamma)`: Gₜ = rₜ + γ rₜ₊₁ + γ² rₜ₊₂ + … up to the end of the episode.
`reward` is [T, N], time downwards, a column per environment; `done` [T, N] is True at an episode's last decision,
after which the next row begins another one. Give back a tensor [T, N].
""",
        """
请写出 `reward_to_go(reward, done, gamma)`：Gₜ = rₜ + γ rₜ₊₁ + γ² rₜ₊₂ + …，加到本回合结束为止。
`reward` 的形状是 [T, N]，时间自上而下，每列一个环境；`done` [T, N] 在回合的最后一次决策处为 True，
下一行便是新的回合。返回形状为 [T, N] 的张量。
""",
    ),
    start=blank("reward_to_go(reward, done, gamma)"),
    probe=probe_return,
    right=to_go,
    mistakes=(
        Mistake(
            "whole-return",
            Words("This is the whole episode's return at every t: causality is missing.",
                  "这在每个 t 上都是整个回合的回报：没有用到因果性。"),
            lambda reward, done, gamma: to_go(reward, done, gamma, whole=True),
        ),
        Mistake(
            "off-by-one",
            Words("Off by one γ: the reward of t itself is not discounted, γ⁰ = 1.",
                  "多乘了一个 γ：t 时刻自己的奖励不打折，γ⁰ = 1。"),
            lambda reward, done, gamma: to_go(reward, done, gamma, first=1),
        ),
        Mistake(
            "across-the-end",
            Words("Rewards of the next episode leak in: at done the sum has to begin anew.",
                  "混进了下一回合的奖励：在 done 处，求和必须重新开始。"),
            lambda reward, done, gamma: to_go(reward, done, gamma, carry=True),
        ),
        Mistake(
            "from-the-start",
            Words("The discount counts from the episode's start, γᵗ too much: it has to count from t.",
                  "折扣从回合开头算起，多乘了 γᵗ：应当从 t 算起。"),
            from_the_start,
        ),
    ),
)  # fmt: skip


def trajectories() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Log π, G, V and mask ``[3, 2]`` of two trajectories of 3 and 1 decisions, the first two to differentiate by."""
    log_prob = torch.tensor([[-0.5, -1.2], [-0.1, 0.0], [-2.0, 0.0]], dtype=torch.float64).requires_grad_()
    value = torch.tensor([[1.0, -0.5], [0.3, 0.0], [2.0, 0.0]], dtype=torch.float64).requires_grad_()
    to_go = torch.tensor([[3.0, 1.0], [-1.0, 0.0], [0.5, 0.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True], [True, False], [True, False]])
    return log_prob, to_go, value, mask


def probe_loss(answer: Answer) -> Measured:
    """The loss and both gradients."""
    log_prob, to_go, value, mask = trajectories()
    loss = answer(log_prob, to_go, value, mask)
    by_log_prob, by_value = gradients(loss, (log_prob, value))
    return {"loss": loss, "∂loss/∂log π": by_log_prob, "∂loss/∂V": by_value}


def loss_with_baseline(log_prob: Tensor, to_go: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """−(1/M) Σᵢ Σₜ log π (G − V), with V held."""
    return -(log_prob * (to_go - value.detach()))[mask].sum() / mask.shape[1]


LOSS = Exercise(
    name="reinforce-with-baseline",
    title=Words("REINFORCE with a baseline", "带基线的 REINFORCE"),
    task=Words(
        """
Write `reinforce_with_baseline(log_prob, to_go, value, mask)`: the loss whose gradient is minus the policy gradient,
−(1/M) Σᵢ Σₜ ∇log π (Gₜ − V(sₜ)). All are [T, M], a column per trajectory; rows whose `mask` is False lie behind a
trajectory's end. The critic is trained by a loss of its own, not by this one. Give back a scalar.
""",
        """
请写出 `reinforce_with_baseline(log_prob, to_go, value, mask)`：一个损失，它的梯度是负的策略梯度，
−(1/M) Σᵢ Σₜ ∇log π (Gₜ − V(sₜ))。各参数形状都是 [T, M]，每列一条轨迹；`mask` 为 False 的行在轨迹结束之后。
critic 由它自己的损失训练，不靠这一个。返回标量。
""",
    ),
    start=blank("reinforce_with_baseline(log_prob, to_go, value, mask)"),
    probe=probe_loss,
    right=loss_with_baseline,
    mistakes=(
        Mistake(
            "ascent",
            Words("The sign is wrong: an optimiser descends, so this loss makes good actions rarer.",
                  "符号反了：优化器做的是下降，这个损失会让好的动作越来越少。"),
            lambda *batch: -loss_with_baseline(*batch),
        ),
        Mistake(
            "through-the-baseline",
            Words("The gradient flows through the baseline: detach V, or the critic learns to make this loss small.",
                  "梯度流进了基线：V 要先 detach，否则 critic 学到的是怎样压低这个损失。"),
            when=lambda found, expected: bool(found["∂loss/∂V"].abs().max() > 0),
        ),
        Mistake(
            "mean-over-decisions",
            Words("This is a mean over decisions: sum within each trajectory, then divide by their number M.",
                  "这是对所有决策取平均：应当先在每条轨迹内求和，再除以轨迹数 M。"),
            lambda *batch: loss_with_baseline(*batch) * batch[-1].shape[1] / batch[-1].sum(),
        ),
        Mistake(
            "summed",
            Words("This is the sum over trajectories: it is their mean that estimates ∇J.",
                  "这是对轨迹求和：估计 ∇J 的是它们的均值。"),
            lambda *batch: loss_with_baseline(*batch) * batch[-1].shape[1],
        ),
        Mistake(
            "no-baseline",
            Words("The baseline is not subtracted.", "没有减去基线。"),
            lambda log_prob, to_go, value, mask: loss_with_baseline(log_prob, to_go, 0 * value, mask),
        ),
    ),
)  # fmt: skip


def probe_baseline(answer: Answer) -> Measured:
    """The constant for scores and returns with a known answer, and where some scores are 0."""
    score = torch.tensor([1.0, -0.5, 2.0, 0.0], dtype=torch.float64)
    total = torch.tensor([3.0, 1.0, -2.0, 10.0], dtype=torch.float64)
    return {"b": answer(score, total), "b (G + 1)": answer(score, total + 1)}


def best_constant(score: Tensor, total: Tensor) -> Tensor:
    """E[S² G] / E[S²], where d/db E[S² (G − b)²] = 0."""
    return (score.square() * total).sum() / score.square().sum()


BEST = Exercise(
    name="best-baseline",
    title=Words("The best constant", "最优的常数基线"),
    task=Words(
        """
The estimate of one game is S (G − b), with the score S = Σₜ ∂log π(aₜ|sₜ)/∂θ of a single parameter, and a constant b.
Its mean does not depend on b. Which b makes its variance least? Write `best_baseline(score, total)` for samples
`score` [M] and returns `total` [M]: replace expectations by means. Give back a scalar.
""",
        """
一局游戏的估计是 S (G − b)，其中 S = Σₜ ∂log π(aₜ|sₜ)/∂θ 是对单个参数的得分，b 是常数。
它的均值与 b 无关。哪个 b 使方差最小？对样本 `score` [M] 与回报 `total` [M]，写出 `best_baseline(score, total)`：
期望都用均值代替。返回标量。
""",
    ),
    start=blank("best_baseline(score, total)"),
    probe=probe_baseline,
    right=best_constant,
    mistakes=(
        Mistake(
            "mean-return",
            Words("This is the mean return: near the best, but games with a large score count for more.",
                  "这是平均回报：接近最优，但得分大的那些局应当占更大的权重。"),
            lambda score, total: total.mean(),
        ),
        Mistake(
            "unsquared",
            Words("Weights are S² and not S: the variance is a mean of squares.",
                  "权重应是 S² 而不是 S：方差是平方的均值。"),
            lambda score, total: (score * total).sum() / score.sum(),
        ),
        Mistake(
            "absolute",
            Words("Weights are S² and not |S|: the variance is a mean of squares.",
                  "权重应是 S² 而不是 |S|：方差是平方的均值。"),
            lambda score, total: (score.abs() * total).sum() / score.abs().sum(),
        ),
        Mistake(
            "not-normalised",
            Words("E[S² G] has to be divided by E[S²].", "E[S² G] 还要除以 E[S²]。"),
            lambda score, total: (score.square() * total).mean(),
        ),
    ),
)  # fmt: skip

EXERCISES = (REWARD_TO_GO, LOSS, BEST)
