"""Exercises of the page on PPO, GRPO and P3O side by side: rewards, baselines and reductions of responses."""

import torch
from torch import Generator, Tensor

from clipper.exercises.exercise import Answer, Exercise, Measured, Mistake, Words, blank
from clipper.functional.groups import group_mean, leave_one_out
from clipper.functional.sequences import sequence_mean

BETA = 0.25


def rewards(score: float, log_prob: Tensor, reference: Tensor, length: int, beta: float) -> Tensor:
    """−β log π/π_ref of each token, and the score in the row of the last one; 0 behind it."""
    token = torch.arange(len(log_prob))
    price = -beta * (log_prob - reference)
    return (price + score * (token == length - 1)).masked_fill(token >= length, 0)


def probe_rewards(answer: Answer) -> Measured:
    """Rewards of a response of three tokens in four rows."""
    log_prob, reference = torch.tensor([[-1.0, -0.5, -2.0, -0.7], [-1.2, -1.5, -1.0, -9.0]], dtype=torch.float64)
    found = answer(2.0, log_prob, reference, 3, BETA)
    return {"rewards of the response": found[:3], "behind it": found[3:]}


REWARDS = Exercise(
    name="token-rewards",
    title=Words("From a score to rewards of tokens", "从分数到各词元的奖励"),
    task=Words(
        """
Write `token_rewards(score, log_prob, reference, length, beta)`: the reward of each token of one response. `log_prob`
and `reference` [T] are log π and log π_ref of its tokens, of which `length` were sampled; the others are padding. Each
token pays β for its log-ratio; the score comes with the last sampled token; padding has 0. Give back [T].
""",
        """
请写出 `token_rewards(score, log_prob, reference, length, beta)`：一条回答中每个词元的奖励。
`log_prob` 与 `reference` [T] 是各词元的 log π 与 log π_ref，其中前 `length` 个是抽到的，其余为填充。
每个词元按其对数比付出 β；分数随最后一个抽到的词元而来；填充处为 0。返回 [T]。
""",
    ),
    start=blank("token_rewards(score, log_prob, reference, length, beta)"),
    probe=probe_rewards,
    right=rewards,
    mistakes=(
        Mistake(
            "in-the-last-row",
            Words("The score stands in the last row, which may be padding: it belongs to the last sampled token.",
                  "分数放在了最后一行，而那可能是填充：它属于最后一个抽到的词元。"),
            lambda score, p, q, n, beta: rewards(0.0, p, q, n, beta) + score * (torch.arange(len(p)) == len(p) - 1),
        ),
        Mistake(
            "in-every-token",
            Words("The score is paid for every token, so a longer response earns more: it comes once, at the end.",
                  "每个词元都得到了分数，回答越长得到越多：分数只在末尾给一次。"),
            lambda score, p, q, n, beta: rewards(0.0, p, q, n, beta) + score * (torch.arange(len(p)) < n),
        ),
        Mistake(
            "reward-for-distance",
            Words("To leave the reference is rewarded here: the price has a minus.",
                  "离开参考策略反而得到奖励：这一项应取负号。"),
            lambda score, p, q, n, beta: rewards(score, p, q, n, -beta),
        ),
        Mistake(
            "padding-pays",
            Words("Padding pays, too: rows that were not sampled have 0.", "填充也付了价：没有抽到的行应为 0。"),
            lambda score, p, q, n, beta: -beta * (p - q) + score * (torch.arange(len(p)) == n - 1),
        ),
    ),
)  # fmt: skip


def probe_leave_one_out(answer: Answer) -> Measured:
    """Advantages of five responses to two prompts."""
    score = torch.tensor([1.0, 0.0, 3.0, -2.0, 0.5], dtype=torch.float64)
    return {"Â": answer(score, torch.tensor([0, 1, 0, 1, 0]))}


def against_all(score: Tensor, group: Tensor) -> Tensor:
    """Minus the mean over all prompts."""
    return (score - score.mean()) * len(score) / (len(score) - 1)


