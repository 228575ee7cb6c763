"""The layout of a batch of actions, whose space may be a tree.

A vector environment takes ``[N, …]`` arrays at the leaves: of a Dict a dict of them, of a Tuple a tuple, and of a
``OneOf`` the pair ``(choice [N], (arguments of branch 0, of branch 1, …))``, each of which leads with N; arguments of
branches that were not chosen mean nothing. Apart from ``clipper.networks.heads.make_head``, since worker processes need
not load torch.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import singledispatch

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Tuple
from gymnasium.vector.utils import batch_space

from clipper.data.tree_type import Tree
from clipper.data.values import shown
from clipper.errors import SpaceMismatchError
from clipper.spaces.observations import numbers_of
from clipper.spaces.ordered_dict import ordered_dict


@singledispatch
def element(space: Space, actions: Tree, i: int) -> Tree:
    """The action of environment i, as its own ``step`` takes it, from a batch of them."""
    return actions[i]


@element.register(Box)
@element.register(MultiDiscrete)
def _(space: Box | MultiDiscrete, actions: np.ndarray, i: int) -> np.ndarray:
    return actions[i, ...]  # an array, of no dimension too


@element.register
def _(space: Dict, actions: dict[str, Tree], i: int) -> dict[str, Tree]:
    return {key: element(part, actions[key], i) for key, part in space.items()}


@element.register
def _(space: Tuple, actions: tuple[Tree, ...], i: int) -> tuple[Tree, ...]:
    return tuple(element(part, action, i) for part, action in zip(space, actions, strict=True))


@element.register
def _(space: OneOf, actions: tuple[Tree, tuple[Tree, ...]], i: int) -> tuple[Tree, Tree]:
    choice, arguments = actions
    k = choice[i]
    return k, element(space.spaces[k], arguments[k], i)


@singledispatch
def in_batch(space: Space, action: Tree) -> Tree:
    """The inverse of ``element``: a batch of one action. Arguments of branches that were not chosen are ``idle``."""
    return np.asarray(action)[None]


@in_batch.register
def _(space: Dict, action: Mapping[str, Tree]) -> dict[str, Tree]:
    return {key: in_batch(part, action[key]) for key, part in space.items()}


@in_batch.register
def _(space: Tuple, action: Sequence[Tree]) -> tuple[Tree, ...]:
    return tuple(in_batch(part, own) for part, own in zip(space, action, strict=True))


@in_batch.register
def _(space: OneOf, action: tuple[Tree, Tree]) -> tuple[Tree, tuple[Tree, ...]]:
    k, argument = action
    return np.asarray([k]), tuple(
        in_batch(branch, argument if i == k else idle(branch)) for i, branch in enumerate(space.spaces)
    )


def is_single(space: Space, action: Tree) -> bool:
    """Is it one action of the space, not a batch? Its first part tells by its dimensions."""
    if isinstance(space, Dict | Tuple):
        key, part = next(iter(space.items() if isinstance(space, Dict) else enumerate(space)))
        return is_single(part, action[key])
    return np.ndim(action[0]) == 0 if isinstance(space, OneOf) else np.ndim(action) == len(space.shape or ())


def action_batch(space: Space, action: Tree) -> tuple[Tree, bool, int]:
    """Action(s) from outside as a batch of arrays, whether it is a single one, and how many there are.

    Raises ``SpaceMismatchError`` where they are none of the space: other parts, no numbers, numbers that are not
    finite, other choices. Numbers beyond a Box's bounds are let through, and so is what stands where it means nothing.
    """
    try:
        single = is_single(space, action)
        rows = in_batch(space, action) if single else action
        found, counts = arrays_of(space, rows, "the action")
    except SpaceMismatchError:
        raise
    except Exception as error:
        raise SpaceMismatchError(f"{shown(action)} is no action of {space}, nor a batch of them") from error
    if min(counts) != max(counts):
        raise SpaceMismatchError(f"the action's parts are batches of {min(counts)} and of {max(counts)}")
    return found, single, counts[0]


def arrays_of(space: Space, rows: Tree, what: str, read: np.ndarray | None = None) -> tuple[Tree, list[int]]:
    """A batch of actions as arrays, and how many each of its leaves holds; only the rows ``read`` are looked at."""
    if isinstance(space, Dict | Tuple):
        parts = dict(space.items()) if isinstance(space, Dict) else dict(enumerate(space))
        if len(rows) != len(parts):
            raise SpaceMismatchError(f"{what} has {len(rows)} parts, and {space} has {len(parts)}")
        found = {key: arrays_of(part, rows[key], f"{what}[{key!r}]", read) for key, part in parts.items()}
        arrays = {key: own for key, (own, _) in found.items()}
        tree = arrays if isinstance(space, Dict) else tuple(arrays.values())
        return tree, [count for _, counts in found.values() for count in counts]
    if isinstance(space, OneOf):
        choice, given = rows
        chosen, counts = arrays_of(Discrete(len(space.spaces)), choice, f"{what}'s choice", read)
        arguments = list[Tree]()
        for k, (branch, own) in enumerate(zip(space.spaces, given, strict=True)):
            argument, more = arrays_of(branch, own, f"{what}'s arguments {k}", chosen == k)
            arguments.append(argument)
            counts += more
        return (chosen, tuple(arguments)), counts
    x = numbers_of(rows, what)
    if x.shape[1:] != space.shape:
        raise SpaceMismatchError(f"{what} has shape {x.shape}, and a batch of {space} has (…, {space.shape})")
    seen = x if read is None else x[read]
    if not np.isfinite(seen).all():
        raise SpaceMismatchError(f"{what} is {shown(rows)}, which is not finite")
    if isinstance(space, Box):
        return x, [len(x)]
    low = np.asarray(getattr(space, "start", 0))
    count = 2 if isinstance(space, MultiBinary) else np.asarray(getattr(space, "nvec", getattr(space, "n", 2)))
    if not ((seen == np.rint(seen)) & (low <= seen) & (seen < low + count)).all():
        raise SpaceMismatchError(f"{what} is {shown(rows)}, of which {space} has not all")
    return np.nan_to_num(x).astype(np.int64), [len(x)]


def per_leaf(space: Space, leaf: Callable[[Space], Tree], choice: Callable[[OneOf], Tree]) -> Tree:
    """A tree like the space's actions: of a ``OneOf`` what ``choice`` says, and of its branches as of all else."""
    if isinstance(space, Dict):
        return {key: per_leaf(part, leaf, choice) for key, part in space.items()}
    if isinstance(space, Tuple):
        return tuple(per_leaf(part, leaf, choice) for part in space)
    if isinstance(space, OneOf):
        return choice(space), tuple(per_leaf(branch, leaf, choice) for branch in space.spaces)
    return leaf(space)


