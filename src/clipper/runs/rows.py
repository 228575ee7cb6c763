"""Rows of metrics: what iterations watched, of which a run makes its history."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real

import numpy as np
import torch

from clipper.data.values import shown
from clipper.errors import ConfigError
from clipper.learning.metrics import Metrics
from clipper.rollout.protocol import Episode, Rollouts

Row = dict[str, float | int | None]
OWN_METRICS = ("iteration", "steps", "episode", "eval", "time", "env")
"""With what names of metrics begin that are the run's own; the last is for what its rollouts note."""
OF_AGENTS = "episode/return/"
"""With what names of each agent's returns begin."""


@dataclass(slots=True)
class Waiting:
    """Iterations that no row of metrics covers yet."""

    rounds: list[Metrics] = field(default_factory=list)
    """What each of them watched."""
    episodes: list[Episode] = field(default_factory=list)
    """Those that finished in them."""
    began: float = 0.0
    """When the first of them did."""


def merged(rounds: list[Metrics]) -> Metrics:
    """What was watched in several iterations as one: means, but the least and largest of what is such."""
    found: Metrics = {}
    for name in dict.fromkeys(name for metrics in rounds for name in metrics):
        x = torch.stack([torch.as_tensor(metrics[name], dtype=torch.float32) for metrics in rounds if name in metrics])
        found[name] = x.amax() if name.endswith("_max") else x.amin() if name.endswith("_min") else x.mean()
    return found


def check_metrics(algorithm: object, metrics: object) -> None:
    """Raise ``ConfigError`` where an algorithm of the user's own tells something else than numbers by their names."""
    name = type(algorithm).__name__
    if not isinstance(metrics, dict):
        raise ConfigError(f"update of {name} must return a dict of numbers to watch, not {shown(metrics)}: return {{}}")
    for word, x in metrics.items():
        if not isinstance(word, str) or word.partition("/")[0] in OWN_METRICS:
            raise ConfigError(f"update of {name} calls a number {word!r}, which a run's own are called: rename it")
        if not is_number(x):
            raise ConfigError(f"update of {name} gives {word} as {shown(x)}, which is no single number")


def told_besides(rollouts: Rollouts, row: Mapping[str, object]) -> Row:
    """What rollouts note with a row; raises ``ConfigError`` where it is no number, or called as one of the row is."""
    found, kind = Row(), type(rollouts).__name__
    for word, x in rollouts.metrics.items():
        own = str(word).partition("/")[0] in OWN_METRICS[:5] and not str(word).startswith(OF_AGENTS)
        if word in row or own:
            raise ConfigError(f"the metrics of {kind} call a number {word!r}, which a run's own is called: rename it")
        if not is_number(x):
            raise ConfigError(f"the metrics of {kind} give {word} as {shown(x)}, which is no single number")
        found[word] = float(x)
    return found


def is_number(x: object) -> bool:
    """A number or truth value, numpy's too, or a tensor of one."""
    return isinstance(x, Real | np.bool_) or (isinstance(x, torch.Tensor) and x.ndim == 0)
