"""A mask that depends on an earlier part of the action."""

import dataclasses
import functools

from clipper.data.trees import Tree, tree_node


@functools.partial(tree_node, static=("given",))
@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The mask of a part of a Dict or Tuple, for each of the values that an earlier part may take."""

    allowed: Tree
    """A mask of the part whose arrays have one dimension more, behind those of the batch: ``[*batch, K, ...]``."""
    given: str | int
    """Name or index of the earlier part, which chooses among K."""
