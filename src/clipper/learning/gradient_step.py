"""Steps down a loss, which are left out where they are not finite."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from clipper.data.steps import Targets
from clipper.functional.reduce import masked_mean
from clipper.learning.learner import Learner
from clipper.learning.minibatches import minibatches


def gradient_step(
    learner: Learner,
    loss: Float[Tensor, ""],
    learning_rate: float,
    max_norm: float,
    optimizer: torch.optim.Optimizer | None = None,
) -> Float[Tensor, ""]:
    """One step of Adam (or of ``optimizer``, which may own a part of the parameters) down a loss.

    The gradient is scaled down to ``max_norm`` where it is longer; returns the norm before. Where loss or norm is not
    finite, parameters and moments stay as they are, bit for bit, and the learner counts one more step as skipped.

    Pascanu et al. 2013, arXiv:1211.5063, algorithm 1; Kingma & Ba 2015, arXiv:1412.6980, algorithm 1.
    """
    gradient = learner.parameters.grad
    assert gradient is not None
    gradient.zero_()
    loss.backward()
    norm = torch.linalg.vector_norm(gradient)
    gradient.mul_((max_norm / (norm + 1e-6)).clamp(max=1))
    optimizer = optimizer or learner.optimizer
    optimizer.param_groups[0]["lr"] = learning_rate
    broken = loss.detach() + norm
    broken.sub_(broken).ne_(broken)  # x − x is 0, or else NaN, which differs from itself: now 1 where x is not finite
    learner.skipped.add_(broken)
    learner.skipped_in_a_row.mul_(broken).add_(broken)
    if getattr(optimizer, "_step_supports_amp_scaling", False) or hasattr(type(optimizer), "found_inf"):
        optimizer.found_inf = broken.float()  # pyright: ignore[reportAttributeAccessIssue] (torch's guard, on device)
        optimizer.step()
    elif not broken:
        optimizer.step()
    return norm


def finite_step(learner: Learner, loss: Float[Tensor, ""], step: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
    """A step that no optimizer takes, or 0 where it or its loss is not finite; the learner then counts one more."""
    broken = ~(loss.detach() + step.sum()).isfinite()
    learner.skipped.add_(broken)
    learner.skipped_in_a_row.add_(1).mul_(broken)
    return torch.where(broken, 0, step)


def fit_critic(
    learner: Learner,
    targets: Targets,
    value_loss: Callable[..., Tensor],
    epochs: int,
    count: int,
    learning_rate: float,
    max_norm: float,
) -> Float[Tensor, ""]:
    """Steps of the critic's own optimizer towards ``value_target``, ``count`` minibatches an epoch; the mean loss."""
    losses = []
    for batch in minibatches(targets, epochs, count, learner.generator):
        error = value_loss(learner.policy.value(batch.steps.obs, batch.steps.memory), batch.value_target, batch.value)
        losses.append(masked_mean(error, batch.steps.mask))
        gradient_step(learner, losses[-1], learning_rate, max_norm, learner.critic_optimizer)
    return torch.stack(losses).detach().mean()
