"""What kernels are given of a memory: one cell's numbers, and room for what a pass backward reads again."""

from typing import NamedTuple

from clipper.engines.cpu.kernels.tables import Floats1, Ints1

LSTM, GRU = range(2)
"""Kinds of cells."""


class Cell(NamedTuple):
    """One layer of LSTM or GRU cells."""

    kind: int
    size: int
    """Numbers that it recalls."""
    width: int
    """Places for them on a tape: whole vectors."""
    pitch: int
    """Places for a decision's gates, four widths and some more."""
    slot: int
    """Where what the layers before give the gates stands among their outputs; there is room for four sizes."""
    before: int
    """How many rows of the table of layers come before that product's."""
    weight: int
    bias: int
    """Offsets of the parameters that belong to the state."""
    state: int
    """Its first column in a row of states: hidden numbers, then an LSTM's cell."""
    recalled: int
    """Its first column in a row of what is recalled."""
    read: int
    """Where that stands among the outputs of the layers after it."""


class Tape(NamedTuple):
    """What passes over sequences write down, decision by decision."""

    gates: Floats1
    hidden: Floats1
    """The state before each step."""
    inner: Floats1
    """An LSTM's cell before each step."""
    slopes: Floats1
    """∂L/∂h of each decision as far as its own loss goes; 0 in all others."""
    ahead: Floats1
    """The state's weights: for each of its numbers what it adds to all gates."""
    back: Floats1
    """The same the other way round."""
    now: Floats1
    far: Floats1
    """State and cell of each sequence at the current step, or what is owed to them."""
    told: Floats1
    """Room for one decision's numbers."""
    rows: Ints1
    """Which rows of the segment pass through the layers together."""
    seat: Ints1
    """Where they stand on the tape."""
