"""Exercises to the page on action values: boyu's chapter 13, Spinning Up's 1.3 and 2.2, as functions to write."""

from collections.abc import Callable

import torch
from torch import Tensor

from clipper.exercises.exercise import Answer, Exercise, Measured, Mistake, Words, blank, gradients

Q = Callable[[Tensor], Tensor]


def probe_q_loss(answer: Answer) -> Measured:
    """Four transitions, of which one is terminal; networks' outputs have an axis of one number."""
    q = torch.tensor([[0.5], [-1.0], [2.0], [0.1]], dtype=torch.float64, requires_grad=True)
    after = torch.tensor([[1.0], [0.3], [-0.7], [2.0]], dtype=torch.float64, requires_grad=True)
    reward = torch.tensor([1.0, 0.0, -0.5, 0.2], dtype=torch.float64)
    terminated = torch.tensor([False, False, True, False])
    loss = answer(q, reward, terminated, after, 0.9)
    own, target = gradients(loss, (q, after))
    return {"loss": loss, "∂loss/∂Q": own, "∂loss/∂Q⁻": target}


def target_of(reward: Tensor, terminated: Tensor, after: Tensor, gamma: float) -> Tensor:
    """R + γ (1 − d) Q⁻, ``[B]``."""
    return reward + gamma * (~terminated) * after.squeeze(-1).detach()


Q_LOSS = Exercise(
    name="q-loss",
    title=Words("The loss of Q, and a silent bug", "Q 的损失，以及一个不声不响的错误"),
    task=Words(
        """
Write `q_loss(q, reward, terminated, next_q, gamma)`: the mean of (Q(s, a) − y)² with y = r + γ Q⁻(s′, a′), and y = r
where s′ is terminal. `q` and `next_q` come from networks that end in one unit, [B, 1]; `reward` and `terminated` are
[B]. The target is a constant: no gradient goes into `next_q`. Give back a scalar.
""",
        """
请写出 `q_loss(q, reward, terminated, next_q, gamma)`：(Q(s, a) − y)² 的均值，其中 y = r + γ Q⁻(s′, a′)，
s′ 为终止状态时 y = r。`q` 与 `next_q` 来自以一个单元结尾的网络，形状为 [B, 1]；`reward` 与 `terminated`
的形状是 [B]。目标是常数：梯度不流入 `next_q`。返回标量。
""",
    ),
    start=blank("q_loss(q, reward, terminated, next_q, gamma)"),
    probe=probe_q_loss,
    right=lambda q, r, d, after, gamma: (q.squeeze(-1) - target_of(r, d, after, gamma)).square().mean(),
    mistakes=(
        Mistake(
            "broadcast",
            Words("[B, 1] − [B] is [B, B]: every Q is compared with every target. Take the axis of one away first.",
                  "[B, 1] − [B] 会变成 [B, B]：每个 Q 都与每个目标相比。先去掉长度为 1 的轴。"),
            lambda q, r, d, after, gamma: (q - target_of(r, d, after, gamma)).square().mean(),
        ),
        Mistake(
            "no-end",
            Words("After a termination nothing follows: its target is the reward alone.",
                  "终止之后什么也没有：目标只是奖励本身。"),
            lambda q, r, d, after, gamma: (q.squeeze(-1) - target_of(r, d & False, after, gamma)).square().mean(),
        ),
        Mistake(
            "through-the-target",
            Words("The gradient flows into the target, too: detach it, or work it out under no_grad.",
                  "梯度也流进了目标：应对它 detach，或在 no_grad 下计算。"),
            lambda q, r, d, after, gamma: (q - r[:, None] - gamma * (~d)[:, None] * after).square().mean(),
        ),
        Mistake(
            "whole-discounted",
            Words("γ belongs to what follows, not to the reward.", "γ 只乘后续的价值，不乘奖励。"),
            lambda q, r, d, after, gamma: (q.squeeze(-1) - gamma * target_of(r, d, after, 1.0)).square().mean(),
        ),
        Mistake(
            "sum",
            Words("This is the sum over the batch: the mean was asked for.", "这是对批求和：题目要的是均值。"),
            lambda q, r, d, after, gamma: (q.squeeze(-1) - target_of(r, d, after, gamma)).square().sum(),
        ),
    ),
)  # fmt: skip


