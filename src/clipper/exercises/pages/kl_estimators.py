"""Exercises of the page on the KL from samples: what is reported, and what a loss gets of it."""

import torch
from torch import Generator, Tensor

from clipper.exercises.exercise import Answer, Exercise, Measured, Mistake, Words, blank, gradients
from clipper.functional.objectives import kl_estimates
from clipper.functional.reference_kl import k3_of_reference, k3_with_gradient_of_k2, weighted_k3

LOG_PROB = torch.tensor([-0.5, -1.5, -2.0, -0.2], dtype=torch.float64)
REFERENCE = torch.tensor([-1.0, -0.7, -2.5, -1.6], dtype=torch.float64)
OLD = torch.tensor([-0.9, -1.1, -1.7, -0.4], dtype=torch.float64)
LENGTHS = torch.tensor([3, 1, 2])


def probe_report(answer: Answer) -> Measured:
    """Three responses in a padded batch, whose padding is not 0."""
    log_prob, reference = torch.randn(2, 4, 3, generator=Generator().manual_seed(5), dtype=torch.float64)
    return {"KL": answer(log_prob, reference, LENGTHS.clone())}


def there(x: Tensor, length: Tensor) -> Tensor:
    """Which rows are tokens."""
    return torch.arange(len(x))[:, None] < length


def of_responses(log_prob: Tensor, reference: Tensor, length: Tensor) -> Tensor:
    """(1/N) Σᵢ Σₜ log π/π_ref."""
    return (log_prob - reference).masked_fill(~there(log_prob, length), 0).sum(0).mean()


REPORT = Exercise(
    name="kl-of-responses",
    title=Words("The KL of responses", "回答的 KL"),
    task=Words(
        """
Write `kl_of_responses(log_prob, reference, length)`: the KL to the reference that a report shows, in nats a response,
by k1. `log_prob` and `reference` [T, N] are log π and log π_ref of sampled tokens, column n being a response of
`length[n]` tokens; what lies behind them is padding, and may be anything. Give back a scalar.
""",
        """
请写出 `kl_of_responses(log_prob, reference, length)`：报告中所显示的、相对参考策略的 KL，用 k1，以每条回答的纳特计。
`log_prob` 与 `reference` [T, N] 是抽到的词元的 log π 与 log π_ref，第 n 列是一条有 `length[n]` 个词元的回答；
其后是填充，可以是任何数。返回标量。
""",
    ),
    start=blank("kl_of_responses(log_prob, reference, length)"),
    probe=probe_report,
    right=of_responses,
    mistakes=(
        Mistake(
            "of-tokens",
            Words("This is the mean over tokens: a response's log-ratio is the sum over its tokens.",
                  "这是对词元取平均：一条回答的对数比是其各词元之和。"),
            lambda p, q, length: (p - q)[there(p, length)].mean(),
        ),
        Mistake(
            "padding",
            Words("Padding is summed, too.", "填充也被加了进去。"),
            lambda p, q, length: (p - q).sum(0).mean(),
        ),
        Mistake(
            "sign",
            Words("The sign is turned: samples are the policy's, so k1 is log π − log π_ref.",
                  "符号反了：样本来自策略，所以 k1 是 log π − log π_ref。"),
            lambda p, q, length: of_responses(q, p, length),
        ),
        Mistake(
            "length-divided",
            Words("Each response's sum is divided by its length: that is a KL per token.",
                  "每条回答的和被除以了它的长度：那是每个词元的 KL。"),
            lambda p, q, length: ((p - q).masked_fill(~there(p, length), 0).sum(0) / length).mean(),
        ),
    ),
)  # fmt: skip


def probe_loss(answer: Answer) -> Measured:
    """Value of the term and its gradient by each log-probability."""
    log_prob = LOG_PROB.clone().requires_grad_()
    found = answer(log_prob, REFERENCE.clone())
    return {"term": found, "gradient": gradients(found, [log_prob])[0]}


def k1_of_reference(log_prob: Tensor, reference: Tensor) -> Tensor:
    """Log π − log π_ref."""
    return kl_estimates(reference - log_prob)[0]


