"""What an update is given, held to the sizes that compiled kernels read; they look at none themselves.

What is narrower than the network's input, or a choice that there is none of, would have them read and write elsewhere.
"""

import numpy as np
import torch
from torch import Tensor, nn

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.engines.cpu.kernels.tables import CATEGORICAL, Head
from clipper.engines.cpu.observation_rows import ObservationRows
from clipper.errors import ConfigError
from clipper.networks.heads import CategoricalHead, MultiCategoricalHead


def check_steps(rows: ObservationRows, head: Head, module: nn.Module, steps: Steps, *last_obs: Tree) -> None:
    """Raise ``ConfigError`` unless steps, and ``last_obs`` where it is given, are as a network's head has them."""
    n = shape_of(steps.mask)
    rows.check("obs", steps.obs, n)
    if last_obs:
        rows.check("last_obs", last_obs[0], n[1:])
    discrete = head.kind == CATEGORICAL
    x, shape = steps.action, (*n, head.sizes.size if discrete else head.outputs)
    numbers = torch.int64 if discrete else torch.float32
    fits = isinstance(x, Tensor) and x.shape[: len(shape) - 1] == shape[:-1] and x.numel() == int(np.prod(shape))
    if not fits or x.dtype != numbers:
        raise wrong("action", x, numbers, shape)
    for name in ("log_prob", "reward", "terminated", "done", "mask"):
        x, numbers = getattr(steps, name), torch.float32 if name in ("log_prob", "reward") else torch.bool
        if shape_of(x) != n or x.dtype != numbers:
            raise wrong(f"steps.{name}", x, numbers, n)
    mask = steps.action_mask
    if isinstance(module, CategoricalHead | MultiCategoricalHead) and not isinstance(mask, tuple):
        choices = (head.outputs,) if isinstance(module, CategoricalHead) else tuple(module.exists.shape)
        if shape_of(mask) != (*n, *choices) or mask.dtype != torch.bool:
            raise wrong("steps.action_mask", mask, torch.bool, (*n, *choices))
    if discrete and steps.action.numel():
        chosen = steps.action.reshape(-1, head.sizes.size).numpy()
        if (chosen < 0).any() or (chosen >= head.sizes).any():
            raise ConfigError(
                f"steps.action holds choices from {chosen.min()} to {chosen.max()}, but the policy has "
                f"{head.sizes.tolist()} of each part, counted from 0: give actions as they were sampled"
            )


def check_targets(targets: Targets) -> None:
    """Raise ``ConfigError`` unless there is a number of each kind for each row of the steps."""
    n = shape_of(targets.steps.mask)
    numbers = {name: getattr(targets, name) for name in ("advantage", "value_target", "value")}
    for name, x in (numbers | {f"raw[{i}]": x for i, x in enumerate(targets.raw)}).items():
        if shape_of(x) != n or x.dtype != torch.float32:
            raise wrong(f"targets.{name}", x, torch.float32, n)


def shape_of(x: object) -> tuple[int, ...]:
    """Of a tensor; of something else one that no tensor has."""
    return tuple(x.shape) if isinstance(x, Tensor) else (-1,)


def wrong(name: str, x: object, dtype: torch.dtype, shape: tuple[int, ...]) -> ConfigError:
    """The error that something is not what the engine's policy collects."""
    given = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
    return ConfigError(
        f"{name} is {given}, but this policy's update reads {dtype} of shape {shape}: give what its engine, or "
        "rollouts.collect, gave"
    )
