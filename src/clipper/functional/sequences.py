"""Numbers of whole responses from a flat batch of tokens ``[M]``, and how losses of tokens are reduced to one number.

``column`` ``[M]`` says which of N responses each token belongs to. A reduction is Σₘ ℓₘ / Dₘ; the functions here give
the denominators Dₘ, whole numbers, so that they are exact in any dtype. Counts are those of the whole minibatch (of all
processes): a mean per micro-batch, or over a padded width, is another loss.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def column_sum(x: Float[Tensor, " M"], column: Int[Tensor, " M"], columns: int) -> Float[Tensor, " N"]:
    """Σₜ xₜ of each response: of log π(aₜ|sₜ) it is log π(y|x), the chain rule."""
    return x.new_zeros(columns).index_add(0, column, x)


def column_mean(x: Float[Tensor, " M"], column: Int[Tensor, " M"], columns: int) -> Float[Tensor, " N"]:
    """(1/L) Σₜ xₜ of each response; 0 for one without tokens."""
    return column_sum(x, column, columns) / lengths(column, columns).clamp(min=1)


def lengths(column: Int[Tensor, " M"], columns: int) -> Int[Tensor, " N"]:
    """L = Σₜ 1, the number of tokens of each response."""
    return torch.bincount(column, minlength=columns)


def sequence_log_ratio(log_ratio: Float[Tensor, " M"], column: Int[Tensor, " M"], columns: int) -> Float[Tensor, " M"]:
    """Log sᵢ = (1/L) Σₜ log ρₜ of its response, in each token (GSPO: Zheng et al. 2025, arXiv:2507.18071, eq 7).

    Its gradient at a token is ∇log π(aₜ|sₜ) alone, so that a mean over tokens has ∇log sᵢ = (1/L) Σₜ ∇log π(aₜ|sₜ).
    """
    mean = column_mean(log_ratio.detach(), column, columns)[column]
    return mean + log_ratio - log_ratio.detach()


def token_mean(column: Int[Tensor, " M"], tokens: int | Int[Tensor, ""]) -> Int[Tensor, " M"]:
    """D = Σᵢ Lᵢ: every token weighs the same (DAPO: Yu et al. 2025, arXiv:2503.14476, eq 8).

    On policy its gradient has ∇J's direction, but is shorter by the mean length.
    """
    return torch.ones_like(column) * tokens


def sequence_mean(column: Int[Tensor, " M"], columns: int, sequences: int | Int[Tensor, ""]) -> Int[Tensor, " M"]:
    """D = N Lᵢ: every response weighs the same, so a token weighs less in a longer one (GRPO, arXiv:2402.03300, eq 3).

    This is another direction than ∇J's wherever lengths differ.
    """
    return lengths(column, columns)[column] * sequences


def constant(column: Int[Tensor, " M"], sequences: int | Int[Tensor, ""], longest: int) -> Int[Tensor, " M"]:
    """D = N L_max with a fixed number L_max, the longest that a response may be (Dr. GRPO, arXiv:2503.20783).

    ∇J divided by L_max.
    """
    return torch.ones_like(column) * sequences * longest


def sequence_sum(column: Int[Tensor, " M"], sequences: int | Int[Tensor, ""]) -> Int[Tensor, " M"]:
    """D = N: the mean over responses of sums over tokens, which REINFORCE's derivation has (Williams 1992,
    doi:10.1007/BF00992696) and RLOO (arXiv:2402.14740). With −log π Â its gradient is −∇J.
    """
    return torch.ones_like(column) * sequences


def overlong_penalty(length: Int[Tensor, " N"], longest: int, margin: int) -> Float[Tensor, " N"]:
    """0 up to L_max − C, ((L_max − C) − L) / C up to L_max, −1 beyond (DAPO, arXiv:2503.14476, eq 13).

    L_max is ``longest`` and C > 0 the ``margin``, in tokens.
    """
    return ((longest - margin - length) / margin).clamp(-1, 0).where(length <= longest, -1.0)


def adapt_kl(
    beta: Float[Tensor, ""], kl: Float[Tensor, ""], target: float, horizon: float, responses: int
) -> Float[Tensor, ""]:
    """β ← β (1 + e n / h), e = clip(KL / target − 1, −0.2, 0.2) (Ziegler et al. 2019, arXiv:1909.08593, section 2.2).

    KL is per response, in nats; n are the responses since the last time, h the ``horizon``.
    """
    return beta * (1 + (kl / target - 1).clamp(-0.2, 0.2) * responses / horizon)
