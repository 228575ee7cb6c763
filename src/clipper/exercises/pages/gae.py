"""Exercises to the page on GAE and critics."""

import torch
from torch import Tensor

from clipper.exercises.exercise import Answer, Exercise, Measured, Mistake, Words, blank, gradients

GAMMA, LAMBDA = 0.9, 0.8


def recorded() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Reward, V(sₜ), V(sₜ₊₁), terminated and done ``[5, 2]``: an end, a time limit, and a record that stops."""
    reward = torch.tensor([[1.0, 0.5], [0.0, 2.0], [2.0, -1.0], [-1.0, 0.0], [0.5, 1.0]]).double()
    value = torch.tensor([[0.5, 1.0], [1.5, 0.0], [1.0, 2.0], [2.0, -0.5], [0.0, 1.5]]).double()
    after = torch.tensor([[1.5, 0.0], [1.0, 3.0], [7.0, -0.5], [0.0, 1.5], [0.8, 4.0]]).double()
    terminated, done = torch.zeros(2, 5, 2, dtype=torch.bool)
    terminated[2, 0] = done[2, 0] = True  # column 0 ends: V = 7 of what follows may not be used
    done[1, 1] = True  # column 1 is cut by a time limit, in a state worth 3
    return reward, value, after, terminated, done


def probe_gae(answer: Answer) -> Measured:
    """λ between, and at both ends."""
    return {f"Â (λ = {lam:g})": answer(*recorded(), GAMMA, lam) for lam in (LAMBDA, 0.0, 1.0)}


def sum_of_errors(
    reward: Tensor, value: Tensor, after: Tensor, terminated: Tensor, done: Tensor, gamma: float, lam: float,
    decay: float | None = None,
) -> Tensor:  # fmt: skip
    """Σₗ (γλ)ˡ δₜ₊ₗ up to the episode's end, row by row."""
    delta = reward + gamma * after * ~terminated - value
    decay = gamma * lam if decay is None else decay
    found = torch.zeros_like(delta)
    for n in range(delta.shape[1]):
        for t in range(len(delta)):
            for k in range(t, len(delta)):
                found[t, n] += decay ** (k - t) * delta[k, n]
                if done[k, n]:
                    break
    return found


GAE = Exercise(
    name="generalised-advantage",
    title=Words("Generalised advantage estimation", "广义优势估计"),
    task=Words(
        """
Write `generalised_advantage(reward, value, next_value, terminated, done, gamma, lam)`: Âₜ = Σₗ (γλ)ˡ δₜ₊ₗ up to the
episode's end. All are [T, N], time downwards. `next_value` is V of the true successor, even where a time limit ended
the episode; `terminated` is True where the environment's own rules ended it, and `done` where it ended at all. Behind
the last row nothing is known but its `next_value`. Give back [T, N].
""",
        """
请写出 `generalised_advantage(reward, value, next_value, terminated, done, gamma, lam)`：Âₜ = Σₗ (γλ)ˡ δₜ₊ₗ，
加到本回合结束为止。各参数形状都是 [T, N]，时间自上而下。
`next_value` 是真正的后继状态的 V，回合因时间限制结束时也是如此；
环境按自身规则结束时 `terminated` 为 True，回合以任何方式结束时 `done` 为 True。
最后一行之后，除了它的 `next_value` 一无所知。返回 [T, N]。
""",
    ),
    start=blank("generalised_advantage(reward, value, next_value, terminated, done, gamma, lam)"),
    probe=probe_gae,
    right=sum_of_errors,
    mistakes=(
        Mistake(
            "bootstrapped-end",
            Words("V of a terminal state is used: where terminated, δ = r − V(s).",
                  "用了终止状态的 V：在 terminated 处，δ = r − V(s)。"),
            lambda r, v, after, terminated, done, *rest: sum_of_errors(r, v, after, done & False, done, *rest),
        ),
        Mistake(
            "time-limit-as-end",
            Words("A time limit is treated as an end: the state went on being worth V(s′), so bootstrap there.",
                  "把时间限制当成了终止：该状态仍值 V(s′)，那里应当自举。"),
            lambda r, v, after, terminated, done, *rest: sum_of_errors(r, v, after, done, done, *rest),
        ),
        Mistake(
            "across-the-end",
            Words("Errors of the next episode leak in: the sum ends where done.",
                  "混进了下一回合的误差：求和应在 done 处停止。"),
            lambda r, v, after, terminated, done, *rest: sum_of_errors(r, v, after, terminated, done & False, *rest),
        ),
        Mistake(
            "through-a-time-limit",
            Words("Errors leak across a time limit: the sum ends where done, not only where terminated.",
                  "误差越过了时间限制：求和应在 done 处停止，而不只是在 terminated 处。"),
            lambda r, v, after, terminated, done, *rest: sum_of_errors(r, v, after, terminated, terminated, *rest),
        ),
        Mistake(
            "no-gamma",
            Words("Errors decay with λ alone: the factor is γλ.", "误差只按 λ 衰减：因子应是 γλ。"),
            lambda *inputs: sum_of_errors(*inputs, decay=inputs[-1]),
        ),
        Mistake(
            "no-lambda",
            Words("λ is not used: errors decay with γ alone, as with λ = 1.",
                  "没有用到 λ：误差只按 γ 衰减，相当于 λ = 1。"),
            lambda *inputs: sum_of_errors(*inputs, decay=inputs[-2]),
        ),
        Mistake(
            "returns",
            Words("These are the critic's targets, Â + V(s): subtract V.", "这是 critic 的目标 Â + V(s)：还要减去 V。"),
            lambda *inputs: sum_of_errors(*inputs) + inputs[1],
        ),
    ),
)  # fmt: skip


