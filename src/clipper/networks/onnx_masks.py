"""Masks that an ONNX file does without: what stands in their place where none is given.

Bounds of a Box are its space's, and a node with a single choice allows it. Such an input has a value of its own in the
file (an initializer of the same name), of one row, which is widened to the batch; a session takes another instead.
"""

from typing import TYPE_CHECKING

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from clipper.data.trees import Tree
from clipper.spaces.actions import per_leaf

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto


def may_be_left_out(space: Space) -> Tree:
    """Per leaf of the space's masks: can the file do without?"""
    return per_leaf(space, needs_none, lambda one_of: len(one_of.spaces) == 1)


def needs_none(space: Space) -> bool:
    """Has it bounds of its own, or a single choice?"""
    one_choice = (isinstance(space, Discrete) and space.n == 1) or (
        isinstance(space, MultiDiscrete) and bool((space.nvec == 1).all())
    )
    return isinstance(space, Box) or one_choice


def give_defaults(model: "ModelProto", defaults: dict[str, np.ndarray]) -> None:
    """Give inputs of a model values, ``[1, ...]`` by name, that stand where a session is given none.

    The number of rows is the first input's.
    """
    from onnx import helper, numpy_helper  # noqa: PLC0415 (optional)

    graph, added = model.graph, list["NodeProto"]()
    if defaults:
        added.append(helper.make_node("Shape", [graph.input[0].name], ["rows_given"], start=0, end=1))
    for name, value in defaults.items():
        rename(graph, name, wide := f"{name}.each_row")
        ones, shape = f"{name}.ones", f"{name}.shape"
        graph.initializer.append(numpy_helper.from_array(value, name))
        graph.initializer.append(numpy_helper.from_array(np.ones(value.ndim - 1, dtype=np.int64), ones))
        added.append(helper.make_node("Concat", ["rows_given", ones], [shape], axis=0))
        added.append(helper.make_node("Expand", [name, shape], [wide]))
        taken = next(given for given in graph.input if given.name == name)
        taken.type.tensor_type.shape.dim[0].dim_param = "batch or 1"
    nodes = [*added, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def rename(graph: "GraphProto", name: str, new: str) -> None:
    """Let nodes, and those of graphs within them, read ``new`` instead of ``name``."""
    for node in graph.node:
        node.input[:] = [new if read == name else read for read in node.input]
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                rename(inner, name, new)
