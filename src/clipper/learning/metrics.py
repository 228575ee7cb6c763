"""What is watched in an update, as one row of numbers."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clipper.data.steps import Targets
from clipper.functional.objectives import LARGEST_LOG_RATIO, kl_estimates
from clipper.learning.action_parts import Action
from clipper.learning.world import ALONE, World

Metrics = dict[str, Tensor]


@torch.no_grad()
def means(rows: dict[str, Tensor], mask: Bool[Tensor, "*batch"], world: World) -> Metrics:
    """The mean over decisions of each row."""
    return dict(zip(rows, world.mean(torch.stack(list(rows.values())), mask), strict=True))


@torch.no_grad()
def minibatch_metrics(rows: dict[str, Tensor], batch: Targets, world: World) -> Metrics:
    """Shares of the mean over decisions of each row, and mean and deviation of advantages in their own units."""
    mask, (advantage,) = batch.steps.mask, batch.raw or (batch.advantage,)
    *averages, mean = world.share(torch.stack([*rows.values(), advantage]), mask)
    if world.others is None:
        deviation = world.mean((advantage - mean).square(), mask).sqrt()
    else:
        mean, deviation = world.others.spread(advantage, mask)
    watched = dict(zip(rows, averages, strict=True))
    return watched | {"advantage/minibatch_mean": mean, "advantage/minibatch_std": deviation}


@torch.no_grad()
def clip_metrics(
    rows: dict[str, Tensor], batch: Targets, action: Action, low: float, high: float, world: World
) -> Metrics:
    """How a minibatch fared under bounds 1 − low and 1 + high of the ratio: the mean of each of the ``rows``; entropy,
    KL and the fraction of ratios outside, also of each part of a hybrid action; the KL's three estimates. As shares.
    """
    mask, (log_ratio, entropy, kl) = batch.steps.mask, action.whole
    change = log_ratio.clamp(max=LARGEST_LOG_RATIO).expm1()
    k1, k2, k3 = kl_estimates(log_ratio)
    told = rows | {
        "policy/entropy": entropy, "policy/kl": kl,
        "policy/clip_fraction": ((change < -low) | (change > high)).to(kl),
        "policy/kl_k1": k1, "policy/kl_k2": k2, "policy/kl_k3": k3,
        "policy/ratio_clamped": (log_ratio > LARGEST_LOG_RATIO).to(kl),
    }  # fmt: skip
    for name, part in action.parts.items():
        change_of_part = part.log_ratio.expm1()
        told[f"policy/entropy/{name}"], told[f"policy/kl/{name}"] = part.entropy, part.kl
        told[f"policy/clip_fraction/{name}"] = ((change_of_part < -low) | (change_of_part > high)).to(kl)
    change = change.masked_fill(~mask, -1)
    largest = change.amax() if change.numel() else change.new_tensor(-1.0)  # who shares a batch may have none of a part
    return minibatch_metrics(told, batch, world) | {"policy/ratio_max": 1 + largest}


@torch.no_grad()
def ratio_metrics(log_ratio: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"], world: World = ALONE) -> Metrics:
    """How far π has moved from the μ that acted: the KL's three estimates, the largest ratio, and the fraction of
    ratios that were bounded so as not to overflow. As shares.
    """
    clamped = (log_ratio > LARGEST_LOG_RATIO).to(log_ratio.dtype)
    k1, k2, k3, clamped = world.share(torch.stack([*kl_estimates(log_ratio), clamped]), mask)
    there = log_ratio.masked_fill(~mask, -torch.inf)
    largest = there.amax() if there.numel() else there.new_tensor(-torch.inf)
    largest = largest.clamp(max=LARGEST_LOG_RATIO).exp()
    estimates = {"policy/kl_k1": k1, "policy/kl_k2": k2, "policy/kl_k3": k3}
    return estimates | {"policy/ratio_max": largest, "policy/ratio_clamped": clamped}


def summarise(history: list[Metrics], targets: Targets, world: World = ALONE) -> Metrics:
    """What was watched in each gradient step → one number per update, and what is known of the whole batch.

    Where no step was taken, ``history`` has what was watched where the first one was given up. The mean over steps, but
    the largest of what ends in ``_max``, and the least and largest of what each minibatch reports. Advantages are
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
