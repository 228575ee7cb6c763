"""Answers to the exercises on trust regions, as learners write them."""

import torch


class ConjugateGradient:
    def right(product, b, iterations):
        x = torch.zeros_like(b)
        r, p = b.clone(), b.clone()
        rr = torch.dot(r, r)
        for _ in range(iterations):
            z = product(p)
            alpha = rr / torch.dot(p, z)
            x += alpha * p
            r -= alpha * z
            new = torch.dot(r, r)
            p = r + new / rr * p
            rr = new
        return x

    def right_over_krylov_space(product, b, iterations):
        basis = [b]
        for _ in range(iterations - 1):
            basis.append(product(basis[-1]))
        k = torch.stack(basis, 1)
        images = torch.stack([product(v) for v in basis], 1)
        return k @ torch.linalg.solve(k.T @ images, k.T @ b)

    def steepest_descent(product, b, iterations):
        x = torch.zeros_like(b)
        for _ in range(iterations):
            r = b - product(x)
            x = x + (r @ r) / (r @ product(r)) * r
        return x

    def inverse_beta(product, b, iterations):
        x = torch.zeros_like(b)
        r, p = b.clone(), b.clone()
        for _ in range(iterations):
            z = product(p)
            alpha = r @ r / (p @ z)
            x, new = x + alpha * p, r - alpha * z
            p = new + (r @ r) / (new @ new) * p
            r = new
        return x

    def no_curvature(product, b, iterations):
        x = torch.zeros_like(b)
        r, p = b.clone(), b.clone()
        for _ in range(iterations):
            z = product(p)
            alpha = r @ r
            x, new = x + alpha * p, r - alpha * z
            p = new + (new @ new) / (r @ r) * p
            r = new
        return x

    def residual_grows(product, b, iterations):
        x = torch.zeros_like(b)
        r, p = b.clone(), b.clone()
        for _ in range(iterations):
            z = product(p)
            alpha = r @ r / (p @ z)
            x, new = x + alpha * p, r + alpha * z
            p = new + (new @ new) / (r @ r) * p
            r = new
        return x

    def fixed_iterations(product, b, iterations):
        matrix = torch.stack([product(v) for v in torch.eye(len(b), dtype=b.dtype)], 1)
        return torch.linalg.solve(matrix, b)


class NaturalStep:
    def right(gradient, fisher, delta):
        x = torch.linalg.inv(fisher) @ gradient
        return torch.sqrt(2 * delta / (gradient @ x)) * x

    def direction_only(gradient, fisher, delta):
        return torch.linalg.solve(fisher, gradient)

    def no_root(gradient, fisher, delta):
        x = torch.linalg.solve(fisher, gradient)
        return 2 * delta / (gradient @ x) * x

    def no_two(gradient, fisher, delta):
        x = torch.linalg.solve(fisher, gradient)
        return torch.sqrt(delta / (gradient @ x)) * x

    def plain_gradient(gradient, fisher, delta):
        return torch.sqrt(2 * delta / (gradient @ fisher @ gradient)) * gradient

    def euclidean(gradient, fisher, delta):
        x = torch.linalg.solve(fisher, gradient)
        return (2 * delta) ** 0.5 * x / x.norm()

    def not_inverted(gradient, fisher, delta):
        x = fisher @ gradient
        return torch.sqrt(2 * delta / (x @ fisher @ x)) * x


class LineSearch:
    def right(gain, kl, delta, shrink, tries):
        scale = 1.0
        for _ in range(tries):
            if gain(scale) > 0 and kl(scale) <= delta:
                return scale
            scale *= shrink
        return 0.0

    def last_try(gain, kl, delta, shrink, tries):
        scale = 1.0
        for _ in range(tries - 1):
            if gain(scale) > 0 and kl(scale) <= delta:
                break
            scale *= shrink
        return scale

    def no_improvement(gain, kl, delta, shrink, tries):
        return LineSearch.right(lambda _: 1, kl, delta, shrink, tries)

    def no_region(gain, kl, delta, shrink, tries):
        return LineSearch.right(gain, lambda _: 0, delta, shrink, tries)

    def starts_shrunk(gain, kl, delta, shrink, tries):
        scale = 1.0
        for _ in range(tries):
            scale *= shrink
            if gain(scale) > 0 and kl(scale) <= delta:
                return scale
        return 0.0
