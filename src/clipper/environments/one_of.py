"""Users' environments with a choice and its arguments, adapted to ``OneOf``, of which only the chosen branch counts."""

from collections.abc import Sequence
from typing import SupportsInt

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, OneOf, Tuple

from clipper.data.tree_type import Tree
from clipper.errors import UnsupportedSpaceError


class OneOfActions(gymnasium.ActionWrapper):
    """Gives an environment a ``OneOf`` in place of ``Tuple(Discrete(K), …)``, for three customary forms of that:

    - ``Tuple(Discrete(K), Tuple(Box, … K of them))``, as in gym-platform and gym-goal: the k-th goes with choice k;
    - ``Tuple(Discrete(K), Box, … K of them)``, the same without the inner tuple;
    - ``Tuple(Discrete(K), Box(P))``, as in gym-hybrid, with ``reads``: which of the P numbers each choice reads.
      Its Moving-v0 has ``reads=((0,), (1,), ())``.

    A choice that reads nothing has the argument ``Discrete(1)``. Numbers that a choice does not read are passed on as
    0, or what is nearest to 0 in their bounds. Raises ``UnsupportedSpaceError`` for other spaces.
    """

    def __init__(self, env: gymnasium.Env, reads: Sequence[Sequence[int]] | None = None) -> None:
        super().__init__(env)
        space = env.action_space
        choices, *rest = space if isinstance(space, Tuple) else (space,)
        if not isinstance(choices, Discrete) or not rest:
            raise UnsupportedSpaceError(
                f"{space} is no choice with arguments, Tuple(Discrete(K), …), as can be adapted"
            )
        self.first, self.reads, self.nested = int(choices.start), reads, isinstance(rest[0], Tuple)
        k = int(choices.n)
        parts = tuple(rest[0]) if isinstance(rest[0], Tuple) else tuple(rest)
        if not all(isinstance(part, Box) for part in parts) or len(parts) != (k if reads is None else 1):
            raise UnsupportedSpaceError(
                f"{space} has {k} choices, so it needs {k} Boxes, or one Box with reads= saying which of its numbers "
                "each choice reads"
            )
        self.boxes = [part for part in parts if isinstance(part, Box)]
        self.action_space = OneOf([branch(part) for part in self.boxes] if reads is None else self.split(reads, k))

    def split(self, reads: Sequence[Sequence[int]], k: int) -> list[Box | Discrete]:
        """What each choice reads of the only Box."""
        (box,) = self.boxes
        outside = [i for which in reads for i in which if not 0 <= i < box.low.size]
        if len(reads) != k or outside or len(box.shape) != 1:
            raise UnsupportedSpaceError(
                f"reads={reads!r} must name, for each of {k} choices, which of the {box.low.size} numbers of {box} "
                "it reads"
            )
        parts = [(box.low[list(which)], box.high[list(which)]) for which in reads]
        return [Box(low, high, dtype=box.dtype.type) if len(low) else Discrete(1) for low, high in parts]

    def action(self, action: tuple[SupportsInt, Tree]) -> tuple[Tree, ...]:
        """``(k, arguments)`` → what the environment takes."""
        k, arguments = int(action[0]), action[1]
        values = [np.clip(np.zeros(box.shape, box.dtype), box.low, box.high) for box in self.boxes]
        if self.reads is not None:
            values[0][list(self.reads[k])] = arguments if len(self.reads[k]) else 0
        elif values[k].size:
            values[k] = np.asarray(arguments, dtype=self.boxes[k].dtype)
        return (self.first + k, tuple(values)) if self.nested else (self.first + k, *values)


def branch(box: Box) -> Box | Discrete:
    """The Box, or ``Discrete(1)`` if it holds no number."""
    return box if box.low.size else Discrete(1)
