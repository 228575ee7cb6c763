"""What an update is given, held to the sizes that compiled kernels read; they look at none themselves.

What is narrower than the network's input, or a choice that there is none of, would have them read and write elsewhere.
"""

import numpy as np
import torch
from torch import Tensor

from clipper.data.history import Past
from clipper.data.steps import Steps, Targets
from clipper.data.tree_type import Key
from clipper.data.trees import Tree, leaves
from clipper.engines.cpu.action_table import ActionTable, at, none
from clipper.engines.cpu.kernels.tables import CATEGORICAL
from clipper.engines.cpu.observation_rows import ObservationRows
from clipper.errors import ConfigError
from clipper.networks.heads.binned import BinnedHead
from clipper.networks.memory import Memories
from clipper.spaces.observations import place


def check_steps(rows: ObservationRows, actions: ActionTable, steps: Steps, *last_obs: Tree) -> None:
    """Raise ``ConfigError`` unless steps, and ``last_obs`` where it is given, are as a policy's network has them."""
    n = shape_of(steps.mask)
    rows.check("obs", steps.obs, n)
    if last_obs:
        rows.check("last_obs", last_obs[0], n[1:])
    for leaf in actions.leaves:
        numbers = torch.int64 if leaf.box is None else torch.float32
        check_array(f"action{place(leaf.path)}", steps.action, leaf.path, numbers, (*n, *leaf.shape))
        if leaf.box is None and not none(steps.action_mask):
            numbers = torch.float32 if isinstance(leaf.head, BinnedHead) else torch.bool
            name, form = f"steps.action_mask{place(leaf.path)}", (*n, *leaf.forms)
            check_array(name, steps.action_mask, leaf.path, numbers, form, mask=True)
    for name in ("log_prob", "reward", "terminated", "done", "mask"):
        x, numbers = getattr(steps, name), torch.float32 if name in ("log_prob", "reward") else torch.bool
        if shape_of(x) != n or x.dtype != numbers:
            raise wrong(f"steps.{name}", x, numbers, n)
    if steps.log_probs:
        for name, x in zip(actions.names, leaves(steps.log_probs), strict=True):
            if shape_of(x) != n or x.dtype != torch.float32:
                raise wrong(f"steps.log_probs of {name}", x, torch.float32, n)
    if steps.mask.numel():
        check_choices(actions, steps)


def check_past(steps: Steps, memory: Memories) -> None:
    """Raise ``ConfigError`` unless steps say what a memory held before them, and where episodes begin."""
    past, (t, n) = steps.memory, shape_of(steps.mask)
    if not isinstance(past, Past) or not isinstance(past.rows, tuple):
        raise ConfigError(
            f"steps.memory is a {type(past).__name__}, but this policy's update reads a Past of all rows: give what "
            "rollouts.collect gave"
        )
    state = memory.forget((), np.zeros(n, bool))
    wanted = [(f"state[{k}]", x.dtype, (1, *x.shape)) for k, x in enumerate(state)]
    given = {"begins": past.begins, "burn_in": past.burn_in} | {f"state[{k}]": x for k, x in enumerate(past.state)}
    for name, numbers, shape in [("begins", torch.bool, (t, n)), ("burn_in", torch.int64, (1, n)), *wanted]:
        x = given.get(name)
        if not isinstance(x, Tensor) or x.shape != shape or x.dtype != numbers:
            raise wrong(f"steps.memory.{name}", x, numbers, shape)


def check_array(
    name: str, tree: Tree, path: tuple[Key, ...], numbers: torch.dtype, shape: tuple[int, ...], mask: bool = False
) -> None:  # fmt: skip
    """Raise unless a leaf of a tree is there and of these numbers; a mask of nothing is as good."""
    try:
        x = at(tree, path)
    except (LookupError, TypeError):
        raise ConfigError(f"{name} is missing, which the policy has") from None
    if mask and none(x):
        return
    lead = 2
    fits = isinstance(x, Tensor) and x.shape[:lead] == shape[:lead] and x.numel() == int(np.prod(shape))
    if not fits or x.dtype != numbers:
        raise wrong(name, x, numbers, shape)


def check_choices(actions: ActionTable, steps: Steps) -> None:
    """Raise ``ConfigError`` for choices that there are none of, where they count."""
    choice, _ = actions.rows_of(steps.action, steps.mask.numel())
    used = list[np.ndarray]()
    for kind, _, size, column, _, gate, branch, leaf, *_ in actions.parts:
        used.append(
            np.ones(len(choice), bool) if gate < 0 else used[gate] & (choice[:, actions.parts[gate, 3]] == branch)
        )
        chosen = choice[used[-1], column] if kind == CATEGORICAL else choice[:0]
        if ((chosen < 0) | (chosen >= size)).any():
            raise ConfigError(
                f"steps.action{place(actions.leaves[leaf].path)} holds choices from {chosen.min()} to {chosen.max()}, "
                f"but the policy has {size} of them, counted from 0: give actions as they were sampled"
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