def probe_target(answer: Answer) -> Measured:
    """The loss, and what reaches V(s) and V(s′)."""
    reward, value, after, terminated, done = recorded()
    value.requires_grad_()
    after.requires_grad_()
    loss = answer(reward, value, after, terminated, done, GAMMA)
    by_value, by_after = gradients(loss, (value, after))
    return {"loss": loss, "∂loss/∂V(s)": by_value, "∂loss/∂V(s′)": by_after}


def critic_loss(reward: Tensor, value: Tensor, after: Tensor, terminated: Tensor, done: Tensor, gamma: float) -> Tensor:
    """E[(V(s) − r − γ V(s′))²], the target held, and V(s′) 0 at an end."""
    return (value - (reward + gamma * after * ~terminated).detach()).square().mean()


TARGET = Exercise(
    name="critic-target",
    title=Words("What the critic learns", "critic 学什么"),
    task=Words(
        """
Write `critic_target(reward, value, next_value, terminated, done, gamma)`: the loss E[(V(s) − y)²] with the target
y of TD(0), the mean over all rows. All are [T, N] and as in the exercise before; `value` and `next_value` come from the
same network, with their graph. Give back a scalar.
""",
        """
请写出 `critic_target(reward, value, next_value, terminated, done, gamma)`：损失 E[(V(s) − y)²]，y 为 TD(0) 的目标，
对所有行取均值。各参数形状都是 [T, N]，含义同上一题；`value` 与 `next_value` 出自同一个网络，都带有计算图。返回标量。
""",
    ),
    start=blank("critic_target(reward, value, next_value, terminated, done, gamma)"),
    probe=probe_target,
    right=critic_loss,
    mistakes=(
        Mistake(
            "through-the-target",
            Words("The gradient flows through the target: V(s′) is moved towards V(s), too. Detach y.",
                  "梯度流进了目标：V(s′) 也被拉向 V(s)。y 要先 detach。"),
            when=lambda found, expected: bool(found["∂loss/∂V(s′)"].abs().max() > 0),
        ),
        Mistake(
            "bootstrapped-end",
            Words("V of a terminal state is used: there the target is the reward alone.",
                  "用了终止状态的 V：那里的目标只有奖励。"),
            lambda r, v, after, terminated, done, gamma: critic_loss(r, v, after, done & False, done, gamma),
        ),
        Mistake(
            "time-limit-as-end",
            Words("A time limit is treated as an end: bootstrap from V(s′) there.",
                  "把时间限制当成了终止：那里应当用 V(s′) 自举。"),
            lambda r, v, after, terminated, done, gamma: critic_loss(r, v, after, done, done, gamma),
        ),
        Mistake(
            "halved",
            Words("There is a ½ before the square that was not asked for.", "平方前多了一个 ½，题目没有要求。"),
            lambda *inputs: critic_loss(*inputs) / 2,
        ),
        Mistake(
            "rewards-only",
            Words("The target is the reward alone: γ V(s′) is missing.", "目标只有奖励：缺了 γ V(s′)。"),
            lambda r, v, after, terminated, done, gamma: critic_loss(r, v, after, terminated, done, 0.0),
        ),
    ),
)  # fmt: skip

FEATURES = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 0.5], [1.0, 1.5]], dtype=torch.float64)
REWARDS = torch.tensor([1.0, 0.0, 2.0, -1.0, 0.5], dtype=torch.float64)
RATE = 0.2


