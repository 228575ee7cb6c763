"""Exercises of the page on what RLHF optimises: the objective, its optimum, and how far a policy is from it."""

import torch
from torch import Tensor

from clipper.exercises.exercise import Answer, Exercise, Measured, Mistake, Words, blank

BETA = 0.5
REFERENCE = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
POLICY = torch.tensor([0.5, 0.1, 0.25, 0.15], dtype=torch.float64)
SCORE = torch.tensor([1.0, -0.5, 0.0, 2.0], dtype=torch.float64)


def kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q)."""
    return (p * (p / q).log()).sum()


def objective(policy: Tensor, reference: Tensor, score: Tensor, beta: float) -> Tensor:
    """E[r] − β KL(π ‖ π_ref)."""
    return (policy * score).sum() - beta * kl(policy, reference)


def optimum(reference: Tensor, score: Tensor, beta: float) -> Tensor:
    """π* ∝ π_ref exp(r/β)."""
    return (reference.log() + score / beta).softmax(0)


def probe_objective(answer: Answer) -> Measured:
    """Of a policy, and of the reference itself."""
    return {
        "J(π)": answer(POLICY.clone(), REFERENCE.clone(), SCORE.clone(), BETA),
        "J(π_ref)": answer(REFERENCE.clone(), REFERENCE.clone(), SCORE.clone(), BETA),
    }


OBJECTIVE = Exercise(
    name="score-less-price",
    title=Words("The score less the price", "分数减去代价"),
    task=Words(
        """
Write `score_less_price(policy, reference, score, beta)`: J(π) for one prompt. `policy` and `reference` [K] are the
probabilities of its K responses, `score` [K] their scores. Give back E[r] − β KL(π ‖ π_ref), a scalar.
""",
        """
请写出 `score_less_price(policy, reference, score, beta)`：一个提示的 J(π)。
`policy` 与 `reference` [K] 是它的 K 条回答的概率，`score` [K] 是各回答的分数。返回标量 E[r] − β KL(π ‖ π_ref)。
""",
    ),
    start=blank("score_less_price(policy, reference, score, beta)"),
    probe=probe_objective,
    right=objective,
    mistakes=(
        Mistake(
            "other-direction",
            Words("This is KL(π_ref ‖ π): the expectation of the log-ratio is over the policy's own responses.",
                  "这是 KL(π_ref ‖ π)：对数比应按策略自己的回答取期望。"),
            lambda p, q, r, beta: (p * r).sum() - beta * kl(q, p),
        ),
        Mistake(
            "reward-for-distance",
            Words("To leave the reference is rewarded here: the price has a minus.",
                  "离开参考策略反而得到奖励：这一项应取负号。"),
            lambda p, q, r, beta: (p * r).sum() + beta * kl(p, q),
        ),
        Mistake(
            "no-price",
            Words("This is E[r] alone: each nat of KL costs β.", "这只是 E[r]：每一纳特的 KL 还要付出 β。"),
            lambda p, q, r, beta: (p * r).sum(),
        ),
        Mistake(
            "entropy",
            Words("The price is for −log π alone, an entropy bonus: the reference is left out.",
                  "只计入了 −log π，也就是熵奖励：漏掉了参考策略。"),
            lambda p, q, r, beta: (p * r).sum() - beta * (p * p.log()).sum(),
        ),
    ),
)  # fmt: skip


def probe_optimum(answer: Answer) -> Measured:
    """At two prices."""
    return {f"π* at β = {beta}": answer(REFERENCE.clone(), SCORE.clone(), beta) for beta in (BETA, 4.0)}


OPTIMUM = Exercise(
    name="best-policy",
    title=Words("The best policy, in one line", "一行写出最优策略"),
    task=Words(
        """
Write `best_policy(reference, score, beta)`: π* for one prompt. `reference` [K] are π_ref's probabilities of its K
responses, `score` [K] their scores. Give back the probabilities [K] that maximise E[r] − β KL(π ‖ π_ref).
""",
        """
