"""Exercises to the page on trust regions: the parts of TRPO."""

from collections.abc import Callable

import torch
from torch import Tensor

from clipper.exercises.exercise import Answer, Exercise, Measured, Mistake, Words, blank
from clipper.functional import linear

MATRIX = torch.tensor(
    [[4.0, 1.0, 0.0, 0.5], [1.0, 3.0, 0.5, 0.0], [0.0, 0.5, 2.0, 0.2], [0.5, 0.0, 0.2, 1.0]], dtype=torch.float64
)
VECTOR = torch.tensor([1.0, -2.0, 0.5, 1.5], dtype=torch.float64)
Product = Callable[[Tensor], Tensor]


def probe_cg(answer: Answer) -> Measured:
    """After one iteration, two, and four, when the answer is exact."""
    return {f"x ({k} iterations)": answer(lambda v: MATRIX @ v, VECTOR.clone(), k) for k in (1, 2, 4)}


def conjugate(
    product: Product,
    b: Tensor,
    iterations: int,
    beta: Callable[[Tensor, Tensor], Tensor] = lambda new, old: new / old,
    length: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda r, p, image: (r @ r) / (p @ image),
    sign: float = -1.0,
) -> Tensor:
    """Conjugate gradients, with the places where mistakes are made."""
    x, r, p = torch.zeros_like(b), b, b
    for _ in range(iterations):
        image = product(p)
        step = length(r, p, image)
        before = r @ r
        x, r = x + step * p, r + sign * step * image
        p = r + beta(r @ r, before) * p
    return x


CG = Exercise(
    name="conjugate-gradient",
    title=Words("Conjugate gradients", "共轭梯度"),
    task=Words(
        """
TRPO solves F x = g without ever writing F down. Write `conjugate_gradient(product, b, iterations)`: x after so many
iterations from x = 0 for A x = b, where `product(v)` gives A v and `b` is [P]. Checked after 1, 2 and P of them.
""",
        """
TRPO 求解 F x = g，却从不写出矩阵 F。请写出 `conjugate_gradient(product, b, iterations)`：从 x = 0 出发求解 A x = b，
返回迭代若干次之后的 x，其中 `product(v)` 给出 A v，`b` 的形状是 [P]。将在 1 次、2 次和 P 次迭代后检查。
""",
    ),
    start=blank("conjugate_gradient(product, b, iterations)"),
    probe=probe_cg,
    right=linear.conjugate_gradient,
    mistakes=(
        Mistake(
            "steepest-descent",
            Words("This is steepest descent: the new direction is the residual plus β times the old direction.",
                  "这是最速下降：新的方向应是残差加上 β 乘以旧方向。"),
            lambda *inputs: conjugate(*inputs, beta=lambda new, old: 0 * new),
        ),
        Mistake(
            "inverse-beta",
            Words("β is upside down: new |r|² over old |r|².", "β 颠倒了：应是新的 |r|² 除以旧的 |r|²。"),
            lambda *inputs: conjugate(*inputs, beta=lambda new, old: old / new),
        ),
        Mistake(
            "no-curvature",
            Words("The step is not divided by pᵀA p: its length is |r|² / pᵀA p.",
                  "步长没有除以 pᵀA p：应为 |r|² / pᵀA p。"),
            lambda *inputs: conjugate(*inputs, length=lambda r, p, image: r @ r),
        ),
        Mistake(
            "residual-grows",
            Words("The residual's sign is wrong: r ← r − α A p.", "残差的符号反了：r ← r − α A p。"),
            lambda *inputs: conjugate(*inputs, sign=1.0),
        ),
        Mistake(
            "fixed-iterations",
            Words("The number of iterations is not what was asked for: this is the exact solution each time.",
                  "迭代次数没有按要求：每次都给出了精确解。"),
            lambda product, b, iterations: conjugate(product, b, len(b)),
        ),
    ),
)  # fmt: skip


def probe_step(answer: Answer) -> Measured:
    """The step for two sizes of the region."""
    return {f"s (δ = {delta:g})": answer(VECTOR.clone(), MATRIX.clone(), delta) for delta in (0.01, 0.5)}


def exact_step(gradient: Tensor, fisher: Tensor, delta: float, scale: Callable[..., Tensor] | None = None) -> Tensor:
    """√(2δ / xᵀF x) x with x = F⁻¹g, or another length."""
    x = torch.linalg.solve(fisher, gradient)
    quadratic = x @ fisher @ x
    return (scale(x, quadratic) if scale else (2 * delta / quadratic).sqrt()) * x


