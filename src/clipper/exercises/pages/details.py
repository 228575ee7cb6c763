"""Exercises of the page on implementation details."""

import torch
from torch import Tensor

from clipper.exercises.exercise import Answer, Exercise, Mistake, Words, blank

ROWS = 10


def probe_target(answer: Answer) -> dict[str, Tensor]:
    """All four ways in which a step may end."""
    reward = torch.tensor((1.0, 2.0, -1.0, 0.5), dtype=torch.float64)
    next_value = torch.tensor((10.0, 20.0, 30.0, 40.0), dtype=torch.float64)
    terminated = torch.tensor((False, True, False, True))
    truncated = torch.tensor((False, False, True, True))
    return {"target": answer(reward, next_value, terminated, truncated, 0.9)}


def target(reward: Tensor, next_value: Tensor, terminated: Tensor, truncated: Tensor, gamma: float) -> Tensor:
    """Core detail 5."""
    return reward + gamma * next_value.where(~terminated, 0.0)


def probe_minibatches(answer: Answer) -> dict[str, Tensor]:
    """Two epochs, as counts that do not depend on the order drawn."""
    generator = torch.Generator().manual_seed(3)
    first, second = ([part.long() for part in answer(ROWS, 4, generator)] for _ in range(2))
    whole, again = torch.cat(first), torch.cat(second)
    in_order = torch.equal(whole, whole.sort().values)
    return {
        "all indices, sorted": whole.sort().values.double(),
        "sizes, sorted": torch.tensor(sorted(map(len, first))).double(),
        "is it shuffled?": torch.tensor(float(not in_order)),
        "is it shuffled anew?": torch.tensor(float(not torch.equal(whole, again))),
    }


def minibatches(n: int, parts: int, generator: torch.Generator) -> list[Tensor]:
    """Core detail 6."""
    return list(torch.randperm(n, generator=generator).tensor_split(parts))


def fixed_order(n: int, parts: int, generator: torch.Generator) -> list[Tensor]:
    """A generator of its own, the same each time."""
    return list(torch.randperm(n, generator=torch.Generator().manual_seed(0)).tensor_split(parts))


def probe_clip(answer: Answer) -> dict[str, Tensor]:
    """Of gradients above the bound, and below it."""
    large = [torch.tensor([[3.0, -4.0], [0.1, 0.0]], dtype=torch.float64), torch.tensor([12.0], dtype=torch.float64)]
    small = [x / 100 for x in large]
    found, kept = answer([x.clone() for x in large], 0.5), answer([x.clone() for x in small], 0.5)
    return {f"{name} {i}": x for name, xs in (("large", found), ("small", kept)) for i, x in enumerate(xs)}


def norm(gradients: list[Tensor]) -> Tensor:
    """Of all numbers together."""
    return torch.cat([g.flatten() for g in gradients]).norm()


def clipped(gradients: list[Tensor], bound: float) -> list[Tensor]:
    """Core detail 11."""
    return [g * (bound / norm(gradients)).clamp(max=1) for g in gradients]


