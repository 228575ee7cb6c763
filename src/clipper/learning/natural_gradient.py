"""The natural-gradient step that NPG takes and TRPO searches along."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from clipper.data.steps import Targets
from clipper.data.trees import each
from clipper.functional.linear import fisher_vector_product, flat_gradient, natural_step
from clipper.learning.gradient_step import Loss, finite_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics, ratio_metrics


class NaturalStep(NamedTuple):
    """A step of the actor that has not been taken."""

    step: Float[Tensor, " P"]
    """√(2δ / xᵀFx) x with x = F⁻¹g; 0 where it or the loss is not finite."""
    loss: Float[Tensor, ""]
    """Before the step."""
    mean_kl: Callable[[], Float[Tensor, ""]]
    """Mean KL(π_old ‖ π), π the actor as it is at the moment."""
    metrics: Metrics
    """What the loss watches, and |g|."""


def natural_gradient(
    learner: Learner, batch: Targets, loss_of: Loss, delta: float, iterations: int, damping: float
) -> NaturalStep:
    """The step along F⁻¹g, g = −∇loss, whose quadratic model ½ sᵀFs of the KL is δ (arXiv:1502.05477, appendix C).

    F is the Fisher information of the actor as it is now, plus ``damping`` on its diagonal.
    """
    policy, steps, world = learner.policy, batch.steps, learner.world
    parameters = [p for p in policy.actor_parameters() if p.requires_grad]
    dist, _ = policy.act(steps.obs, steps.memory, steps.action_mask)
    old = type(dist)(*each(torch.detach, dist.params))

    def mean_kl() -> Float[Tensor, ""]:
        new, _ = policy.act(steps.obs, steps.memory, steps.action_mask)
        return world.mean(old.kl(new), steps.mask)

    loss, metrics = loss_of(learner, batch)
    gradient = -world.sum(flat_gradient(loss, parameters))
    kl_gradient = flat_gradient(mean_kl(), parameters, create_graph=True)

    def product(v: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
        return world.sum(fisher_vector_product(kl_gradient, parameters, v)) + damping * v

    step = finite_step(learner, loss, natural_step(product, gradient, delta, iterations))
    return NaturalStep(step, loss, mean_kl, metrics | {"loss/gradient_norm": torch.linalg.vector_norm(gradient)})


@torch.no_grad()
def step_metrics(learner: Learner, batch: Targets, natural: NaturalStep) -> Metrics:
    """What is watched of a step that has been taken: its KL, and how far ratios have moved."""
    steps = batch.steps
    kl = natural.mean_kl()
    dist, _ = learner.policy.act(steps.obs, steps.memory, steps.action_mask)
    ratios = ratio_metrics(dist.log_prob(steps.action) - steps.log_prob, steps.mask, learner.world)
    return natural.metrics | {"policy/kl": kl} | learner.world.whole(ratios)
