"""A line on what runs and where, as it is shown before a run begins."""

import os

from rich.console import Console
from rich.text import Text
from torch import nn

from clipper.algorithms import quota_of
from clipper.environments.vector.serial import is_limited
from clipper.errors import visible
from clipper.networks.encoders import ImageEncoder
from clipper.ranks.gathered_rollouts import GatheredRollouts
from clipper.rollout.evaluation import MAX_STEPS
from clipper.rollout.protocol import abilities
from clipper.runs.run import Run
from clipper.settings.config import Config

MANY = 10_000_000  # weights for images, of which the header tells


class Header:
    """Prints once what runs and where."""

    def __init__(self, console: Console) -> None:
        self.console, self.printed = console, False

    def __call__(self, run: Run) -> None:
        if self.printed:
            return
        self.printed = True
        config = run.config
        size = run.learner.parameters.numel()
        since = f", since {visible(run.inexact)}" if run.inexact else ""  # older files do not say
        resumed = "" if run.exact else f", resumed (exact: false{since})"
        env = abilities(run.rollouts).env
        endless = env is not None and not is_limited(env)
        bound = f", no time limit: evaluation episodes end after {MAX_STEPS:,} steps" * endless
        several = "environments" if config.num_envs > 1 else "environment"
        columns, engine = f"{config.num_envs} {several} {run.stepping}", f"engine {run.engine.description}, "
        if config.language is not None:
            columns = f"{config.num_envs} responses at once, of at most {config.language.max_tokens} tokens"
            engine = ""
        device = "" if config.device == "cpu" else f"device {config.device}, "
        rest = (
            f": {columns}{in_segments(config)}, {size:,} parameters, {engine}{device}"
            f"{config.threads} thread{'s' if config.threads > 1 else ''}, seed {config.seed}"
            f"{resumed}{bound}"
        )
        name = type(config.algorithm).__name__
        self.console.print(Text.assemble((name, "bold"), " on ", (config.env, "bold"), rest), soft_wrap=True)
        if isinstance(run.rollouts, GatheredRollouts):
            self.console.print(of_ranks(run.rollouts), soft_wrap=True)
        if large := large_images(run.policy):
            self.console.print(large, soft_wrap=True)


def in_segments(config: Config) -> str:
    """Of how many steps a segment is, where a budget of whole segments is above the one that was asked for."""
    horizon = quota_of(config.algorithm).get("horizon")
    segment = 0 if horizon is None else horizon * config.num_envs
    if not segment or config.total_steps % segment == 0 or config.language is not None:
        return ""
    return f", {config.total_steps:,} steps in whole segments of {segment:,}"


def of_ranks(rollouts: GatheredRollouts) -> str:
    """A line that says what several processes send each other, and what their number changes."""
    same = "their number changes no bit of what is learned"
    own = "each draws its own actions, so that another number of ranks plays other games"
    size = rollouts.group.size
    if not rollouts.data:
        return (
            f"{size} ranks send gradients, each of its own decisions: what is learned is, up to rounding, what one "
            "process learns from the same decisions"
        )
    told = f"{size} ranks send what their environments did: {same if rollouts.as_one else own}"
    together = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    once = f"; the {together} on this machine repeat one update, which --vector workers does once" * (together > 1)
    return told + once


def large_images(policy: object) -> str:
    """A line where images take more than ``MANY`` weights, which are seldom worth it; otherwise ""."""
    encoders = [x for x in policy.modules() if isinstance(x, ImageEncoder)] if isinstance(policy, nn.Module) else []
    sizes = [sum(p.numel() for p in encoder.parameters()) for encoder in encoders]
    if sum(sizes) <= MANY:
        return ""
    _, height, width = encoders[sizes.index(max(sizes))].image
    return f"{sum(sizes):,} of these parameters read images of {height} × {width}: --image-size 84 84 makes them fewer"