def idle(space: Space) -> Tree:
    """Some action of the space: zeros, or what is nearest to them."""
    if isinstance(space, Dict):
        return {key: idle(part) for key, part in space.items()}
    if isinstance(space, Tuple):
        return tuple(map(idle, space))
    if isinstance(space, OneOf):
        return 0, idle(space.spaces[0])
    if isinstance(space, Box):
        return np.clip(np.zeros(space.shape), space.low, space.high).astype(space.dtype)
    return np.broadcast_to(np.asarray(getattr(space, "start", 0)), space.shape or ()).astype(space.dtype)


@singledispatch
def batch(space: Space, n: int) -> Space:
    """The space of n actions side by side, in Clipper's layout; Gymnasium's ``batch_space`` but for ``OneOf``."""
    return batch_space(space, n)


@batch.register
def _(space: Dict, n: int) -> Space:
    return ordered_dict({key: batch(part, n) for key, part in space.items()})


@batch.register
def _(space: Tuple, n: int) -> Space:
    return Tuple([batch(part, n) for part in space])


@batch.register
def _(space: OneOf, n: int) -> Space:
    return Tuple([MultiDiscrete([len(space.spaces)] * n), Tuple([batch(branch, n) for branch in space.spaces])])


@singledispatch
def listed(space: Space, actions: Tree, n: int) -> Tree:
    """The batch as Gymnasium's vector environments take it: a list of ``(k, arguments)`` where there is a ``OneOf``."""
    return actions


@listed.register
def _(space: Dict, actions: dict[str, Tree], n: int) -> dict[str, Tree]:
    return {key: listed(part, actions[key], n) for key, part in space.items()}


@listed.register
def _(space: Tuple, actions: tuple[Tree, ...], n: int) -> tuple[Tree, ...]:
    return tuple(listed(part, action, n) for part, action in zip(space, actions, strict=True))


@listed.register
def _(space: OneOf, actions: tuple[Tree, tuple[Tree, ...]], n: int) -> tuple[Tree, ...]:
    return tuple(element(space, actions, i) for i in range(n))