BASELINE = Exercise(
    name="others-as-baseline",
    title=Words("The others as the baseline", "以其他回答为基线"),
    task=Words(
        """
Write `others_as_baseline(score, group)`: leave-one-out advantages. `score` [N] is each response's, `group` [N] says
which prompt it answers. From each score subtract the mean of the other responses to the same prompt. Give back [N].
""",
        """
请写出 `others_as_baseline(score, group)`：留一法的优势。
`score` [N] 是每条回答的分数，`group` [N] 表示它回答的是哪个提示。每个分数减去同一提示其他回答的平均分。返回 [N]。
""",
    ),
    start=blank("others_as_baseline(score, group)"),
    probe=probe_leave_one_out,
    right=leave_one_out,
    mistakes=(
        Mistake(
            "itself-too",
            Words("The response is in its own baseline: that shrinks the gradient by (k − 1)/k.",
                  "回答被算进了自己的基线：梯度因此缩小为 (k − 1)/k。"),
            lambda score, group: score - group_mean(score, group),
        ),
        Mistake(
            "all-prompts",
            Words("Other prompts' responses are compared with, too: an easy prompt then looks like a good response.",
                  "与别的提示的回答也作了比较：容易的提示会显得像是好的回答。"),
            against_all,
        ),
        Mistake(
            "no-baseline",
            Words("Nothing is subtracted: the gradient is right in the mean, with far more noise.",
                  "什么也没有减去：梯度的均值正确，但噪声大得多。"),
            lambda score, group: score * torch.ones_like(score),
        ),
    ),
)  # fmt: skip

LENGTHS = torch.tensor([1, 4, 2])


def probe_reduction(answer: Answer) -> Measured:
    """The loss of three responses in a padded batch, whose padding is not 0."""
    loss = torch.randn(4, 3, generator=Generator().manual_seed(3), dtype=torch.float64)
    return {"loss": answer(loss, LENGTHS)}


def by_sequence(loss: Tensor, length: Tensor) -> Tensor:
    """(1/N) Σᵢ (1/Lᵢ) Σₜ ℓ."""
    mask = there(loss, length)
    column = mask.nonzero()[:, 1]
    return (loss[mask] / sequence_mean(column, len(length), len(length))).sum()


def there(loss: Tensor, length: Tensor) -> Tensor:
    """Which rows are tokens."""
    return torch.arange(len(loss))[:, None] < length


REDUCTION = Exercise(
    name="mean-over-responses",
    title=Words("The mean over responses", "对回答取平均"),
    task=Words(
        """
Write `mean_over_responses(loss, length)`: GRPO's reduction. `loss` [T, N] has a number for each token, column n being a
response of `length[n]` tokens; what lies behind them is padding, and may be anything. Give back the mean over responses
of each one's mean over its tokens, a scalar.
""",
        """
请写出 `mean_over_responses(loss, length)`：GRPO 的归约。
`loss` [T, N] 中每个词元一个数，第 n 列是一条有 `length[n]` 个词元的回答；其后是填充，可以是任何数。
先对每条回答的词元取平均，再对各条回答取平均，返回标量。
""",
    ),
    start=blank("mean_over_responses(loss, length)"),
    probe=probe_reduction,
    right=by_sequence,
    mistakes=(
        Mistake(
            "over-tokens",
            Words("This is the mean over tokens (DAPO's), in which longer responses count more.",
                  "这是对词元取平均（DAPO 的做法），长的回答占得更多。"),
            lambda loss, length: loss[there(loss, length)].mean(),
        ),
        Mistake(
            "padding",
            Words("Padding is averaged, too.", "填充也被平均进去了。"),
            lambda loss, length: loss.mean(),
        ),
        Mistake(
            "padded-length",
            Words("Padding is left out of the sum, and counted in its length: divide by the response's own.",
                  "求和时去掉了填充，却仍把它算进长度：应除以回答自身的长度。"),
            lambda loss, length: loss.masked_fill(~there(loss, length), 0).mean(),
        ),
        Mistake(
            "sum",
            Words("This is the sum over a response's tokens (RLOO's): divide by its length.",
                  "这是对一条回答的词元求和（RLOO 的做法）：还应除以其长度。"),
            lambda loss, length: loss.masked_fill(~there(loss, length), 0).sum(0).mean(),
        ),
    ),
)  # fmt: skip

EXERCISES = (REWARDS, BASELINE, REDUCTION)
