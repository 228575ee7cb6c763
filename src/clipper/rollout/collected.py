"""What rollouts of a user's own gave, held to what a learner reads: an error names their class and the field.

``VectorRollouts`` look at each row as it comes, so nothing of this is asked of them.
"""

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from clipper.data.steps import Steps
from clipper.data.trees import Tree, each, leaves, names, same_form
from clipper.data.values import shown
from clipper.errors import ConfigError, NonFiniteError
from clipper.rollout.protocol import Rollouts

NUMBERS = ("log_prob", "reward")
FLAGS = ("terminated", "done", "mask")


def check_collected(
    rollouts: Rollouts, before: int, answer: object, dtype: torch.dtype = torch.float32
) -> tuple[Steps, Tree]:
    """The steps and ``last_obs`` that ``collect`` answered, where ``before`` were the decisions until then.

    Numpy's arrays become tensors, and numbers of other types float32 or ``dtype``, the policy's own, so that these do
    not decide which engine can learn from them. Raises ``ConfigError``, or ``NonFiniteError``.
    """
    kind = type(rollouts).__name__
    if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[0], Steps):
        alone = "Steps alone" if isinstance(answer, Steps) else shown(answer)
        raise ConfigError(f"collect of {kind} gave {alone}: return (Steps, last_obs)")
    steps, last_obs = (each(lambda x: as_tensor(x, dtype), part) for part in answer)
    if isinstance(steps.reward, Tensor) and not steps.reward.is_floating_point():
        steps = steps._replace(reward=steps.reward.to(dtype))
    check_shapes(kind, rollouts, steps, last_obs)
    check_spaces(kind, rollouts, steps)
    if (steps.terminated & ~steps.done & steps.mask).any():
        raise ConfigError(
            f"steps.terminated of {kind} is true where steps.done is not: an episode that terminates is done, set both"
        )
    check_numbers(kind, steps, last_obs)
    decisions = int(steps.mask.sum())
    if decisions and not rollouts.steps > before:
        raise ConfigError(
            f"collect of {kind} gave {decisions} decisions, but its steps stayed at {rollouts.steps}: add to steps "
            "what is collected, or a run would never end"
        )
    for episode in rollouts.episodes:
        if not all(hasattr(episode, name) for name in ("env", "total", "length")):
            raise ConfigError(
                f"episodes of {kind} hold {shown(episode)}: give clipper.rollout.protocol.Episode(env, total, length)"
            )
    return steps, last_obs


def as_tensor(x: Tree, dtype: torch.dtype) -> Tree:
    """An array as a tensor without a gradient, of float32 or ``dtype`` where it has fractions; all else as it is."""
    if isinstance(x, np.ndarray) and x.dtype.kind in "biuf":
        x = torch.tensor(x)
    if not isinstance(x, Tensor):
        return x
    other = x.is_floating_point() and x.dtype not in (torch.float32, dtype)
    return x.detach().to(dtype) if other else x.detach()


def check_shapes(kind: str, rollouts: Rollouts, steps: Steps, last_obs: Tree) -> None:
    """Raise unless every field leads with ``[T, N]``, and ``last_obs`` with ``[N]``; numbers and flags are such."""
    n = rollouts.num_envs
    for name, x in named(steps):
        if not isinstance(x, Tensor):
            raise ConfigError(f"{name} of {kind} is {shown(x)}: give a tensor that leads with [T, N]")
    rows = tuple(steps.reward.shape)
    if len(rows) == 2 and rows[0] == n != rows[1]:
        raise ConfigError(f"steps.reward of {kind} is {list(rows)}, with {n} environments: give [T, N], not [N, T]")
    if len(rows) != 2 or rows[1] != n:
        raise ConfigError(
            f"steps.reward of {kind} is of shape {list(rows)}, but its num_envs is {n}: give [T, N], a column for each"
        )
    if rows[0] == 0:
        raise ConfigError(f"collect of {kind} gave no row: collect one at least, or end the run in a callback")
    for name in NUMBERS + FLAGS:
        x, wanted = getattr(steps, name), "bool" if name in FLAGS else "a floating-point type"
        if x.shape != rows or (x.dtype != torch.bool if name in FLAGS else not x.is_floating_point()):
            raise ConfigError(
                f"steps.{name} of {kind} is {x.dtype} of shape {list(x.shape)}: give {wanted} of shape {list(rows)}"
            )
    for name, x in named(steps._replace(memory=())):
        if x.shape[:2] != rows:
            raise ConfigError(
                f"{name} of {kind} is of shape {list(x.shape)}, and steps.reward of {list(rows)}: both lead with [T, N]"
            )
    if not same_form(last_obs, steps.obs):
        raise ConfigError(f"last_obs of {kind} is {shown(last_obs)}: give the observations after the last row, [N, …]")
    for (name, x), seen in zip(named(last_obs, "last_obs"), leaves(steps.obs), strict=True):
        if not isinstance(x, Tensor) or x.shape != seen.shape[1:] or x.dtype != seen.dtype:
            given = f"{x.dtype} of shape {list(x.shape)}" if isinstance(x, Tensor) else shown(x)
            raise ConfigError(f"{name} of {kind} is {given}: give {seen.dtype} of shape {list(seen.shape[1:])}")


def check_spaces(kind: str, rollouts: Rollouts, steps: Steps) -> None:
    """Raise where observations or actions that are one array are not of the spaces that the policy is made for."""
    space, action = rollouts.single_observation_space, steps.action
    if isinstance(space, Box) and isinstance(steps.obs, Tensor) and steps.obs.shape[2:] != space.shape:
        raise ConfigError(
            f"steps.obs of {kind} is of shape {list(steps.obs.shape)}, but its single_observation_space is {space}: "
            f"give [T, N, {', '.join(map(str, space.shape))}], or fix the space"
        )
    discrete = isinstance(rollouts.single_action_space, Discrete) and isinstance(action, Tensor)
    if discrete and (action.shape != steps.reward.shape or action.dtype != torch.int64):
        raise ConfigError(
            f"steps.action of {kind} is {action.dtype} of shape {list(action.shape)}: give actions as they were "
            f"sampled, torch.int64 of shape {list(steps.reward.shape)}"
        )


def check_numbers(kind: str, steps: Steps, last_obs: Tree) -> None:
    """Raise ``NonFiniteError`` for NaN and infinity where a learner reads them."""
    read = steps.mask.clone()
    read[1:] |= (steps.done & ~steps.terminated & steps.mask)[:-1]  # an episode's last observation
    after = ~(steps.terminated & steps.mask)[-1]
    looked_at = [("steps.reward", steps.reward, steps.mask), ("steps.log_prob", steps.log_prob, steps.mask)]
    looked_at += [(name, x, read) for name, x in named(steps.obs, "steps.obs")]
    looked_at += [(name, x, after) for name, x in named(last_obs, "last_obs")]
    for name, x, where in looked_at:
        if not x.is_floating_point() or x[where].isfinite().all():
            continue
        wrong = where & ~x.flatten(where.ndim).isfinite().all(-1) if x.ndim > where.ndim else where & ~x.isfinite()
        *row, column = wrong.nonzero()[0].tolist()
        place = f"row {row[0]} of environment {column}" if row else f"environment {column}"
        raise NonFiniteError(f"{name} of {kind} is not finite in {place}: fix its source")


def named(tree: Tree, name: str = "steps") -> list[tuple[str, Tree]]:
    """A tree's leaves, each with what it is called."""
    pairs = zip(names(tree), leaves(tree), strict=True)
    return [(f"{name}.{own.lstrip('.')}" if own else name, x) for own, x in pairs]