请写出 `best_policy(reference, score, beta)`：一个提示的 π*。
`reference` [K] 是 π_ref 给它的 K 条回答的概率，`score` [K] 是各回答的分数。
返回使 E[r] − β KL(π ‖ π_ref) 最大的概率 [K]。
""",
    ),
    start=blank("best_policy(reference, score, beta)"),
    probe=probe_optimum,
    right=optimum,
    mistakes=(
        Mistake(
            "not-normalised",
            Words("The weights do not sum to 1: divide them by Z(x).", "这些权重之和不为 1：应除以 Z(x)。"),
            lambda q, r, beta: q * (r / beta).exp(),
        ),
        Mistake(
            "without-reference",
            Words("This is softmax(r/β), the optimum with an entropy bonus: π_ref is a factor of each weight.",
                  "这是 softmax(r/β)，即以熵为奖励时的最优策略：每个权重还应乘上 π_ref。"),
            lambda q, r, beta: (r / beta).softmax(0),
        ),
        Mistake(
            "times-beta",
            Words("Scores are multiplied by β: the higher the price, the less they should count, r/β.",
                  "分数乘上了 β：代价越高，分数的作用应越小，是 r/β。"),
            lambda q, r, beta: (q.log() + r * beta).softmax(0),
        ),
        Mistake(
            "greedy",
            Words("All probability is on the best score: so it is only where a nat costs nothing.",
                  "全部概率都放在了最高分上：只有 KL 不要代价时才如此。"),
            lambda q, r, beta: torch.zeros_like(q).index_fill(0, r.argmax(), 1.0),
        ),
    ),
)  # fmt: skip


def probe_distance(answer: Answer) -> Measured:
    """From the reference and from another policy."""
    return {
        "from π": answer(POLICY.clone(), REFERENCE.clone(), SCORE.clone(), BETA),
        "from π_ref": answer(REFERENCE.clone(), REFERENCE.clone(), SCORE.clone(), BETA),
    }


DISTANCE = Exercise(
    name="left-to-gain",
    title=Words("What is left to gain", "还能提高多少"),
    task=Words(
        """
Write `left_to_gain(policy, reference, score, beta)`: J(π*) − J(π) for one prompt, as an expression in a KL to π*.
`policy` and `reference` [K] are the probabilities of its K responses, `score` [K] their scores. Give back a scalar.
""",
        """
请写出 `left_to_gain(policy, reference, score, beta)`：一个提示的 J(π*) − J(π)，用到 π* 的 KL 表示。
`policy` 与 `reference` [K] 是它的 K 条回答的概率，`score` [K] 是各回答的分数。返回标量。
""",
    ),
    start=blank("left_to_gain(policy, reference, score, beta)"),
    probe=probe_distance,
    right=lambda p, q, r, beta: objective(optimum(q, r, beta), q, r, beta) - objective(p, q, r, beta),
    mistakes=(
        Mistake(
            "in-nats",
            Words("This is KL(π ‖ π*) in nats: J is in units of the score, so β is a factor.",
                  "这是以纳特计的 KL(π ‖ π*)：J 的单位是分数，还应乘上 β。"),
            lambda p, q, r, beta: kl(p, optimum(q, r, beta)),
        ),
        Mistake(
            "other-direction",
            Words("This is β KL(π* ‖ π): the policy stands first.", "这是 β KL(π* ‖ π)：策略应在前面。"),
            lambda p, q, r, beta: beta * kl(optimum(q, r, beta), p),
        ),
        Mistake(
            "to-the-reference",
            Words("This is β KL(π ‖ π_ref), the price that is paid: what is missing is the KL to π*.",
                  "这是 β KL(π ‖ π_ref)，即已付的代价：差距是到 π* 的 KL。"),
            lambda p, q, r, beta: beta * kl(p, q),
        ),
        Mistake(
            "scores-alone",
            Words("Only the scores are compared: J(π*) and J(π) pay for their KL, too.",
                  "只比较了分数：J(π*) 与 J(π) 都还要为各自的 KL 付出代价。"),
            lambda p, q, r, beta: ((optimum(q, r, beta) - p) * r).sum(),
        ),
    ),
)  # fmt: skip

EXERCISES = (OBJECTIVE, OPTIMUM, DISTANCE)