def probe_td3_target(answer: Answer) -> Measured:
    """Noise within the bound and beyond it, actions that it takes over their own bounds, and one end."""
    action = torch.tensor([[0.9, -0.2], [0.0, 0.5], [-0.95, 0.1], [0.3, 0.3]], dtype=torch.float64)
    noise = torch.tensor([[0.3, 0.1], [2.0, -0.1], [-0.4, -3.0], [0.0, 0.2]], dtype=torch.float64)
    reward = torch.tensor([1.0, 0.0, -0.5, 0.2], dtype=torch.float64)
    terminated = torch.tensor([False, False, False, True])
    first, second = (torch.tensor(x, dtype=torch.float64) for x in ((1.0, -2.0), (-1.5, 0.5)))
    bias = torch.tensor([0.3, -0.1, 0.2, 0.5], dtype=torch.float64)
    return {"y": answer(reward, terminated, action, noise, lambda a: a @ first, lambda a: a @ second + bias, 0.9, 0.5)}


def td3(
    reward: Tensor, terminated: Tensor, action: Tensor, noise: Tensor, q1: Q, q2: Q, gamma: float, bound: float, *,
    of: Callable[[Tensor, Tensor], Tensor] = torch.minimum, smooth: bool = True, within: bool = True,
    bounded: bool = True, ends: bool = True,
) -> Tensor:  # fmt: skip
    """TD3's target, and what becomes of it where a part is left out."""
    smoothed = action + (noise.clamp(-bound, bound) if bounded else noise) * smooth
    smoothed = smoothed.clamp(-1, 1) if within else smoothed
    return reward + gamma * (~(terminated & ends)) * of(q1(smoothed), q2(smoothed))


TD3_TARGET = Exercise(
    name="td3-target",
    title=Words("TD3's target", "TD3 的目标"),
    task=Words(
        """
Write `td3_target(reward, terminated, action, noise, q1, q2, gamma, bound)`: r + γ min(Q₁(s′, ã), Q₂(s′, ã)), and r
alone where s′ is terminal. `action` [B, A] is μ⁻(s′) within [−1, 1], `noise` [B, A] is drawn already; ã is the action
with the noise, which is first clipped to ±`bound`, and then itself to [−1, 1]. `q1` and `q2` take actions and give
[B]. Give back [B].
""",
        """
请写出 `td3_target(reward, terminated, action, noise, q1, q2, gamma, bound)`：r + γ min(Q₁(s′, ã), Q₂(s′, ã))，
s′ 为终止状态时只有 r。`action` [B, A] 是 [−1, 1] 内的 μ⁻(s′)，`noise` [B, A] 已经采好；ã 是加上噪声的动作：噪声先
截断到 ±`bound`，动作再截断到 [−1, 1]。`q1` 与 `q2` 接受动作，给出 [B]。返回 [B]。
""",
    ),
    start=blank("td3_target(reward, terminated, action, noise, q1, q2, gamma, bound)"),
    probe=probe_td3_target,
    right=td3,
    mistakes=(
        Mistake(
            "maximum",
            Words("The larger of the two counts here: the smaller one keeps errors from being taken for value.",
                  "这里取的是较大者：应取较小者，以免把误差当作价值。"),
            lambda *given: td3(*given, of=torch.maximum),
        ),
        Mistake(
            "first-critic",
            Words("Only Q₁ is asked: the target is the smaller of both.", "只用了 Q₁：目标是两者中较小的。"),
            lambda *given: td3(*given, of=lambda a, _: a),
        ),
        Mistake(
            "no-smoothing",
            Words("The noise is left out: this is the target without smoothing.", "没有加噪声：这是未平滑的目标。"),
            lambda *given: td3(*given, smooth=False),
        ),
        Mistake(
            "noise-unbounded",
            Words("The noise itself is to be clipped to ±bound before it is added.",
                  "噪声在相加之前要先截断到 ±bound。"),
            lambda *given: td3(*given, bounded=False),
        ),
        Mistake(
            "action-unbounded",
            Words("With the noise an action may leave [−1, 1], where no critic was trained: clip it.",
                  "加上噪声后动作可能越出 [−1, 1]，那里的 Q 从未训练过：要截断。"),
            lambda *given: td3(*given, within=False),
        ),
        Mistake(
            "no-end",
            Words("After a termination nothing follows: its target is the reward alone.",
                  "终止之后什么也没有：目标只是奖励本身。"),
            lambda *given: td3(*given, ends=False),
        ),
    ),
)  # fmt: skip


