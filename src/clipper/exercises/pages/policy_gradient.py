"""Exercises to the page on the policy gradient."""

import math

import torch
from torch import Tensor

from clipper.exercises.exercise import Answer, Exercise, Measured, Mistake, Words, blank, gradients


def probe_gaussian(answer: Answer) -> Measured:
    """Log-likelihoods of three actions of two parts, one σ below and one above 1, and their gradients."""
    action = torch.tensor([[0.3, -1.0], [2.0, 0.5], [-0.7, 4.0]], dtype=torch.float64)
    mean = torch.tensor([[0.0, -0.5], [1.0, 1.0], [0.2, 1.0]], dtype=torch.float64).requires_grad_()
    log_std = torch.tensor([-0.5, 0.4], dtype=torch.float64).requires_grad_()
    found = answer(action, mean, log_std)
    by_mean, by_log_std = gradients(found, (mean, log_std))
    return {"log π": found, "∂log π/∂μ": by_mean, "∂log π/∂log σ": by_log_std}


def gaussian(
    action: Tensor, mean: Tensor, log_std: Tensor, power: float = 2.0, scale: float = 1.0, half: float = 0.5
) -> Tensor:
    """Log N(a; μ, σ²) of each part, with the places where mistakes are made."""
    distance = half * (action - mean).square() / (power * log_std).exp()
    return -distance - scale * log_std - 0.5 * math.log(2 * math.pi)


GAUSSIAN = Exercise(
    name="gaussian-log-likelihood",
    title=Words("The Gaussian's log-likelihood (Spinning Up 1.1)", "高斯分布的对数似然（Spinning Up 1.1）"),
    task=Words(
        """
Write `gaussian_log_likelihood(action, mean, log_std)`: log π(a|s) of a diagonal Gaussian. `action` and `mean` are
[B, A], `log_std` is [A], the logarithm of the standard deviation. Give back [B]: one number per action.
""",
        """
请写出 `gaussian_log_likelihood(action, mean, log_std)`：对角高斯策略的 log π(a|s)。`action` 与 `mean` 的形状是 [B, A]，
`log_std` 的形状是 [A]，为标准差的对数。返回 [B]：每个动作一个数。
""",
    ),
    start=blank("gaussian_log_likelihood(action, mean, log_std)"),
    probe=probe_gaussian,
    right=lambda *inputs: gaussian(*inputs).sum(-1),
    mistakes=(
        Mistake(
            "not-summed",
            Words("Each part has its own number: independent parts multiply, so their logarithms are summed.",
                  "每个分量各有一个数：各分量独立，概率相乘，所以对数要相加。"),
            gaussian,
        ),
        Mistake(
            "averaged",
            Words("This is the mean over the parts: independent parts multiply, so their logarithms are summed.",
                  "这是对动作各分量取平均：各分量独立，概率相乘，所以对数要相加。"),
            lambda *inputs: gaussian(*inputs).mean(-1),
        ),
        Mistake(
            "sigma-as-variance",
            Words("(a − μ)² is divided by σ: it has to be σ².", "(a − μ)² 除以的是 σ：应当是 σ²。"),
            lambda *inputs: gaussian(*inputs, power=1).sum(-1),
        ),
        Mistake(
            "no-log-sigma",
            Words("−log σ is missing: without it a wide Gaussian costs nothing, and σ grows for ever.",
                  "缺了 −log σ：没有它，分布再宽也没有代价，σ 会一直变大。"),
            lambda *inputs: gaussian(*inputs, scale=0).sum(-1),
        ),
        Mistake(
            "no-constant",
            Words("−½ log 2π is missing for each part: no gradient needs it, but this is not the log-likelihood.",
                  "每个分量都缺了 −½ log 2π：梯度用不到它，但这样就不是对数似然了。"),
            lambda *inputs: gaussian(*inputs).sum(-1) + 0.5 * math.log(2 * math.pi) * inputs[0].shape[-1],
        ),
        Mistake(
            "no-half",
            Words("The ½ before (a − μ)²/σ² is missing.", "(a − μ)²/σ² 前面缺了 ½。"),
            lambda *inputs: gaussian(*inputs, half=1).sum(-1),
        ),
    ),
)  # fmt: skip


def probe_score(answer: Answer) -> Measured:
    """The score of one action of each of two policies."""
    logits = torch.tensor([[1.0, 0.0, -1.0], [0.5, 0.5, 2.0]], dtype=torch.float64)
    return {"∇log π": answer(logits, torch.tensor([0, 2]))}


