"""The decoupled objective: what bounds a step is one policy, what corrects for who acted another.

Hilton, Cobbe & Schulman 2022, arXiv:2110.00641, section 3: π_prox/μ · min(r Â, clip(r, 1 ± ε) Â) with r = π/π_prox.
"""

import torch

from clipper.data.steps import Targets
from clipper.distributions import Composite
from clipper.functional.importance import truncated_weight
from clipper.networks.protocol import Actor


@torch.no_grad()
def decoupled(proximal: Actor, targets: Targets, most: float) -> Targets:
    """The targets, whose ratios are to π_prox from here on, with min(c, π_prox/μ) as their weights.

    All that reads ``steps.log_prob``, ratios, clip fractions and the KL, is then about π_prox.
    """
    steps = targets.steps
    dist, _ = proximal.act(steps.obs, steps.memory, steps.action_mask)
    log_prob = dist.log_prob(steps.action)
    parts = dist.log_probs(steps.action) if isinstance(dist, Composite) and steps.log_probs else ()
    weight = truncated_weight(log_prob - steps.log_prob, most)
    return targets._replace(steps=steps._replace(log_prob=log_prob, log_probs=parts), weight=weight)
