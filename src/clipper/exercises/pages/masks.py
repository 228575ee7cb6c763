"""Exercises of the page on masks."""

import torch
from torch import Tensor

from clipper.distributions import Categorical
from clipper.exercises.exercise import Answer, Exercise, Mistake, Words, blank, gradients

LOGITS = ((0.5, -1.0, 2.0, 0.0), (1.0, 900.0, 0.0, -1.0))
MASK = torch.tensor(((True, False, True, True), (True, False, False, True)))
IMPOSSIBLE = -1e9


def masked(logits: Tensor, mask: Tensor) -> Categorical:
    """As the library has it."""
    return Categorical(logits.where(mask, IMPOSSIBLE))


def probe_probabilities(answer: Answer) -> dict[str, Tensor]:
    """The probabilities and the gradient of the first."""
    logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    found = answer(logits, MASK.clone())
    return {"π": found, "∂π₀/∂logits": gradients(found[..., 0], [logits])[0]}


def probabilities(logits: Tensor, mask: Tensor) -> Tensor:
    """As the library has them."""
    return masked(logits, mask).logits.softmax(-1)


def probe_entropy(answer: Answer) -> dict[str, Tensor]:
    """Value and gradient."""
    logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    found = answer(logits, MASK.clone())
    return {"H": found, "∂H/∂logits": gradients(found, [logits])[0]}


def entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """As the library has it."""
    return masked(logits, mask).entropy()


def probe_ratio(answer: Answer) -> dict[str, Tensor]:
    """Of two policies, and of one to itself."""
    old = torch.tensor(((0.5, -1.0, 2.0, 0.0), (1.0, 3.0, 0.0, -1.0)), dtype=torch.float64)
    new = torch.tensor(((0.7, -2.0, 1.9, 0.3), (0.6, 4.0, 1.0, -1.5)), dtype=torch.float64, requires_grad=True)
    action = torch.tensor([2, 3])
    found = answer(new, old, action, MASK.clone())
    return {
        "r": found,
        "∂r/∂logits": gradients(found, [new])[0],
        "r of the same policy": answer(old, old, action, MASK.clone()),
    }


def ratio_of(new: Categorical, old: Categorical, action: Tensor) -> Tensor:
    """From two distributions."""
    return (new.log_prob(action) - old.log_prob(action)).exp()


def ratio(logits: Tensor, old_logits: Tensor, action: Tensor, mask: Tensor) -> Tensor:
    """With the mask in both."""
    return ratio_of(masked(logits, mask), masked(old_logits, mask), action)


NAIVE = """import torch


def masked_ratio(logits, old_logits, action, mask):
    new = logits.log_softmax(-1)
    old = old_logits.masked_fill(~mask, -1e9).log_softmax(-1)
    index = action.unsqueeze(-1)
    return (new.gather(-1, index) - old.gather(-1, index)).squeeze(-1).exp()
"""