STEP = Exercise(
    name="natural-step",
    title=Words("The natural step", "自然梯度的一步"),
    task=Words(
        """
Write `natural_step(gradient, fisher, delta)`: the step s that raises gᵀs most while the quadratic model of the KL,
½ sᵀF s, is δ. `gradient` is [P], `fisher` [P, P]. Give back [P].
""",
        """
请写出 `natural_step(gradient, fisher, delta)`：在 KL 的二次近似 ½ sᵀF s 等于 δ 的前提下，使 gᵀs 最大的一步 s。
`gradient` 的形状是 [P]，`fisher` 是 [P, P]。返回 [P]。
""",
    ),
    start=blank("natural_step(gradient, fisher, delta)"),
    probe=probe_step,
    right=exact_step,
    mistakes=(
        Mistake(
            "direction-only",
            Words("This is the direction F⁻¹g: its length has to be set by δ.", "这只是方向 F⁻¹g：长度还要由 δ 决定。"),
            lambda g, f, delta: exact_step(g, f, delta, lambda x, q: torch.ones_like(q)),
        ),
        Mistake(
            "no-root",
            Words("The square root is missing: ½ sᵀF s grows with the square of the length.",
                  "缺了开方：½ sᵀF s 与长度的平方成正比。"),
            lambda g, f, delta: exact_step(g, f, delta, lambda x, q: 2 * delta / q),
        ),
        Mistake(
            "no-two",
            Words("The 2 is missing: the quadratic model of the KL is ½ sᵀF s.",
                  "缺了因子 2：KL 的二次近似是 ½ sᵀF s。"),
            lambda g, f, delta: exact_step(g, f, delta, lambda x, q: (delta / q).sqrt()),
        ),
        Mistake(
            "plain-gradient",
            Words("This is the plain gradient at the right length: the direction is F⁻¹g.",
                  "长度合适，但这是普通梯度：方向应是 F⁻¹g。"),
            lambda g, f, delta: (2 * delta / (g @ f @ g)).sqrt() * g,
        ),
        Mistake(
            "euclidean",
            Words("The length is measured in parameters, |s|² = 2δ: measure it by F.",
                  "长度是在参数空间里量的，|s|² = 2δ：应当用 F 来量。"),
            lambda g, f, delta: exact_step(g, f, delta, lambda x, q: (2 * delta / (x @ x)).sqrt()),
        ),
        Mistake(
            "not-inverted",
            Words("This goes along F g: the direction is F⁻¹g.", "这是沿着 F g 走：方向应是 F⁻¹g。"),
            lambda g, f, delta: (2 * delta / ((f @ g) @ f @ (f @ g))).sqrt() * (f @ g),
        ),
    ),
)  # fmt: skip


def probe_search(answer: Answer) -> Measured:
    """Searches that end at once, for the surrogate's sake, for the KL's, and nowhere."""
    gain = {"at once": (lambda x: x, lambda x: 0.01 * x * x), "the surrogate": (lambda x: x - 1.6 * x * x, lambda x: 0),
            "the KL": (lambda x: x, lambda x: 0.1 * x * x), "nowhere": (lambda x: -x, lambda x: 0.01 * x * x),
            "barely better": (lambda x: 0.3 * x, lambda x: 0.0)}  # fmt: skip
    return {f"scale ({name})": answer(*of_scale, 0.02, 0.5, 6) for name, of_scale in gain.items()}


Search = Callable[[float], float]


def search(
    gain: Search, kl: Search, delta: float, shrink: float, tries: int,
    first: int = 0, improve: bool = True, near: bool = True, last: bool = False,
) -> float:  # fmt: skip
    """Backtracking, with the places where mistakes are made."""
    for j in range(first, tries):
        x = shrink**j
        if (gain(x) > 0 or not improve) and (kl(x) <= delta or not near):
            return x
    return shrink ** (tries - 1) if last else 0.0


SEARCH = Exercise(
    name="line-search",
    title=Words("The line search", "线搜索"),
    task=Words(
        """
Write `line_search(gain, kl, delta, shrink, tries)`: the first of the scales 1, β, β², … (β = `shrink`, `tries` of them)
at which the surrogate has improved, `gain(scale)` > 0, and the KL is within the region, `kl(scale)` ≤ δ. Give back the
scale; 0.0, no step at all, where none will do.
""",
        """
请写出 `line_search(gain, kl, delta, shrink, tries)`：在比例 1、β、β²、…（β = `shrink`，共 `tries` 个）中，
找出第一个既使替代目标有所提高（`gain(scale)` > 0）、又使 KL 不出信赖域（`kl(scale)` ≤ δ）的比例。
返回这个比例；若都不行，返回 0.0，即不走这一步。
""",
    ),
    start="def line_search(gain, kl, delta, shrink, tries):\n    raise NotImplementedError\n",
    probe=probe_search,
    right=lambda gain, kl, delta, shrink, tries: linear.backtracking(
        lambda x: gain(x) > 0 and kl(x) <= delta, shrink, tries
    ),
    mistakes=(
        Mistake(
            "last-try",
            Words("Where no scale will do, a step is taken all the same: give back 0.",
                  "没有一个比例合格时，仍走了一步：应返回 0。"),
            lambda *inputs: search(*inputs, last=True),
        ),
        Mistake(
            "no-improvement",
            Words("Only the KL is checked: the surrogate has to improve, too.", "只检查了 KL：替代目标也必须提高。"),
            lambda *inputs: search(*inputs, improve=False),
        ),
        Mistake(
            "no-region",
            Words("Only the surrogate is checked: the KL has to stay within δ, as the quadratic model may be wrong.",
                  "只检查了替代目标：KL 也不能超过 δ，因为二次近似未必准确。"),
            lambda *inputs: search(*inputs, near=False),
        ),
        Mistake(
            "starts-shrunk",
            Words("The first try is β: the full step, 1, comes first.", "第一次就用了 β：应先试整步，即 1。"),
            lambda gain, kl, delta, shrink, tries: search(gain, kl, delta, shrink, tries + 1, first=1),
        ),
    ),
)  # fmt: skip

EXERCISES = (CG, STEP, SEARCH)
