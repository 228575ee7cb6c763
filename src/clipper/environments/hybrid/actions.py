"""Actions of N environments as a task takes them: arrays that lead with ``[N]``."""

import gymnasium
import numpy as np
from gymnasium.spaces import OneOf

from clipper.data.tree_type import Tree
from clipper.errors import EnvironmentContractError


def batch_actions(space: gymnasium.Space, actions: Tree, n: int) -> Tree:
    """The actions of N environments as arrays, one per leaf of ``space``.

    Of a ``OneOf`` that is ``(choice [N], (arguments of branch 0 [N, ...], …))``, which may be given as it is; or one
    pair ``(k, arguments)`` for each environment, as Gymnasium batches that space. Arguments that belong to no choice
    made are 0 then.
    """
    if not isinstance(space, OneOf):
        return actions
    if len(actions) == 2 and isinstance(actions[0], np.ndarray) and actions[0].shape == (n,):
        return actions
    if len(actions) != n or any(len(pair) != 2 for pair in actions):
        raise EnvironmentContractError(
            f"actions of {n} environments in {space} must be (choice [N], (arguments [N, ...], …)) or N pairs of a "
            f"choice and its arguments, not {actions!r}"
        )
    choice = np.array([k for k, _ in actions], dtype=np.int64)
    arguments = tuple(np.zeros((n, *(branch.shape or ())), branch.dtype) for branch in space.spaces)
    for i, (k, value) in enumerate(actions):
        arguments[int(k)][i] = value
    return choice, arguments