LOSS = Exercise(
    name="kl-in-the-loss",
    title=Words("A term with the right value and the right gradient", "值与梯度都正确的一项"),
    task=Words(
        """
Write `kl_in_the_loss(log_prob, reference)`: a term of a loss for each sample [N], whose value is k3's and whose
gradient is k2's. `log_prob` [N] is log π with its graph, of samples of π; `reference` [N] is log π_ref. In expectation
the value is then KL(π ‖ π_ref) and the gradient its gradient.
""",
        """
请写出 `kl_in_the_loss(log_prob, reference)`：损失中的一项，每个样本一个数 [N]，其值是 k3 的，其梯度是 k2 的。
`log_prob` [N] 是 π 的样本的 log π，带计算图；`reference` [N] 是 log π_ref。
这样，其值的期望是 KL(π ‖ π_ref)，梯度的期望就是它的梯度。
""",
    ),
    start=blank("kl_in_the_loss(log_prob, reference)"),
    probe=probe_loss,
    right=k3_with_gradient_of_k2,
    mistakes=(
        Mistake(
            "k1",
            Words("This is k1: its gradient is ∇log π, whose mean is 0, so that nothing holds the policy back.",
                  "这是 k1：它的梯度是 ∇log π，均值为 0，因此什么也拉不住策略。"),
            k1_of_reference,
        ),
        Mistake(
            "k3-all-through",
            Words("This is k3: its value is right, and its gradient that of KL(π_ref ‖ π), of the other direction.",
                  "这是 k3：值正确，梯度却是另一个方向 KL(π_ref ‖ π) 的。"),
            k3_of_reference,
        ),
        Mistake(
            "k2-all-through",
            Words("This is k2: its gradient is right, and its value is no KL, which a report would show.",
                  "这是 k2：梯度正确，值却不是 KL，而报告显示的正是这个值。"),
            lambda p, q: kl_estimates(q - p)[1],
        ),
        Mistake(
            "no-gradient",
            Words("The value is right, and there is no gradient: what is detached counts for nothing in a loss.",
                  "值正确，但没有梯度：从计算图中分离的量，在损失中不起作用。"),
            lambda p, q: k3_of_reference(p, q).detach(),
        ),
        Mistake(
            "both-values",
            Words("k2's value is added, too: subtract it again, without gradient.",
                  "k2 的值也被加了进去：应再减去它（不带梯度）。"),
            lambda p, q: k3_of_reference(p, q).detach() + kl_estimates(q - p)[1],
        ),
    ),
)  # fmt: skip


def probe_weighted(answer: Answer) -> Measured:
    """The term of samples of an older policy, and its gradient."""
    log_prob = LOG_PROB.clone().requires_grad_()
    found = answer(log_prob, OLD.clone(), REFERENCE.clone())
    return {"term": found, "gradient": gradients(found, [log_prob])[0]}


def weighted(log_prob: Tensor, old: Tensor, reference: Tensor) -> Tensor:
    """(π/π_old) k3."""
    return weighted_k3(log_prob, reference, log_prob - old)


WEIGHTED = Exercise(
    name="kl-off-policy",
    title=Words("The KL when the samples are older than the policy", "样本来自更早的策略时的 KL"),
    task=Words(
        """
Write `kl_off_policy(log_prob, old, reference)`: k3 for each sample [N] of π_old, weighed so that its expectation is
KL(π ‖ π_ref), and that of its gradient ∇KL(π ‖ π_ref). `log_prob`, `old` and `reference` [N] are log π with its graph,
log π_old and log π_ref.
""",
        """
请写出 `kl_off_policy(log_prob, old, reference)`：对 π_old 的每个样本给出加权的 k3 [N]，
使其期望为 KL(π ‖ π_ref)，其梯度的期望为 ∇KL(π ‖ π_ref)。
`log_prob`、`old` 与 `reference` [N] 依次是带计算图的 log π、log π_old 与 log π_ref。
""",
    ),
    start=blank("kl_off_policy(log_prob, old, reference)"),
    probe=probe_weighted,
    right=weighted,
    mistakes=(
        Mistake(
            "not-weighed",
            Words("Nothing is weighed: the mean over π_old's samples is then no KL of π.",
                  "没有加权：对 π_old 的样本取平均，得不到 π 的 KL。"),
            lambda p, old, q: k3_of_reference(p, q),
        ),
        Mistake(
            "weight-without-gradient",
            Words("The weight has no gradient: the value is right, and the gradient is that of KL(π_ref ‖ π).",
                  "权重没有梯度：值正确，梯度却是 KL(π_ref ‖ π) 的。"),
            lambda p, old, q: (p - old).detach().exp() * k3_of_reference(p, q),
        ),
        Mistake(
            "weight-upside-down",
            Words("The weight is upside down: it is π/π_old.", "权重上下颠倒了：应为 π/π_old。"),
            lambda p, old, q: (old - p).exp() * k3_of_reference(p, q),
        ),
        Mistake(
            "of-the-old-policy",
            Words("This is k3 of π_old to π_ref, which no gradient moves: the log-ratio is π_ref/π.",
                  "这是 π_old 相对 π_ref 的 k3，没有梯度能改变它：对数比应取 π_ref/π。"),
            lambda p, old, q: (p - old).exp() * k3_of_reference(old, q),
        ),
    ),
)  # fmt: skip

EXERCISES = (REPORT, LOSS, WEIGHTED)
