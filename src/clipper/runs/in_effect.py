"""Settings that change during a run, as they are now: step size, clip, σ."""

import torch

from clipper.learning.learner import Learner
from clipper.learning.schedules import Linear, at
from clipper.networks.heads.scales import LearnedLogStd, PlannedLogStd


def settings_now(algorithm: object, learner: Learner) -> dict[str, float]:
    """Those there are of ``setting/learning_rate``, ``setting/clip`` and ``setting/std``, by name."""
    given = {name: getattr(algorithm, name, None) for name in ("learning_rate", "clip")}
    now = {f"setting/{name}": at(x, learner.progress) for name, x in given.items() if isinstance(x, float | Linear)}
    scales = [x for x in learner.policy.modules() if isinstance(x, LearnedLogStd | PlannedLogStd)]
    stds = [x(torch.empty(0)).detach().exp().mean() for x in scales]
    return now | ({"setting/std": float(sum(stds) / len(stds))} if stds else {})
