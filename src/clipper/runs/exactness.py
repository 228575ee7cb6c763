"""Whether a run that goes on is, bit for bit, the one that nobody interrupted, and if not, why."""

import dataclasses
from collections.abc import Iterator

import torch
from torch import nn

from clipper.learning.schedules import Annealed, Linear
from clipper.networks.heads.scales import PlannedLogStd
from clipper.rollout.protocol import Rollouts, abilities
from clipper.runs.labels import Settings, differences, settings_of
from clipper.settings.config import Config

NOT_LEARNED_FROM = (
    "total_steps", "until_solved", "eval_every", "eval_episodes", "checkpoint_every", "keep_checkpoints", "log_every",
    "patience", "save_replay",
)  # fmt: skip
"""Settings that change nothing of what is learned: when a run ends and what is written. (Schedules: ``followers``.)"""


def why_inexact(
    config: Config, found: Config, planned: Config, policy: nn.Module, rollouts: Rollouts, went_back: bool, kept: bool
) -> str:
    """What makes a run another one than the uninterrupted one, in words; "" where nothing does.

    ``found`` are the settings of ``config`` as a file has them, ``planned`` those that the run had.
    """
    now, before = (learned_from(settings_of(x)) for x in (found, planned))
    reasons = differences(now, before)
    if not reasons and {path: x.exact for path, x in now.items()} != {path: x.exact for path, x in before.items()}:
        reasons.append("other settings")
    steps = config.total_steps, planned.total_steps
    if steps[0] != steps[1] and (names := [*followers(config, policy)]):
        verb = "follow" if len(names) > 1 else "follows"
        reasons.append(f"total-steps {steps[0]} instead of {steps[1]}, which {' and '.join(names)} {verb}")
    if not went_back:
        reasons.append("its environments begin new episodes, for the checkpoint does not say where they stood")
    if not kept:
        reasons.append("its replay begins anew, for its rows were not kept (save_replay)")
    if unlike := abilities(rollouts).unlike:
        reasons.append(unlike)
    return "; ".join(reasons)


def learned_from(settings: Settings) -> Settings:
    """Those that what is learned depends on."""
    return {path: x for path, x in settings.items() if path not in NOT_LEARNED_FROM}


def followers(config: Config, policy: nn.Module) -> Iterator[str]:
    """What of a run changes with the fraction of ``total_steps`` that is done, and code of the user's own that may."""
    yield from schedules(config.algorithm, "algorithm")
    for name, module in policy.named_modules():
        if "progress" in dict(module.named_buffers(recurse=False)) and not stays(module):
            yield f"policy.{name}".rstrip(".")


def schedules(value: object, path: str) -> Iterator[str]:
    """Schedules within a value, by where they stand, and what somebody else has written."""
    if isinstance(value, Linear | Annealed):
        if value.start != value.end:
            yield path
    elif isinstance(value, tuple):
        for i, x in enumerate(value):
            yield from schedules(x, f"{path}[{i}]")
    elif value is not None and not isinstance(value, bool | int | float | str):
        if not type(value).__module__.startswith("clipper."):
            yield f"{path} (code of your own)"
        if dataclasses.is_dataclass(value):
            for f in dataclasses.fields(value):
                yield from schedules(getattr(value, f.name), f"{path}.{f.name}")


def stays(module: nn.Module) -> bool:
    """Is its σ the same at any time of a run?"""
    if not isinstance(module, PlannedLogStd):
        return False
    at = [module.plan(module.start, torch.tensor(p, dtype=torch.float64)) for p in (0.0, 0.5, 1.0)]
    return bool(at[0] == at[1] == at[2])
