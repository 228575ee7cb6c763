"""Numbers of responses compared with those of the same prompt: ``[N]``, and ``group`` ids that are equal for equal
prompts. Ids may be any whole numbers, in any order; groups may have unequal sizes.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def group_mean(x: Float[Tensor, " N"], group: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Each response's group's mean, (1/k) Σ_{j∈G(i)} xⱼ: GRPO's and Dr. GRPO's baseline (arXiv:2503.20783)."""
    prompts, index = group.unique(return_inverse=True)
    total = x.new_zeros(len(prompts)).index_add(0, index, x)
    return (total / torch.bincount(index, minlength=len(prompts)))[index]


def leave_one_out(x: Float[Tensor, " N"], group: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """xᵢ − (1/(k−1)) Σ_{j∈G(i), j≠i} xⱼ = k/(k−1) (xᵢ − mean) (RLOO: Ahmadian et al. 2024, arXiv:2402.14740).

    A baseline that does not depend on the response itself, so no bias. 0 for a lone response, which has no others.
    """
    size = counts(group)
    return (x - group_mean(x, group)) * size / (size - 1).clamp(min=1)


def group_standardise(
    x: Float[Tensor, " N"], group: Int[Tensor, " N"], correction: int = 1, eps: float = 1e-6
) -> Float[Tensor, " N"]:
    """(xᵢ − mean) / (std + ε) within the group (GRPO: Shao et al. 2024, arXiv:2402.03300, section 4.1.2).

    ``correction`` 1 divides the variance by k − 1 (torch), 0 by k (numpy). Where the group's spread is rounding noise,
    all of its responses are worth the same, and the result is 0.
    """
    mean = group_mean(x, group)
    size = counts(group)
    variance = group_mean((x - mean).square(), group) * size / (size - correction).clamp(min=1)
    std = variance.sqrt()
    noise = 1e-6 * mean.abs() + 1e-8
    return torch.where(std <= noise, torch.zeros_like(x), (x - mean) / (std + eps))


def counts(group: Int[Tensor, " N"]) -> Int[Tensor, " N"]:
    """Number k = Σ_{j∈G(i)} 1 of responses in each response's group."""
    _, index = group.unique(return_inverse=True)
    return torch.bincount(index)[index]


def pairs(group: Int[Tensor, " N"]) -> tuple[Int[Tensor, " P"], Int[Tensor, " P"]]:
    """All (i, j) with i < j that answer one prompt: one pair for two responses, k (k − 1) / 2 for k
    (Wu et al. 2023, arXiv:2310.00212, which has two).
    """
    same = (group[:, None] == group).triu(1)
    first, second = same.nonzero(as_tuple=True)
    return first, second