def probe_soft_update(answer: Answer) -> Measured:
    """Two parameters of a copy and of what it follows, twice; a copy must not become what it follows."""
    lagged = [torch.tensor([1.0, 2.0]), torch.tensor([[0.0]])]
    fast = [torch.tensor([3.0, -2.0]), torch.tensor([[10.0]])]
    answer(lagged, fast, 0.1)
    once = [x.clone() for x in lagged]
    fast[0].add_(1.0)
    moved = [x.clone() for x in lagged]
    answer(lagged, fast, 0.1)
    found: Measured = {f"θ⁻[{i}] after one": x for i, x in enumerate(once)}
    found |= {f"θ⁻[{i}] when θ has moved": x for i, x in enumerate(moved)}
    found |= {f"θ⁻[{i}] after two": x for i, x in enumerate(lagged)}
    return found | {f"θ[{i}]": x for i, x in enumerate(fast)}


def follow(lagged: list[Tensor], fast: list[Tensor], tau: float) -> None:
    """θ⁻ ← (1 − τ) θ⁻ + τ θ, in place."""
    for slow, x in zip(lagged, fast, strict=True):
        slow.mul_(1 - tau).add_(tau * x)


def replace(lagged: list[Tensor], fast: list[Tensor], tau: float) -> None:
    """θ⁻ becomes θ itself."""
    lagged[:] = fast


SOFT_UPDATE = Exercise(
    name="soft-update",
    title=Words("A copy that follows", "跟随的副本"),
    task=Words(
        """
Write `soft_update(lagged, fast, tau)`: θ⁻ ← (1 − τ) θ⁻ + τ θ for each of two lists of parameters, in place in `lagged`;
`fast` stays as it is. Nothing needs to be given back.
""",
        """
请写出 `soft_update(lagged, fast, tau)`：对两个参数列表逐一做 θ⁻ ← (1 − τ) θ⁻ + τ θ，就地改 `lagged`；`fast` 保持不变。
不需要返回值。
""",
    ),
    start=blank("soft_update(lagged, fast, tau)"),
    probe=probe_soft_update,
    right=follow,
    mistakes=(
        Mistake(
            "swapped",
            Words("The weights are swapped: τ, which is small, belongs to the new parameters.",
                  "权重写反了：小的 τ 属于新参数。"),
            lambda lagged, fast, tau: follow(lagged, fast, 1 - tau),
        ),
        Mistake(
            "copied",
            Words("The copy is the network at once: it should go the part τ of the way.",
                  "副本立刻就等于网络了：每次只该走 τ 这一部分路。"),
            lambda lagged, fast, _: follow(lagged, fast, 1.0),
        ),
        Mistake(
            "same-memory",
            Words("The copy has become the network itself, and changes with it: write into its own memory.",
                  "副本变成了网络本身，会随它一起改变：应写入副本自己的内存。"),
            replace,
        ),
        Mistake(
            "nothing-changed",
            Words("The copy is as it was: change its tensors in place (copy_, lerp_, mul_ and add_).",
                  "副本没有变：要就地修改它的张量（copy_、lerp_、mul_ 与 add_）。"),
            lambda lagged, fast, tau: [(1 - tau) * slow + tau * x for slow, x in zip(lagged, fast, strict=True)],
        ),
        Mistake(
            "network-moved",
            Words("The network follows the copy: it is the copy that is to be changed.",
                  "网络跟着副本走了：要改的是副本。"),
            lambda lagged, fast, tau: follow(fast, lagged, tau),
        ),
    ),
)  # fmt: skip

EXERCISES = (Q_LOSS, TD3_TARGET, SOFT_UPDATE)
