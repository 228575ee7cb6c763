"""Encoders, trunks and single layers as rows of the table that the kernels walk."""

from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from clipper.data.tree_type import Key
from clipper.engines.cpu.kernels.tables import (
    ADD,
    BACK,
    ELU,
    EMBED,
    GATHER,
    KIND,
    LINEAR,
    NORMALISE,
    OUTPUTS,
    PRODUCT,
    READ,
    RELU,
    SILU,
    SOURCE,
    STOP,
    TANH,
    WRITE,
)
from clipper.engines.cpu.observation_rows import ObservationRows
from clipper.engines.protocol import LargeError, UnsuitableError
from clipper.networks.encoders import BoxEncoder, ChoiceEncoder, Encoder, PartsEncoder
from clipper.networks.make_policy import ACTIVATIONS
from clipper.networks.normalise import ObservationNormaliser

WIDEST = 512
NORM_EPS = 1e-5
"""Beside the variance, in layers that normalise; torch's."""
CODES: dict[type[nn.Module], int] = {
    ACTIVATIONS["tanh"]: TANH, ACTIVATIONS["relu"]: RELU, ACTIVATIONS["elu"]: ELU, ACTIVATIONS["silu"]: SILU,
}  # fmt: skip


class Piece(NamedTuple):
    """Neighbouring columns of a layer's weights, and what they are multiplied with."""

    kind: int
    """``PRODUCT`` or ``GATHER``."""
    column: int
    """The first one."""
    size: int
    """How many."""
    source: int
    """The slot of as many numbers, or the first of the choices."""
    inputs: int
    """Numbers, or choices."""
    trained: bool = False
    """Does the numbers' gradient go further back?"""


class Features(NamedTuple):
    """What a layer reads."""

    pieces: list[Piece]
    width: int
    """Columns of the weights of who reads it."""


class Statistics(NamedTuple):
    """A normaliser of numbers that are read."""

    normaliser: ObservationNormaliser
    first: int
    """Of its numbers among all."""