EXERCISES = (
    Exercise(
        name="time-limit",
        title=Words("A time limit is no end", "时间上限不是终止"),
        task=Words(
            "Write `time_limit(reward, next_value, terminated, truncated, gamma)` → `[B]`, the one-step target r + γ\n"
            "V(s′) (core detail 5). `next_value` is V of the true next state, also where the episode was cut off. A\n"
            "state may be both terminal and at the limit.",
            "写 `time_limit(reward, next_value, terminated, truncated, gamma)`，返回 `[B]`：一步目标 r + γ V(s′)（核\n"
            "心细节 5）。`next_value` 是真正的下一状态的 V，回合被截断时也是如此。一个状态可能既是终止状态，又恰好到\n"
            "了时间上限。",
        ),
        start=blank("time_limit(reward, next_value, terminated, truncated, gamma)"),
        probe=probe_target,
        right=target,
        mistakes=(
            Mistake(
                "limit-as-end",
                Words(
                    "The time limit counts as an end of the world: where it cuts an episode off, the future is worth "
                    "V, not 0.",
                    "把时间上限当成了世界的尽头：回合被它截断时，未来值 V，而不是 0。",
                ),
                answer=lambda r, v, terminated, truncated, gamma: target(
                    r, v, terminated | truncated, truncated, gamma
                ),
            ),
            Mistake(
                "no-end",
                Words(
                    "Terminal states bootstrap too: nothing comes after them.", "终止状态也做了自举：它之后什么都没有。"
                ),
                answer=lambda r, v, terminated, truncated, gamma: r + gamma * v,
            ),
            Mistake(
                "limit-wins",
                Words(
                    "Where a state is terminal and at the limit at once, it is terminal: its future is worth 0.",
                    "一个状态既终止又到上限时，它就是终止的：未来价值为 0。",
                ),
                answer=lambda r, v, terminated, truncated, gamma: target(
                    r, v, terminated & ~truncated, truncated, gamma
                ),
            ),
        ),
    ),
    Exercise(
        name="shuffled-minibatches",
        title=Words("Each decision once an epoch", "每个 epoch 每个决策恰好一次"),
        task=Words(
            "Write `shuffled_minibatches(n, parts, generator)` → a list of `parts` tensors of indices (core detail\n"
            "6): together each of 0 … n − 1 exactly once, in random order drawn from `generator` (a torch.Generator),\n"
            "sizes that differ by at most 1. It is called once for every epoch.",
            "写 `shuffled_minibatches(n, parts, generator)`，返回 `parts` 个下标张量的列表（核心细节 6）：合起来 0 …\n"
            "n − 1 每个恰好出现一次，顺序由 `generator`（torch.Generator）随机决定，大小至多相差 1。每个 epoch 调用一\n"
            "次。",
        ),
        start=blank("shuffled_minibatches(n, parts, generator)"),
        probe=probe_minibatches,
        right=minibatches,
        mistakes=(
            Mistake(
                "with-replacement",
                Words(
                    "Some indices come twice, others never: draw a permutation, not numbers.",
                    "有的下标出现两次，有的从不出现：应当抽一个排列，而不是逐个抽数。",
                ),
                when=lambda found, expected: (
                    len(found["all indices, sorted"]) == ROWS
                    and not torch.equal(found["all indices, sorted"], expected["all indices, sorted"])
                ),
            ),
            Mistake(
                "rest-dropped",
                Words(
                    "The last n mod parts indices are missing: data that was paid for is thrown away.",
                    "少了最后 n mod parts 个下标：来之不易的数据被丢掉了。",
                ),
                when=lambda found, expected: len(found["all indices, sorted"]) < ROWS,
            ),
            Mistake(
                "in-order",
                Words(
                    "The indices are in order: neighbours in time are alike, and a minibatch of them has less to say.",
                    "下标是按顺序的：时间上相邻的样本彼此相像，由它们组成的小批量信息更少。",
                ),
                when=lambda found, expected: not bool(found["is it shuffled?"]),
            ),
            Mistake(
                "fixed-order",
                Words(
                    "Both epochs get the same order: the given generator has to be drawn from, and go on.",
                    "两个 epoch 的顺序相同：要从给定的 generator 里抽取，并让它继续往前走。",
                ),
                answer=fixed_order,
            ),
            Mistake(
                "unequal",
                Words("The sizes differ by more than 1.", "各份的大小相差超过 1。"),
                when=lambda found, expected: (
                    len(found["sizes, sorted"]) == len(expected["sizes, sorted"])
                    and not torch.equal(found["sizes, sorted"], expected["sizes, sorted"])
                ),
            ),
        ),
    ),
    Exercise(
        name="global-norm",
        title=Words("Gradients clipped by their global norm", "按全局范数裁剪梯度"),
        task=Words(
            "Write `global_norm(gradients, bound)`: a list of tensors → a list of tensors (core detail 11). The\n"
            "Euclidean norm of all of them together is brought down to `bound` where it is larger; their common\n"
            "direction stays.",
            "写 `global_norm(gradients, bound)`：输入张量列表，返回张量列表（核心细节 11）。所有梯度合在一起的欧几里\n"
            "得范数若超过 `bound`，就缩小到 `bound`；整体方向不变。",
        ),
        start=blank("global_norm(gradients, bound)"),
        probe=probe_clip,
        right=clipped,
        mistakes=(
            Mistake(
                "each-by-itself",
                Words(
                    "Each tensor is clipped by its own norm, which turns the direction of the whole.",
                    "每个张量按自己的范数裁剪，整体方向就变了。",
                ),
                answer=lambda gradients, bound: [clipped([g], bound)[0] for g in gradients],
            ),
            Mistake(
                "by-value",
                Words(
                    "Each number is clamped to ±bound, which turns the direction.", "逐个数截到 ±bound，方向就变了。"
                ),
                answer=lambda gradients, bound: [g.clamp(-bound, bound) for g in gradients],
            ),
            Mistake(
                "always",
                Words(
                    "Small gradients are enlarged: they should stay as they are.",
                    "小的梯度被放大了：它们应当保持原样。",
                ),
                answer=lambda gradients, bound: [g * bound / norm(gradients) for g in gradients],
            ),
            Mistake(
                "squared",
                Words("The square of the norm was taken for the norm.", "把范数的平方当成了范数。"),
                answer=lambda gradients, bound: [
                    g * (bound / norm(gradients).square()).clamp(max=1) for g in gradients
                ],
            ),
        ),
    ),
)