EXERCISES = (
    Exercise(
        name="masked-probabilities",
        title=Words("Probabilities under a mask", "掩码下的概率"),
        task=Words(
            "Write `masked_probabilities(logits, mask)`, `[B, K]` and booleans `[B, K]` (True is legal) →\n"
            "probabilities `[B, K]` that sum to 1, exactly 0 where masked, with no gradient to a masked logit. One of\n"
            "the masked logits is 900.",
            "写 `masked_probabilities(logits, mask)`：输入 `[B, K]` 和布尔 `[B, K]`（True 表示合法），返回概率 `[B,\n"
            "K]`：和为 1，被屏蔽处恰为 0，被屏蔽的 logit 没有梯度。其中一个被屏蔽的 logit 是 900。",
        ),
        start=blank("masked_probabilities(logits, mask)"),
        probe=probe_probabilities,
        right=probabilities,
        mistakes=(
            Mistake(
                "logits-times-mask",
                Words(
                    "A logit of 0 is not a probability of 0: masked actions still have e⁰ = 1 before normalising.",
                    "logit 为 0 不等于概率为 0：被屏蔽的动作在归一化之前仍有 e⁰ = 1。",
                ),
                answer=lambda logits, mask: (logits * mask).softmax(-1),
            ),
            Mistake(
                "not-normalised",
                Words(
                    "Masked probabilities are removed, but the rest no longer sums to 1.",
                    "被屏蔽的概率去掉了，但剩下的和不再是 1。",
                ),
                answer=lambda logits, mask: logits.softmax(-1) * mask,
            ),
            Mistake(
                "normalised-afterwards",
                Words(
                    "Right on paper, but where a masked logit is the largest, all legal probabilities round to 0 "
                    "before they are divided by their sum: 0/0. Mask the logits, before softmax.",
                    "纸面上没错，但被屏蔽的 logit 最大时，合法动作的概率在除以它们的和之前就都舍入成了 0：0/0。请在 "
                    "softmax 之前屏蔽 logits。",
                ),
                when=lambda found, expected: bool(found["π"].isnan().any() or (found["π"].sum(-1) < 0.5).any()),
            ),
        ),
    ),
    Exercise(
        name="masked-entropy",
        title=Words("Entropy under a mask", "掩码下的熵"),
        task=Words(
            "Write `masked_entropy(logits, mask)` → `[B]`, the entropy in nats of the masked distribution. Value and\n"
            "gradient have to be finite.",
            "写 `masked_entropy(logits, mask)`，返回 `[B]`：掩码后分布的熵（nat）。数值和梯度都必须有限。",
        ),
        start=blank("masked_entropy(logits, mask)"),
        probe=probe_entropy,
        right=entropy,
        mistakes=(
            Mistake(
                "without-mask",
                Words(
                    "This is the entropy without the mask: the bonus would pull probability towards illegal actions.",
                    "这是没有掩码的熵：熵奖励会把概率拉向非法动作。",
                ),
                answer=lambda logits, mask: Categorical(logits).entropy(),
            ),
            Mistake(
                "zero-times-infinity",
                Words(
                    "0 · log 0 is NaN. Mask with a large negative number instead of −∞, or leave these terms out.",
                    "0 · log 0 是 NaN。请用一个很大的负数代替 −∞，或者去掉这些项。",
                ),
                when=lambda found, expected: bool(found["H"].isnan().any()),
            ),
            Mistake(
                "gradient",
                Words(
                    "The value is right and the gradient is NaN: where() picks the right branch, but backpropagates "
                    "through both. Make the argument of the logarithm safe before, not its result after.",
                    "数值对，梯度却是 NaN：where() 选对了分支，反向传播却两支都走。应当先让对数的自变量安全，而不是事"
                    "后挑选结果。",
                ),
                when=lambda found, expected: bool(not found["H"].isnan().any() and found["∂H/∂logits"].isnan().any()),
            ),
        ),
    ),
    Exercise(
        name="masked-ratio",
        title=Words("Find the bug: the ratio", "找出错误：比率"),
        task=Words(
            "The file has a `masked_ratio(logits, old_logits, action, mask)` → r = π(a|s)/μ(a|s) `[B]`, as it is\n"
            "found in many a code base, with a mistake. Both policies act under the mask. A test that every PPO\n"
            "should pass finds it: the ratio of a policy to itself is 1. Repair it.",
            "文件里有一个 `masked_ratio(logits, old_logits, action, mask)`，返回 r = π(a|s)/μ(a|s) `[B]`，许多代码库\n"
            "里都有这样的写法，其中有一个错误。两个策略都在掩码下行动。任何 PPO 都该通过的一项检验就能发现它：策略与\n"
            "自身之比为 1。请修好它。",
        ),
        start=NAIVE,
        probe=probe_ratio,
        right=ratio,
        mistakes=(
            Mistake(
                "half-masked",
                Words(
                    "As given: μ has the mask, π has not. The ratio of a policy to itself is not 1.",
                    "还是原样：μ 有掩码，π 没有。策略与自身之比不是 1。",
                ),
                answer=lambda logits, old, action, mask: ratio_of(Categorical(logits), masked(old, mask), action),
            ),
            Mistake(
                "naive",
                Words(
                    "Now neither has the mask. The ratio of a policy to itself is 1, but these are not the "
                    "probabilities by which actions were drawn: the gradient also moves illegal actions, and the KL "
                    "grows.",
                    "现在两者都没有掩码。策略与自身之比是 1，但这不是采样时用的概率：梯度还会移动非法动作，KL 会变大。",
                ),
                answer=lambda logits, old, action, mask: ratio_of(Categorical(logits), Categorical(old), action),
            ),
            Mistake(
                "logarithm",
                Words("This is log r: take exp.", "这是 log r：还要取 exp。"),
                answer=lambda logits, old, action, mask: ratio(logits, old, action, mask).log(),
            ),
        ),
    ),
)
