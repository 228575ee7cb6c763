"""Steps down a loss, which are left out where they are not finite."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from clipper.data.steps import Targets
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.parts import joint_norm
from clipper.learning.schedules import KLAdaptive, Rate, at


@runtime_checkable
class Loss(Protocol):
    """An algorithm's ``loss``."""

    def __call__(self, learner: Learner, batch: Targets) -> tuple[Float[Tensor, ""], Metrics]: ...


def accumulate(learner: Learner, loss: Float[Tensor, ""], part: str = "") -> None:
    """Add a loss's gradient to a part's, which begins at 0 after each step.

    So a batch that is too large for one pass is read piece by piece: where each piece's mean weighs as much as its
    decisions, |Dᵢ| / |D|, the sum is the gradient of the whole. Where there are several parts, only this one's moves.
    """
    own = learner.parts[part]
    if own.loss is None:
        if any(x.grad is not gradient or x.data_ptr() != place for x, gradient, place in own.views):
            own.attach()
        pending = any(x.loss is not None and x.vectors[0] is own.vectors[0] for x in learner.parts.values())
        assert not pending, "parts of one vector take their steps by turns: step the other one first"
        for gradient in own.gradients:
            gradient.zero_()
    loss.backward(inputs=None if len(learner.parts) == 1 else own.leaves)
    own.loss, own.summed = loss.detach() if own.loss is None else own.loss + loss.detach(), False


def backward(learner: Learner, loss: Float[Tensor, ""], metrics: Metrics, part: str = "") -> None:
    """The gradient of this loss alone; in several processes its sum over all of them, and that of ``metrics``, in
    place, by one message. ``step`` goes along the gradient, or nobody does.
    """
    own = learner.parts[part]
    own.loss = None
    accumulate(learner, loss, part)
    if learner.world.others is not None and own.loss is not None:
        _, own.loss, whole = learner.world.add_up((own.gradients, own.loss, metrics))
        metrics.update(whole)
        own.summed = True


def step(learner: Learner, learning_rate: float, max_norm: float, part: str = "") -> Float[Tensor, ""]:
    """One step of a part's optimizer along the gradient that its losses have added up, however many they were.

    The gradient is scaled down to ``max_norm`` where it is longer; returns the norm before. Where loss or norm is not
    finite, parameters and moments stay as they are, bit for bit, and the learner counts one more step as skipped.

    Pascanu et al. 2013, arXiv:1211.5063, algorithm 1; Kingma & Ba 2015, arXiv:1412.6980, algorithm 1.
    """
    own, optimizer = learner.parts[part], learner.parts[part].optimizer
    assert own.loss is not None, "there is no gradient to step along: accumulate a loss first"
    if learner.world.others is not None and not own.summed:
        _, own.loss, _ = learner.world.add_up((own.gradients, own.loss, {}))
    norm = torch.linalg.vector_norm(own.gradients[0]) if len(own.gradients) == 1 else joint_norm(own.gradients)
    scale = (max_norm / (norm + 1e-6)).clamp(max=1)
    for gradient in own.gradients:
        gradient.mul_(scale.to(gradient.device))
    optimizer.param_groups[0]["lr"] = learning_rate
    broken, own.loss = own.loss + norm, None
    broken.sub_(broken).ne_(broken)  # x − x is 0, or else NaN, which differs from itself: now 1 where x is not finite
    learner.skipped.add_(broken)
    own.skipped_in_a_row.mul_(broken).add_(broken)
    if getattr(optimizer, "_step_supports_amp_scaling", False) or hasattr(type(optimizer), "found_inf"):
        optimizer.found_inf = broken.float()  # pyright: ignore[reportAttributeAccessIssue] (torch's guard, on device)
        optimizer.step()
    elif not broken:
        optimizer.step()
    return norm


def gradient_step(
    learner: Learner, loss: Float[Tensor, ""], learning_rate: float, max_norm: float, part: str = ""
) -> Float[Tensor, ""]:
    """``accumulate`` and ``step`` in one, along the gradient of this loss alone; returns its norm."""
    learner.parts[part].loss = None
    accumulate(learner, loss, part)
    return step(learner, learning_rate, max_norm, part)


def single_step(learner: Learner, batch: Targets, loss_of: Loss, learning_rate: Rate, max_norm: float) -> Metrics:
    """One step down an algorithm's loss of a batch; what the loss watches, and the gradient's norm."""
    loss, metrics = loss_of(learner, batch)
    metrics["loss/gradient_norm"] = gradient_step(learner, loss, at(learning_rate, learner.progress), max_norm)
    return metrics


def finite_step(learner: Learner, loss: Float[Tensor, ""], step: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
    """A step that no optimizer takes, or 0 where it or its loss is not finite; the learner then counts one more."""
    broken = learner.world.agree(~(loss.detach() + step.sum()).isfinite())
    learner.skipped.add_(broken)
    learner.parts[""].skipped_in_a_row.add_(1).mul_(broken)
    return torch.where(broken, 0, step)


def step_size(learner: Learner, rate: Rate | KLAdaptive, kl: Float[Tensor, ""] | None) -> float:
    """The step size at this moment of the run; a ``KLAdaptive`` one follows the KL since the last step.

    Before an update's first step the ``kl`` is None: computed, it would be the rounding of log μ.
    """
    if not isinstance(rate, KLAdaptive):
        return at(rate, learner.progress)
    now = learner.extra.get("learning_rate", torch.tensor(rate.start, dtype=torch.float64))
    learner.extra["learning_rate"] = now if kl is None else rate(now, kl)
    return float(learner.extra["learning_rate"])