def probe_fit(answer: Answer) -> Measured:
    """The weights after one step and after many."""
    return {f"w ({k} steps)": answer(FEATURES.clone(), REWARDS.clone(), GAMMA, k, RATE) for k in (1, 80)}


def fit(
    features: Tensor, reward: Tensor, gamma: float, steps: int, rate: float,
    sign: float = -1.0, discounted: bool = True, bootstrapped: bool = False,
) -> Tensor:  # fmt: skip
    """Steps down the mean squared error of V = features · w, from w = 0, with the places where mistakes are made."""
    to_go = torch.zeros_like(reward)
    for t in reversed(range(len(reward))):
        to_go[t] = reward[t] + (gamma * to_go[t + 1] if t + 1 < len(reward) and discounted else 0)
    w = torch.zeros(features.shape[1], dtype=features.dtype)
    for _ in range(steps):
        value = features @ w
        target = reward + gamma * torch.cat([value[1:], value.new_zeros(1)]) if bootstrapped else to_go
        w = w + sign * rate * 2 * features.T @ (value - target) / len(reward)
    return w


FIT = Exercise(
    name="value-fitting",
    title=Words("Fitting the value function (Spinning Up 2.1)", "拟合价值函数（Spinning Up 2.1）"),
    task=Words(
        """
In TRPO the policy takes one step per batch and the critic many (`train_v_iters`). Write
`value_fitting(features, reward, gamma, steps, rate)` for one episode that ends with its last row: `features` [T, D],
`reward` [T]. From w = 0 take `steps` steps of gradient descent of size `rate` on the mean over t of
(features w − Gₜ)², with Gₜ the reward-to-go. Give back w [D]. Then think: what is the advantage, and its variance, with
0 steps, and with 80?
""",
        """
TRPO 每批数据只让策略走一步，却让 critic 走很多步（`train_v_iters`）。给定一个在最后一行结束的回合，
`features` [T, D]，`reward` [T]，请写出 `value_fitting(features, reward, gamma, steps, rate)`：
从 w = 0 出发，对 (features w − Gₜ)² 在 t 上的均值做 `steps` 步步长为 `rate` 的梯度下降，Gₜ 为此后的回报。
返回 w [D]。再想一想：0 步与 80 步时，优势各是什么，方差又如何？
""",
    ),
    start=blank("value_fitting(features, reward, gamma, steps, rate)"),
    probe=probe_fit,
    right=fit,
    mistakes=(
        Mistake(
            "not-fitted",
            Words("w stays 0, as with train_v_iters = 0: there is no baseline, and TRPO learns slowly.",
                  "w 一直是 0，相当于 train_v_iters = 0：没有基线，TRPO 会学得很慢。"),
            lambda features, *_: torch.zeros(features.shape[1], dtype=features.dtype),
        ),
        Mistake(
            "one-step",
            Words("Only one step is taken, however many were asked for.", "不论要求多少步，都只走了一步。"),
            lambda features, reward, gamma, steps, rate: fit(features, reward, gamma, 1, rate),
        ),
        Mistake(
            "ascent",
            Words("w climbs the error: the step is against the gradient.", "w 在增大误差：应当沿梯度的反方向走。"),
            lambda *inputs: fit(*inputs, sign=1.0),
        ),
        Mistake(
            "reward-as-target",
            Words("V is fitted to the reward of its own step: its target is the reward-to-go.",
                  "V 拟合的是当步的奖励：目标应是此后的回报。"),
            lambda *inputs: fit(*inputs, discounted=False),
        ),
        Mistake(
            "moving-target",
            Words("The target r + γ V(s′) moves with w: the rewards-to-go were asked for, which stay.",
                  "目标 r + γ V(s′) 会随 w 变动：题目要的是此后的回报，它不变。"),
            lambda *inputs: fit(*inputs, bootstrapped=True),
        ),
        Mistake(
            "summed",
            Words("The errors are summed over t: with their mean the step does not depend on the episode's length.",
                  "误差对 t 求了和：取均值，步长才不随回合长度变化。"),
            lambda features, reward, gamma, steps, rate: fit(features, reward, gamma, steps, rate * len(reward)),
        ),
        Mistake(
            "halved",
            Words("The step is half of what it should be: the derivative of a square has a 2.",
                  "步长只有应有的一半：平方的导数里有个 2。"),
            lambda features, reward, gamma, steps, rate: fit(features, reward, gamma, steps, rate / 2),
        ),
    ),
)  # fmt: skip

EXERCISES = (GAE, TARGET, FIT)