class LayerTable:
    """Collects the rows."""

    def __init__(self, flat: Tensor, observations: ObservationRows) -> None:
        self.flat, self.observations, self.width = flat, observations, 0
        self.rows: list[list[int]] = []
        self.columns: list[int] = []
        self.choices: list[tuple[int, int]] = []
        self.statistics: list[Statistics] = []
        self.trained: set[int] = set()
        """Slots whose gradient is needed."""
        self.slots: dict[nn.Module, int] = {}
        """Where the outputs of each linear layer stand."""
        self.parameters: list[tuple[int, Tensor]] = []
        """What the rows multiply by or look up, each with the number of such a row."""

    def encoder(self, module: Encoder) -> Features:
        """What an encoder makes of observations."""
        pieces = list[Piece]()
        for path, part in parts_of(module):
            self.part(path, part, pieces)
        return Features(joined(pieces), module.features)

    def part(self, path: tuple[Key, ...], part: Encoder, pieces: list[Piece]) -> None:
        """Add what one part of an observation becomes."""
        at, (first, numbers) = sum(piece.size for piece in pieces), self.observations.place(path)
        if type(part) is BoxEncoder:
            if part.normaliser is not None:
                self.statistics.append(Statistics(part.normaliser, len(self.columns)))
            pieces.append(Piece(PRODUCT, at, numbers, self.width, numbers))
            self.rows.append([READ, len(self.columns), 0, 0, numbers, 0, self.width, LINEAR, STOP, 0, 1, 0])
            self.columns += range(first, first + numbers)
            self.width += numbers
        elif type(part) is ChoiceEncoder:
            here, count = len(self.choices), len(part.start)
            self.choices += [(first + k, int(start)) for k, start in enumerate(part.start.tolist())]
            if part.table is None:
                pieces.append(Piece(GATHER, at, part.size, here, count))
                return
            numbers, slot = part.features, self.width
            pieces.append(Piece(PRODUCT, at, numbers, slot, numbers, trained=True))
            table = offset(part.table, self.flat)
            self.parameters.append((len(self.rows), part.table))
            self.rows.append([EMBED, table, 0, count, numbers, here, slot, LINEAR, STOP, 0, 1, 0])
            self.trained.add(slot)
            self.width += numbers
        else:
            raise UnsuitableError(f"kernels know no {type(part).__name__}")

    def trunk(self, module: nn.Module, source: Features) -> Features:
        """What a trunk ends in."""
        layers = list(module) if isinstance(module, nn.Sequential) else [module]
        while layers:
            linear, *layers = layers
            norm, layers = (layers[0], layers[1:]) if layers and type(layers[0]) is nn.LayerNorm else (None, layers)
            if not layers:
                raise UnsuitableError(f"a trunk ends in a {type(norm or linear).__name__}")
            activation, *layers = layers
            if type(activation) not in CODES:
                raise UnsuitableError(f"a trunk holds a {type(activation).__name__}")
            if isinstance(activation, nn.ELU) and activation.alpha != 1:
                raise UnsuitableError(f"an ELU has alpha {activation.alpha}")
            code = CODES[type(activation)]
            slot = self.add(linear, source, LINEAR if norm else code)
            slot = self.normalise(norm, slot, code) if norm else slot
            width = self.rows[-1][OUTPUTS]
            source = Features([Piece(PRODUCT, 0, width, slot, width, trained=True)], width)
        return source

    def normalise(self, norm: nn.LayerNorm, source: int, activation: int) -> int:
        """Add a layer that brings another's numbers to mean 0 and deviation 1; returns its slot."""
        slot, width = self.width, self.rows[-1][OUTPUTS]
        if norm.normalized_shape != (width,) or norm.weight is None or norm.bias is None or norm.eps != NORM_EPS:
            raise UnsuitableError(f"a trunk holds a {norm}")
        gain, bias = offset(norm.weight, self.flat), offset(norm.bias, self.flat)
        self.parameters += [(len(self.rows), norm.weight), (len(self.rows), norm.bias)]
        self.rows.append([NORMALISE, gain, bias, width, width, source, slot, activation, STOP, 0, 1, 1])
        self.trained.add(source)
        self.width += width
        return slot

    def add(self, linear: nn.Module, source: Features, activation: int = LINEAR) -> int:
        """Add one layer; returns its slot."""
        if not isinstance(linear, nn.Linear) or linear.bias is None or linear.in_features != source.width:
            raise UnsuitableError(f"a layer is {linear}")
        slot = self.product(linear.weight, linear.bias, source, activation)
        self.slots[linear] = slot
        return slot

    def product(
        self, weights: Tensor, biases: Tensor, source: Features, activation: int = LINEAR, widest: int = WIDEST
    ) -> int:
        """Add a product with weights ``[outputs, inputs]``; returns the slot of what it gives."""
        slot, (outputs, inputs) = self.width, weights.shape
        inner = max([piece.size for piece in source.pieces if piece.kind == PRODUCT], default=0)
        if outputs > widest or inner > WIDEST:
            raise LargeError(f"a layer is wider than {WIDEST}, where kernels gain little: {outputs} × {inputs} weights")
        weight, bias = offset(weights, self.flat), offset(biases, self.flat)
        self.parameters += [(len(self.rows), weights), (len(self.rows), biases)]
        for k, piece in enumerate(source.pieces):
            last = k == len(source.pieces) - 1
            self.rows.append(
                [piece.kind, weight + piece.column, bias, piece.inputs, outputs, piece.source, slot,
                 activation if last else LINEAR, STOP, inputs, int(k == 0), int(last)]
            )  # fmt: skip
            if piece.trained:
                self.trained.add(piece.source)
        self.width += outputs
        return slot

    def recalled(self, first: int, numbers: int) -> Features:
        """What a memory tells, which stands in the place of an observation; its gradient goes further back."""
        slot = self.width
        self.rows.append([READ, len(self.columns), 0, 0, numbers, 0, slot, LINEAR, STOP, 0, 1, 0])
        self.columns += range(first, first + numbers)
        self.width += numbers
        return Features([Piece(PRODUCT, 0, numbers, slot, numbers, trained=True)], numbers)

    def array(self) -> np.ndarray:
        """The finished table. Going backwards, the first layer that reads a slot writes its gradient, others add."""
        seen: set[int] = set()
        for row in reversed(self.rows):
            if row[KIND] in (PRODUCT, NORMALISE) and row[SOURCE] in self.trained:
                row[BACK] = ADD if row[SOURCE] in seen else WRITE
                seen.add(row[SOURCE])
        return np.array(self.rows, dtype=np.int64)


def parts_of(module: Encoder, path: tuple[Key, ...] = ()) -> list[tuple[tuple[Key, ...], Encoder]]:
    """The encoders of an observation's parts, each with the way to its part."""
    if type(module) is not PartsEncoder:
        return [(path, module)]
    return [
        found
        for key, part in zip(module.keys, module.parts, strict=True)
        for found in parts_of(part, (*path, key))  # pyright: ignore[reportArgumentType] (an Encoder)
    ]


def joined(pieces: list[Piece]) -> list[Piece]:
    """The same, where numbers that lie side by side, and learn nothing, are one piece."""
    found = list[Piece]()
    for piece in pieces:
        before = found[-1] if found else None
        plain = piece.kind == PRODUCT and not piece.trained
        if before and plain and before.kind == PRODUCT and not before.trained and (
            before.source + before.size == piece.source
        ):  # fmt: skip
            found[-1] = before._replace(size=before.size + piece.size, inputs=before.inputs + piece.inputs)
        else:
            found.append(piece)
    return found


def offset(parameter: Tensor, flat: Tensor) -> int:
    """Where a parameter begins in the flat vector."""
    start, rest = divmod(parameter.data_ptr() - flat.data_ptr(), flat.element_size())
    if rest or not 0 <= start <= flat.numel() - parameter.numel() or not parameter.is_contiguous():
        raise UnsuitableError("some of its parameters are not trained")
    return start