def chosen(logits: Tensor, action: Tensor) -> Tensor:
    """1 at the action, 0 elsewhere."""
    return torch.eye(logits.shape[-1], dtype=logits.dtype)[action]


SCORE = Exercise(
    name="softmax-score",
    title=Words("The score of a softmax", "softmax 的得分函数"),
    task=Words(
        """
Write `softmax_score(logits, action)` without autograd: ∇log π(a) with respect to the logits, for `logits` [B, K] and
`action` [B]. Give back [B, K]. What is its mean over a ~ π?
""",
        """
不用自动微分，写出 `softmax_score(logits, action)`：log π(a) 对 logits 的梯度。
`logits` 的形状是 [B, K]，`action` 是 [B]。返回 [B, K]。它对 a ~ π 的均值是多少？
""",
    ),
    start=blank("softmax_score(logits, action)"),
    probe=probe_score,
    right=lambda logits, action: chosen(logits, action) - logits.softmax(-1),
    mistakes=(
        Mistake(
            "chosen-only",
            Words("−π is missing: the logit of an action raises log π through the normaliser, too.",
                  "缺了 −π：logits 还会通过归一化项影响 log π。"),
            chosen,
        ),
        Mistake(
            "sign",
            Words("The sign is wrong: raising the chosen logit raises log π.",
                  "符号反了：增大所选动作的 logit，log π 也增大。"),
            lambda logits, action: logits.softmax(-1) - chosen(logits, action),
        ),
        Mistake(
            "of-the-probability",
            Words("This is ∇π and not ∇log π: divide by π(a).", "这是 ∇π 而不是 ∇log π：还要除以 π(a)。"),
            lambda logits, action: (chosen(logits, action) - (p := logits.softmax(-1))) * p.gather(1, action[:, None]),
        ),
    ),
)  # fmt: skip


def probe_bandit(answer: Answer) -> Measured:
    """The gradient, and the same with 10 added to every reward, which changes nothing."""
    logits = torch.tensor([0.0, 1.0, -0.5], dtype=torch.float64)
    reward = torch.tensor([1.0, 0.2, 3.0], dtype=torch.float64)
    return {"∇J": answer(logits, reward), "∇J (r + 10)": answer(logits, reward + 10)}


def bandit(logits: Tensor, reward: Tensor) -> Tensor:
    """Σₐ π(a) r(a) ∇log π(a), action by action."""
    p = logits.softmax(-1)
    return sum((p[a] * reward[a] * (torch.eye(len(p), dtype=p.dtype)[a] - p) for a in range(len(p))), 0 * p)


BANDIT = Exercise(
    name="bandit-gradient",
    title=Words("The exact gradient of a bandit", "老虎机的精确梯度"),
    task=Words(
        """
One decision, K actions, reward r(a), π = softmax(logits). Write `bandit_gradient(logits, reward)`: the exact ∇J [K] of
J = E[r(a)] with respect to the logits, by enumerating the actions instead of sampling them, and without autograd.
""",
        """
只做一次决策，共 K 个动作，奖励为 r(a)，π = softmax(logits)。写出 `bandit_gradient(logits, reward)`：
J = E[r(a)] 对 logits 的精确梯度 ∇J，形状 [K]；枚举所有动作而不采样，也不用自动微分。
""",
    ),
    start=blank("bandit_gradient(logits, reward)"),
    probe=probe_bandit,
    right=bandit,
    mistakes=(
        Mistake(
            "not-centred",
            Words("This is π r: the mean reward has to be subtracted from r, as ∇log π has a −π.",
                  "这是 π r：r 还要减去平均奖励，因为 ∇log π 里有 −π。"),
            lambda logits, reward: logits.softmax(-1) * reward,
        ),
        Mistake(
            "not-weighted",
            Words("Actions count alike here: each has to count with its probability π(a).",
                  "这里各动作权重相同：每个动作应按概率 π(a) 计入。"),
            lambda logits, reward: reward - (logits.softmax(-1) * reward).sum(),
        ),
        Mistake(
            "uniform",
            Words("This averages over the actions evenly: the expectation is under π.",
                  "这是对动作做均匀平均：期望应当在 π 下取。"),
            lambda logits, reward: reward / len(reward) - logits.softmax(-1) * reward.mean(),
        ),
        Mistake(
            "mean-of-all",
            Words("The unweighted mean of the rewards is subtracted: it has to be J, their mean under π.",
                  "减去的是奖励的简单平均：应当减去 J，即 π 下的均值。"),
            lambda logits, reward: logits.softmax(-1) * (reward - reward.mean()),
        ),
    ),
)  # fmt: skip

EXERCISES = (GAUSSIAN, SCORE, BANDIT)
