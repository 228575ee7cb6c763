"""Exercises to the page on bandits: chapter 2 of Sutton & Barto, as functions to write."""

import torch
from torch import Tensor

from clipper.exercises.exercise import Answer, Exercise, Measured, Mistake, Words, blank


def probe_epsilon_greedy(answer: Answer) -> Measured:
    """Ten steps of four arms; estimates and counts of before are given, and must not be lost."""
    q, n = torch.tensor([0.5, -0.2, 0.0, 0.5], dtype=torch.float64), torch.tensor([4, 1, 0, 2])
    found: Measured = {}
    for step, (arm, reward) in enumerate([(2, 1.0), (2, -2.0), (0, 3.0), (3, 0.5), (1, 0.9)]):
        q, n, p = answer(q.clone(), n.clone(), arm, reward, 0.2)
        found |= {f"Q after {step + 1}": q, f"N after {step + 1}": n, f"π after {step + 1}": p}
    return found


def greedy(
    q: Tensor, n: Tensor, arm: int, reward: float, epsilon: float, *, rate: float | None = None, before: bool = False,
    all_best: bool = True, others: bool = False, every: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """A step of the sample average and of ε-greedy, and what becomes of them where a part is wrong."""
    n = n.clone()
    seen = max(int(n[arm]), 1) if before else int(n[arm]) + 1
    n[arm] += 1
    q = q.clone()
    chosen = slice(None) if every else arm
    q[chosen] += (reward - q[chosen]) * (1 / seen if rate is None else rate)
    best = (q == q.max()).double() if all_best else torch.nn.functional.one_hot(q.argmax(), len(q)).double()
    share = best / best.sum()
    explore = (1 - best) / (1 - best).sum() if others else torch.full_like(share, 1 / len(q))
    return q, n, epsilon * explore + (1 - epsilon) * share


EPSILON_GREEDY = Exercise(
    name="epsilon-greedy",
    title=Words("Sample averages and ε-greedy", "样本平均与 ε-贪心"),
    task=Words(
        """
Write `epsilon_greedy(q, n, arm, reward, epsilon)`: Q ← Q + (R − Q)/N for the arm taken, N counting this reward too;
then the probabilities with which the next arm is drawn: with probability ε any of the K arms, all alike, else one
with the largest Q, all such arms alike. `q` [K] and `n` [K] are those of before. Give back (q, n, probabilities).
""",
        """
请写出 `epsilon_greedy(q, n, arm, reward, epsilon)`：对所拉的臂做 Q ← Q + (R − Q)/N，N 已计入这次奖励；
再给出下一次各臂被抽中的概率：以概率 ε 在 K 个臂中等概率任取，否则取 Q 最大的臂，并列者等概率。
`q` [K] 与 `n` [K] 是之前的值。返回 (q, n, 概率)。
""",
    ),
    start=blank("epsilon_greedy(q, n, arm, reward, epsilon)"),
    probe=probe_epsilon_greedy,
    right=greedy,
    mistakes=(
        Mistake(
            "constant-step",
            Words("The step size is constant: this weighs late rewards more than early ones. A sample average has 1/N.",
                  "步长是常数：这样后来的奖励权重更大。样本平均的步长是 1/N。"),
            lambda *given: greedy(*given, rate=0.1),
        ),
        Mistake(
            "count-before",
            Words("N does not count this reward yet: the first one would be divided by 0, the second by 1.",
                  "N 还没有计入这次奖励：第一次会除以 0，第二次会除以 1。"),
            lambda *given: greedy(*given, before=True),
        ),
        Mistake(
            "every-arm",
            Words("All arms' estimates move: the reward speaks of the arm that was taken, and of no other.",
                  "所有臂的估计都动了：奖励只说明所拉的那个臂。"),
            lambda *given: greedy(*given, every=True),
        ),
        Mistake(
            "first-of-the-best",
            Words("Of arms that are equally good only the first is taken: a tie is broken at random.",
                  "并列最优时只取了第一个：并列者应等概率。"),
            lambda *given: greedy(*given, all_best=False),
        ),
        Mistake(
            "explores-others-only",
            Words("ε is shared by the other arms only: to explore is to take any arm, the best one included.",
                  "ε 只分给了其他臂：探索是任取一个臂，最优的也在内。"),
            lambda *given: greedy(*given, others=True),
        ),
    ),
)  # fmt: skip


def probe_ucb(answer: Answer) -> Measured:
    """Counts far apart, and one arm that was never tried."""
    q = torch.tensor([1.0, 0.8, -0.3, 0.0], dtype=torch.float64)
    n = torch.tensor([40, 8, 2, 0])
    return {"scores": answer(q, n, 50, 2.0), "scores of c = 0.5": answer(q, n, 51, 0.5)}


def ucb(
    q: Tensor, n: Tensor, t: int, c: float, *, root: bool = True, log: bool = True, first: bool = True,
    own: bool = True,
) -> Tensor:  # fmt: skip
    """Q + c √(ln t / N), and what becomes of it where a part is wrong."""
    count = n.clamp(min=1).double() if own else torch.full_like(q, float(t))
    width = (torch.tensor(float(t), dtype=torch.float64).log() if log else torch.tensor(float(t))) / count
    scores = q + c * (width.sqrt() if root else width)
    return scores.masked_fill(n == 0, torch.inf) if first else scores


UCB = Exercise(
    name="upper-confidence-bound",
    title=Words("Upper confidence bounds", "置信上界"),
    task=Words(
        """
Write `upper_confidence_bound(q, n, t, c)`: Q(a) + c √(ln t / N(a)) for each of the K arms, and infinity for an arm that
was never tried, so that it comes first. `q` [K] are the estimates, `n` [K] how often each arm was taken. Give back [K].
""",
        """
请写出 `upper_confidence_bound(q, n, t, c)`：对 K 个臂逐一给出 Q(a) + c √(ln t / N(a))；从未拉过的臂给出无穷大，
使它排在最前。`q` [K] 是估计，`n` [K] 是各臂拉过的次数。返回 [K]。
""",
    ),
    start=blank("upper_confidence_bound(q, n, t, c)"),
    probe=probe_ucb,
    right=ucb,
    mistakes=(
        Mistake(
            "no-root",
            Words("The root is missing: uncertainty falls as 1/√N.", "少了根号：不确定性按 1/√N 下降。"),
            lambda *given: ucb(*given, root=False),
        ),
        Mistake(
            "no-logarithm",
            Words("t stands without its logarithm: the bonus would then never stop growing.",
                  "t 没有取对数：那样加成会一直增长。"),
            lambda *given: ucb(*given, log=False),
        ),
        Mistake(
            "untried-is-one",
            Words("An arm that was never tried counts as tried once: it must come before all others.",
                  "从未拉过的臂被当作拉过一次：它应当排在所有臂之前。"),
            lambda *given: ucb(*given, first=False),
        ),
        Mistake(
            "same-count",
            Words("All arms have the same bonus: each is divided by its own N.",
                  "所有臂的加成相同：各臂应除以自己的 N。"),
            lambda *given: ucb(*given, own=False),
        ),
    ),
)  # fmt: skip


def probe_gradient_bandit(answer: Answer) -> Measured:
    """Two steps from preferences that differ; the mean reward is that of the rewards so far."""
    h = torch.tensor([0.3, -0.5, 1.0], dtype=torch.float64)
    found: Measured = {}
    for step, (arm, reward, mean) in enumerate([(0, 4.5, 4.0), (1, 3.0, 4.25)]):
        h = answer(h.clone(), arm, reward, mean, 0.4)
        found[f"H after {step + 1}"] = h
    return found


def climb(
    h: Tensor, arm: int, reward: float, mean: float, alpha: float, *, baseline: bool = True, others: bool = True,
    sign: float = 1.0, logits: bool = False,
) -> Tensor:  # fmt: skip
    """H ← H + α (R − R̄)(1[a] − π), and what becomes of it where a part is wrong."""
    taken = torch.nn.functional.one_hot(torch.tensor(arm), len(h)).double()
    pi = h if logits else h.softmax(-1)
    score = taken - pi if others else taken * (1 - pi)
    return h + sign * alpha * (reward - (mean if baseline else 0.0)) * score


GRADIENT_BANDIT = Exercise(
    name="gradient-bandit",
    title=Words("The gradient bandit", "梯度老虎机"),
    task=Words(
        """
Write `gradient_bandit(h, arm, reward, mean_reward, alpha)`: one step of gradient ascent on preferences `h` [K], with
π = softmax(h): H(a) ← H(a) + α (R − R̄)(1 − π(a)) for the arm that was taken, H(b) ← H(b) − α (R − R̄) π(b) for all
others. R̄, the mean of the rewards so far, is the baseline. Give back [K].
""",
        """
请写出 `gradient_bandit(h, arm, reward, mean_reward, alpha)`：对偏好 `h` [K] 做一步梯度上升，π = softmax(h)：
对所拉的臂做 H(a) ← H(a) + α (R − R̄)(1 − π(a))，对其余各臂做
H(b) ← H(b) − α (R − R̄) π(b)。至今奖励的均值 R̄ 是基线。返回 [K]。
""",
    ),
    start=blank("gradient_bandit(h, arm, reward, mean_reward, alpha)"),
    probe=probe_gradient_bandit,
    right=climb,
    mistakes=(
        Mistake(
            "no-baseline",
            Words("The baseline is missing: where all rewards are positive, every arm that is taken gains.",
                  "少了基线：奖励全为正时，凡拉过的臂都会上升。"),
            lambda *given: climb(*given, baseline=False),
        ),
        Mistake(
            "taken-arm-only",
            Words("Only the arm that was taken moves: the others' preferences fall as π(b) of what it gains.",
                  "只动了所拉的臂：其余各臂的偏好应按 π(b) 下降。"),
            lambda *given: climb(*given, others=False),
        ),
        Mistake(
            "descends",
            Words("The sign is turned: this descends.", "符号反了：这是在下降。"),
            lambda *given: climb(*given, sign=-1.0),
        ),
        Mistake(
            "no-softmax",
            Words("π is missing: preferences are not probabilities before softmax.",
                  "少了 π：偏好经过 softmax 才是概率。"),
            lambda *given: climb(*given, logits=True),
        ),
    ),
)  # fmt: skip

EXERCISES = (EPSILON_GREEDY, UCB, GRADIENT_BANDIT)
