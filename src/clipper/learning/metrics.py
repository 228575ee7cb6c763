"""What is watched in an update, as one row of numbers."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clipper.data.steps import Targets
from clipper.functional.objectives import LARGEST_LOG_RATIO, kl_estimates
from clipper.learning.world import ALONE, World

Metrics = dict[str, Tensor]


def summarise(history: list[Metrics], targets: Targets, world: World = ALONE) -> Metrics:
    """What was watched in each gradient step → one number per update, and what is known of the whole batch.

    Where no step was taken, ``history`` has what was watched where the first one was given up. The mean over steps, but
    the largest of what ends in ``_max``, and the least and largest of what is told of each minibatch. Advantages are
    described in their own units, before any standardising, by their population deviation.
    """
    mask = targets.steps.mask
    watched = {name: torch.stack([metrics[name] for metrics in history]).detach() for name in history[0]}
    summary: Metrics = {}
    for name, x in watched.items():
        if "/minibatch_" in name:
            summary |= {f"{name}_min": x.amin(), f"{name}_max": x.amax()}
        else:
            summary[name] = x.amax() if name.endswith("_max") else x.mean()
    (advantage,) = targets.raw or (targets.advantage,)
    std, mean = torch.std_mean(world.gather(advantage[mask]), correction=0)
    explained = world.explained_variance(targets.value, targets.value_target, mask)
    summary.setdefault("loss/gradient_norm", torch.zeros_like(mean))
    return summary | {"advantage/mean": mean, "advantage/std": std, "value/explained_variance": explained}


@torch.no_grad()
def ratio_metrics(log_ratio: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"], world: World = ALONE) -> Metrics:
    """How far π has moved from the μ that acted: the KL's three estimates, the largest ratio, and the fraction of
    ratios that were bounded so as not to overflow.
    """
    clamped = (log_ratio > LARGEST_LOG_RATIO).to(log_ratio.dtype)
    k1, k2, k3, clamped = world.mean(torch.stack([*kl_estimates(log_ratio), clamped]), mask)
    largest = world.largest(log_ratio.masked_fill(~mask, -torch.inf).amax()).clamp(max=LARGEST_LOG_RATIO).exp()
    estimates = {"policy/kl_k1": k1, "policy/kl_k2": k2, "policy/kl_k3": k3}
    return estimates | {"policy/ratio_max": largest, "policy/ratio_clamped": clamped}
