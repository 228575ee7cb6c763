"""Conjugate gradients against a direct solver, products with the Fisher information against the matrix itself."""

import pytest
import torch
from batches import Kind, small_policy
from torch import Generator, Tensor
from torch.func import functional_call

from clipper.functional.linear import (
    backtracking,
    conjugate_gradient,
    fisher_vector_product,
    flat_gradient,
    natural_step,
)
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.policy_options import PolicyOptions


def positive_definite(size: int, seed: int) -> Tensor:
    root = torch.randn(size, size, generator=Generator().manual_seed(seed), dtype=torch.float64)
    return root @ root.T + 0.1 * torch.eye(size, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(5))
def test_conjugate_gradient_solves(seed: int) -> None:
    a = positive_definite(12, seed)
    b = torch.randn(12, generator=Generator().manual_seed(seed + 100), dtype=torch.float64)
    x = conjugate_gradient(a.mv, b, iterations=60, tolerance=1e-28)
    torch.testing.assert_close(x, torch.linalg.solve(a, b), rtol=1e-9, atol=1e-11)


def test_conjugate_gradient_needs_one_iteration_per_distinct_eigenvalue() -> None:
    basis = torch.linalg.qr(positive_definite(9, 1)).Q
    a = basis @ torch.diag(torch.tensor([1.0, 5.0, 20.0]).repeat(3).double()) @ basis.T
    b = torch.randn(9, generator=Generator().manual_seed(0), dtype=torch.float64)
    solution = torch.linalg.solve(a, b)
    assert (conjugate_gradient(a.mv, b, iterations=2) - solution).norm() > 1e-3 * solution.norm()
    assert (conjugate_gradient(a.mv, b, iterations=3) - solution).norm() < 1e-10 * solution.norm()


def test_conjugate_gradient_on_a_singular_matrix_gives_the_least_norm() -> None:
    a = positive_definite(8, 3)[:, :4]
    a = a @ a.T
    b = a @ torch.randn(8, generator=Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.linalg.pinv(a, rtol=1e-10) @ b
    torch.testing.assert_close(conjugate_gradient(a.mv, b, 30, 1e-26), expected, rtol=1e-6, atol=1e-8)


def test_no_gradient_no_step() -> None:
    a, zero = positive_definite(4, 0), torch.zeros(4, dtype=torch.float64)
    assert torch.equal(conjugate_gradient(a.mv, zero, 10), zero)
    assert torch.equal(natural_step(a.mv, zero, 0.01, 10), zero)


def test_the_natural_step_is_the_best_within_the_quadratic_model() -> None:
    """max gᵀs subject to ½ sᵀHs ≤ δ, by the closed form and against random steps of the same length."""
    h = positive_definite(6, 2)
    generator = Generator().manual_seed(0)
    g = torch.randn(6, generator=generator, dtype=torch.float64)
    step = natural_step(h.mv, g, 0.02, 40)
    assert (0.5 * step @ h @ step).item() == pytest.approx(0.02, rel=1e-9)
    assert (g @ step).item() == pytest.approx((2 * 0.02 * g @ torch.linalg.solve(h, g)).sqrt().item(), rel=1e-9)
    others = torch.randn(1000, 6, generator=generator, dtype=torch.float64)
    others *= (2 * 0.02 / ((others @ h) * others).sum(-1, keepdim=True)).sqrt()
    assert (others @ g).max() < g @ step


def vectors(policy: ActorCritic) -> tuple[list[Tensor], list[str]]:
    named = [(n, p) for n, p in policy.named_parameters() if n.startswith(("actor", "head"))]
    return [p for _, p in named], [n for n, _ in named]


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_products_are_those_of_the_fisher_information_and_of_the_hessian(kind: Kind) -> None:
    """F = E_s E_{a∼π} ∇log π ∇log πᵀ: exact for choices, and for a Gaussian from its closed form."""
    policy = small_policy(kind, PolicyOptions(hidden=(4,))).double()
    obs = torch.randn(7, 3, generator=Generator().manual_seed(1), dtype=torch.float64)
    parameters, names = vectors(policy)

    old = type(dist := policy.act(obs)[0])(*(p.detach() for p in dist.params))
    gradient = flat_gradient(old.kl(policy.act(obs)[0]).mean(), parameters, create_graph=True)
    assert gradient.norm() < 1e-12, "the KL has its minimum at θ_old"
    products = torch.stack(
        [fisher_vector_product(gradient, parameters, v) for v in torch.eye(len(gradient), dtype=torch.float64)]
    )

    fixed = {n: p.detach() for n, p in policy.named_parameters()}
    sizes = [p.numel() for p in parameters]

    def outputs(theta: Tensor) -> tuple[Tensor, ...]:
        moved = {n: x.view_as(p) for n, x, p in zip(names, theta.split(sizes), parameters, strict=True)}
        out = functional_call(policy, fixed | moved, (obs,))[0].params
        return tuple(x.expand(len(obs), -1) for x in out)

    theta = torch.cat([p.detach().flatten() for p in parameters])
    jacobians = torch.autograd.functional.jacobian(outputs, theta)
    if kind == "categorical":  # the Fisher information in the logits is diag(π) − ππᵀ
        p = old.params[0].softmax(-1)
        inner = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        fisher = torch.einsum("bip,bij,bjq->pq", jacobians[0], inner, jacobians[0]) / len(obs)
    else:  # 1/σ² in the mean, 2 in log σ
        precision = (-2 * old.params[1]).exp().expand(len(obs), -1)
        fisher = torch.einsum("bip,bi,biq->pq", jacobians[0], precision, jacobians[0]) / len(obs)
        fisher += 2 * torch.einsum("bip,biq->pq", jacobians[1], jacobians[1]) / len(obs)
    torch.testing.assert_close(products, fisher, rtol=1e-8, atol=1e-12)
    assert torch.linalg.matrix_rank(fisher, hermitian=True) > 3

    def mean_kl(theta: Tensor) -> Tensor:
        return old.kl(type(old)(*outputs(theta))).mean()

    hessian = torch.autograd.functional.hessian(mean_kl, theta)
    torch.testing.assert_close(products, hessian, rtol=1e-8, atol=1e-12)


def test_flat_gradient_is_0_where_nothing_depends() -> None:
    a, b = torch.tensor([2.0], requires_grad=True), torch.tensor([[3.0, 4.0]], requires_grad=True)
    assert flat_gradient((a**2).sum(), [a, b]).tolist() == [4.0, 0.0, 0.0]


def test_backtracking() -> None:
    seen: list[float] = []

    def at_most(bound: float, scale: float) -> bool:
        seen.append(scale)
        return scale <= bound

    assert backtracking(lambda s: at_most(0.3, s), 0.5, 10) == 0.25
    assert seen == [1.0, 0.5, 0.25]
    assert backtracking(lambda s: at_most(1.0, s), 0.5, 10) == 1.0
    assert backtracking(lambda s: at_most(0.1, s), 0.5, 3) == 0.0
