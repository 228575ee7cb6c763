"""Natural-gradient steps without a matrix: products with the Fisher information, systems in it, step lengths."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def flat_gradient(
    y: Float[Tensor, ""], parameters: Sequence[Tensor], create_graph: bool = False
) -> Float[Tensor, " P"]:
    """∇y with respect to all parameters, as one vector; 0 where y does not depend on one."""
    gradients = torch.autograd.grad(
        y, parameters, create_graph=create_graph, retain_graph=create_graph, materialize_grads=True
    )
    return torch.cat([g.flatten() for g in gradients])


def fisher_vector_product(
    kl_gradient: Float[Tensor, " P"], parameters: Sequence[Tensor], v: Float[Tensor, " P"]
) -> Float[Tensor, " P"]:
    """F v = ∇(∇KL · v), a second backpropagation (Pearlmutter 1994, doi:10.1162/neco.1994.6.1.147).

    ``kl_gradient`` is ∇ of the mean KL(π_old ‖ π_θ) with its graph, taken at θ = θ_old. There the Hessian of the mean
    KL is the Fisher information of the policy (Schulman et al. 2015, arXiv:1502.05477, appendix C).
    """
    gradients = torch.autograd.grad(kl_gradient @ v, parameters, retain_graph=True, materialize_grads=True)
    return torch.cat([g.flatten() for g in gradients])


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], b: Float[Tensor, " P"], iterations: int, tolerance: float = 1e-10
) -> Float[Tensor, " P"]:
    """X ≈ A⁻¹b for a symmetric A ≥ 0 that is known by ``product(v)`` = A v (Hestenes & Stiefel 1952,
    doi:10.6028/jres.049.044).

    Exact after as many iterations as A has distinct eigenvalues, rounding aside; ends early where
    |b − A x|² ≤ ``tolerance`` |b|². Where A is singular and b in its range, x is the solution of least norm.
    """
    x, residual, direction = torch.zeros_like(b), b, b
    squared = b @ b
    enough = tolerance * squared
    for _ in range(iterations):
        if squared <= enough:
            break
        image = product(direction)
        length = squared / (direction @ image)
        x = x + length * direction
        residual = residual - length * image
        before, squared = squared, residual @ residual
        direction = residual + squared / before * direction
    return x


def natural_step(
    product: Callable[[Tensor], Tensor], gradient: Float[Tensor, " P"], delta: float, iterations: int
) -> Float[Tensor, " P"]:
    """√(2δ / xᵀHx) x with x = H⁻¹g: uphill as far as the KL's quadratic model ½ sᵀHs = δ allows.

    Schulman et al. 2015, arXiv:1502.05477, appendix C; the direction is that of Kakade 2001, "A natural policy
    gradient". 0 where the gradient is.
    """
    x = conjugate_gradient(product, gradient, iterations)
    curvature = (x @ product(x)).clamp(min=torch.finfo(x.dtype).tiny)
    return (2 * delta / curvature).sqrt() * x


def backtracking(accept: Callable[[float], bool], shrink: float, tries: int) -> float:
    """The first of 1, β, β², … (β = ``shrink``) that is accepted, among ``tries`` of them; 0 where none is.

    Armijo 1966, doi:10.2140/pjm.1966.16.1.
    """
    for j in range(tries):
        if accept(shrink**j):
            return shrink**j
    return 0.0
