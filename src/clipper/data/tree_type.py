"""The type of a tree. Apart from ``clipper.data.trees``, since worker processes need not load torch."""

from typing import Any

Tree = Any
"""An array or a tensor, or a dict, tuple or NamedTuple of trees; () is the empty tree."""
Key = str | int
"""Of a child in a dict or tuple."""
