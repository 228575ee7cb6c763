"""The natural-gradient step of NPG and TRPO, with products with the Fisher information by kernels."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipper.algorithms import NPG, TRPO
from clipper.engines.cpu.kernels import tables
from clipper.engines.cpu.kernels.tables import Loss, Rows
from clipper.engines.cpu.machine import Machine
from clipper.engines.cpu.passes import Shares
from clipper.functional.linear import backtracking, natural_step
from clipper.functional.objectives import LARGEST_LOG_RATIO
from clipper.learning.gradient_step import finite_step
from clipper.learning.schedules import at

RATIOS = {"policy/kl": 3, "policy/kl_k1": 5, "policy/kl_k2": 6, "policy/kl_k3": 7, "policy/ratio_clamped": 8}


class NaturalStep:
    """A step of the actor from where it is, over the rows of ``order``."""

    def __init__(self, engine: Machine, algorithm: NPG | TRPO, rows: Rows, loss: Loss, order: np.ndarray) -> None:
        self.engine, self.algorithm, self.rows, self.loss, self.order = engine, algorithm, rows, loss, order
        self.actor = engine.learner.actor.detach()
        mean, factor = engine.kernels.units(loss, rows, order, 0, len(order))
        ratios = loss._replace(objective=tables.UNCLIPPED, mean=mean, factor=factor)
        self.weigh = engine.kernels.weigh.bind(engine.actor_net, engine.head, ratios, rows, engine.works[0], order)
        self.direction = np.zeros_like(engine.gradient)
        own = zip(engine.works, engine.gradients, strict=True)
        self.products = [
            engine.kernels.fisher_product.bind(
                engine.actor_net, engine.head, rows, order, self.direction, work, gradient, 0, 0, 0.0
            )
            for work, gradient in own
        ]  # fmt: skip

    def take(self) -> dict[str, float]:
        """Take it, as far as the algorithm says; what is watched."""
        engine, algorithm, n = self.engine, self.algorithm, len(self.order)
        shares = Shares(engine, engine.actor_net, self.rows, self.loss, self.order)
        shares.add_up(0, n)
        before, entropy = shares.sums[0] / n, shares.sums[2] / n
        gradient = -torch.from_numpy(engine.gradient[: len(self.actor)].copy())
        delta = at(algorithm.delta, engine.learner.progress)
        step = natural_step(self.product, gradient, delta, algorithm.cg_iterations)
        step = finite_step(engine.learner, torch.tensor(before, dtype=torch.float32), step)
        told = {"loss/policy": before, "policy/entropy": entropy}
        told["loss/gradient_norm"] = float(torch.linalg.vector_norm(gradient))
        if isinstance(algorithm, TRPO):
            told["policy/step_scale"] = self.search(algorithm, step, before, delta)
        else:
            self.actor.add_(step)
        sums = self.sums()
        told |= {name: sums[k] for name, k in RATIOS.items()}
        return told | {"policy/ratio_max": min(sums[tables.RATIO] * n, float(np.exp(LARGEST_LOG_RATIO)))}

    def search(self, algorithm: TRPO, step: Tensor, before: float, delta: float) -> float:
        """Shorten the step until it improves the loss within the trust region; the part of it that is taken."""
        start, scale = self.actor.clone(), 0.0

        def accept(scale: float) -> bool:
            self.actor.copy_(start + scale * step)
            sums = self.sums()
            return bool(sums[0] < before and sums[3] <= delta)

        try:
            scale = backtracking(accept, algorithm.shrink, algorithm.tries)
        finally:  # no trial outlasts an error
            self.actor.copy_(start + scale * step)
        return scale

    def sums(self) -> Any:
        """Means of what is watched, with the actor as it is at the moment."""
        self.weigh()
        return self.engine.works[0].value.sums / len(self.order)

    def product(self, v: Tensor) -> Tensor:
        """(F + damping) v."""
        engine, rows, size = self.engine, len(self.order), len(v)
        self.direction[:size] = v.numpy()
        pieces = engine.pieces(rows)

        def work(k: int, piece: slice) -> None:
            engine.gradients[k].fill(0)
            self.products[k](piece.start, piece.stop, 1 / rows)

        engine.team.run(work, pieces)
        total = engine.gradients[0][:size].copy()
        for k in range(1, len(pieces)):
            total += engine.gradients[k][:size]
        return torch.from_numpy(total) + self.algorithm.damping * v
