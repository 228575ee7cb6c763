"""KL(π ‖ π_ref) of a frozen reference as a term of a loss: one number per sampled token, with a gradient.

A value can be right in expectation and its gradient wrong, and the reverse. Samples come from π; their distribution has
no gradient, so the term's own gradient is all that a loss gets of it. For one state, in expectation over a ~ π:

- k1 = log π − log π_ref: its value is KL(π ‖ π_ref), its gradient 0, since E[∇log π] = 0
- k2 = ½ (log π/π_ref)²: its value is no KL, its gradient ∇KL(π ‖ π_ref)
- k3: its value is KL(π ‖ π_ref), its gradient ∇KL(π_ref ‖ π), of the other direction

This holds for the numbers of a whole response too, log π(y|x) and log π_ref(y|x): only then is it the KL of responses.
Taken token by token, ∇ leaves out that an early token decides which states come later.
"""

from jaxtyping import Float
from torch import Tensor

from clipper.functional.objectives import LARGEST_LOG_RATIO, kl_estimates


def k3_of_reference(log_prob: Float[Tensor, "*batch"], reference: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """π_ref/π − log(π_ref/π) − 1, GRPO's term (Shao et al. 2024, arXiv:2402.03300, eq 4): ∇ is ∇KL(π_ref ‖ π)."""
    return kl_estimates(reference - log_prob)[2]


def k3_with_gradient_of_k2(
    log_prob: Float[Tensor, "*batch"], reference: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """The value of k3, the gradient of k2, (log π − log π_ref) ∇log π: in expectation KL(π ‖ π_ref) and its gradient,
    while samples come from π (Schulman 2020, "Approximating KL divergence"; Tang & Munos 2025, arXiv:2506.09477).
    """
    _, k2, k3 = kl_estimates(reference - log_prob)
    return k3.detach() + k2 - k2.detach()


def weighted_k3(
    log_prob: Float[Tensor, "*batch"], reference: Float[Tensor, "*batch"], log_ratio: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """ρ k3 with ρ = π/π_old: KL(π ‖ π_ref) and its gradient, also where π has moved from the π_old that sampled
    (DeepSeek-V3.2, 2025, arXiv:2512.02556, eq 7). ``log_ratio`` is log ρ, with its graph.
    """
    return log_ratio.clamp(max=LARGEST_LOG_RATIO).exp() * kl_estimates(reference - log_prob)[2]
