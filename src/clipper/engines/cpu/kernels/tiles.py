"""Products of small matrices, a tile of the result at a time in the processor's vector registers.

Matrices of activations have one row per feature and one column per decision, so that vectors lie along decisions and
layers of any size fit. Their rows are ``stride`` numbers apart, and as many columns are computed as fill whole vectors.

A tile is written in LLVM's own operations, since Numba does not keep a block of sums in registers by itself.
"""

import platform
from collections.abc import Callable
from itertools import product as pairs
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.core import cgutils, config
from numba.core.base import BaseContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from clipper.engines.cpu.kernels.numba_options import BOUNDS_CHECKED, COMPILED
from clipper.engines.cpu.kernels.views import within


def has(feature: str) -> bool:
    """Does the processor have this? Numba's own settings (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES) outweigh the host."""
    settings: Any = config
    if settings.CPU_NAME or settings.CPU_FEATURES:
        return f"+{feature}" in (settings.CPU_FEATURES or "").split(",")
    return get_host_cpu_features().get(feature, False)


LANES = 16 if has("avx512f") else 8 if has("avx2") else 4
"""float32 numbers in a vector."""
FEW_REGISTERS = LANES < 16 and platform.machine() in ("x86_64", "AMD64", "i386")
"""16 vector registers, where AVX-512 and ARM have 32."""
ROWS, VECTORS = (4, 2) if FEW_REGISTERS else (8, 2)
"""A large tile: its sums and what is multiplied stay in registers."""
LONG = 8
"""Vectors in a tile of one row, or of two."""
PAIR, SHORT = 2, 4
"""Rows, and vectors, in a tile where few of both are left: eight sums, so that none waits for the one before."""
SIDE = 4
"""Rows and columns of a tile whose sums run along decisions; columns are fewer where vectors are shorter."""
ACROSS = LANES // SIDE if LANES < SIDE * SIDE else SIDE

F32, I32, I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
VECTOR = ir.VectorType(F32, LANES)
NOTHING = ir.Constant(VECTOR, ir.Undefined)
ZERO = ir.Constant(VECTOR, [0.0] * LANES)


class Code:
    """What the tiles are written with: addresses, vectors, and a loop that carries sums."""

    def __init__(self, context: BaseContext, builder: ir.IRBuilder, signature: Signature) -> None:
        self.context, self.builder, self.signature = context, builder, signature
        kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
        self.fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")

    def address(self, argument: int, array: ir.Value, at: ir.Value) -> ir.NamedValue:
        """Of ``array[at]``."""
        data = self.context.make_array(self.signature.args[argument])(self.context, self.builder, array).data
        return self.builder.gep(data, [at])

    def load(self, start: ir.Value, vector: int = 0) -> ir.Value:
        """A vector, so many after ``start``."""
        place = self.builder.gep(start, [I64(vector * LANES)])
        return self.builder.load(self.builder.bitcast(place, VECTOR.as_pointer()), align=4)

    def store(self, value: ir.Value, start: ir.Value, vector: int) -> None:
        """A vector, so many after ``start``."""
        place = self.builder.gep(start, [I64(vector * LANES)])
        self.builder.store(value, self.builder.bitcast(place, VECTOR.as_pointer()), align=4)

    def spread(self, number: ir.Value) -> ir.Value:
        """The same number in all lanes."""
        first = self.builder.insert_element(NOTHING, number, I32(0))
        return self.builder.shuffle_vector(first, NOTHING, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES))

    def multiples(self, step: ir.Value, count: int) -> list[Any]:
        """0, step, 2 step, …"""
        return [self.builder.mul(step, I64(i)) for i in range(count)]

    def loop(
        self,
        times: ir.Value,
        starts: list[ir.NamedValue],
        steps: list[ir.Value],
        sums: int,
        body: Callable[[list[Any], list[Any]], list[Any]],
    ) -> list[Any]:
        """Vectors of sums, 0 at first and ``body(addresses, sums)`` after each pass; addresses go on by steps."""
        builder = self.builder
        before = builder.basic_block
        head, within, after = (builder.append_basic_block(name) for name in ("head", "within", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        k, carried = builder.phi(I64), [builder.phi(VECTOR) for _ in range(sums)]
        places = [builder.phi(start.type) for start in starts]
        for phi, start in zip([k, *carried, *places], [I64(0), *[ZERO] * sums, *starts], strict=True):
            phi.add_incoming(start, before)
        builder.cbranch(builder.icmp_signed("<", k, times), within, after)
        builder.position_at_end(within)
        following = body(places, carried)
        moved = [builder.gep(place, [step]) for place, step in zip(places, steps, strict=True)]
        for phi, value in zip([k, *carried, *places], [builder.add(k, I64(1)), *following, *moved], strict=True):
            phi.add_incoming(value, builder.basic_block)
        builder.branch(head)
        builder.position_at_end(after)
        return carried

    def totals(self, vectors: list[ir.Value]) -> list[ir.Value]:
        """The sum of each vector's lanes, side by side in vectors; their number is a multiple of the lanes.

        Neighbouring lanes of two vectors are added, which leaves one vector, until all lanes are.
        """
        found = []
        for i in range(0, len(vectors), LANES):
            group = vectors[i : i + LANES]
            while len(group) > 1:
                group = [self.neighbours(a, b) for a, b in zip(group[::2], group[1::2], strict=True)]
            found += group
        return found

    def neighbours(self, a: ir.Value, b: ir.Value) -> Any:
        """Sums of each two neighbouring lanes: those of ``a``, then those of ``b``."""
        lanes = ir.VectorType(I32, LANES)
        even, odd = (ir.Constant(lanes, list(range(first, 2 * LANES, 2))) for first in (0, 1))
        return self.builder.fadd(self.builder.shuffle_vector(a, b, even), self.builder.shuffle_vector(a, b, odd))


def spreading(rows: int, vectors: int) -> Any:
    """C = A B for a tile of C, ``rows × vectors``; A's numbers are spread over all lanes. See ``multiply``."""

    @intrinsic
    def tile(typing, a, a_at, down, along, bias, b, b_at, c, c_at, stride, inner, add):
        def generate(context, builder, signature, arguments):
            a, a_at, down, along, bias, b, b_at, c, c_at, stride, inner, add = arguments
            code = Code(context, builder, signature)
            starts = [code.address(0, a, a_at), code.address(5, b, b_at)]
            lower = code.multiples(down, rows)

            def body(places: list[ir.Value], sums: list[ir.Value]) -> list[ir.Value]:
                right = [code.load(places[1], v) for v in range(vectors)]
                left = [code.spread(builder.load(builder.gep(places[0], [row]))) for row in lower]
                products = pairs(left, right)
                return [builder.call(code.fma, [x, y, s]) for (x, y), s in zip(products, sums, strict=True)]

            sums = code.loop(inner, starts, [along, stride], rows * vectors, body)
            start = code.address(7, c, c_at)
            adding, biased = (builder.icmp_signed(">=", x, I64(least)) for x, least in ((add, 1), (bias, 0)))
            first = code.address(0, a, builder.select(biased, bias, I64(0)))
            for r, row in enumerate(code.multiples(stride, rows)):
                place = builder.gep(start, [row])
                constant = code.spread(builder.load(builder.gep(first, [I64(r)])))
                constant = builder.select(biased, constant, ZERO)
                for v in range(vectors):
                    before = builder.select(adding, code.load(place, v), constant)
                    code.store(builder.fadd(sums[r * vectors + v], before), place, v)
            return context.get_dummy_value()

        return types.void(a, *[types.int64] * 4, b, types.int64, c, *[types.int64] * 4), generate

    return tile


def summing(rows: int, columns: int) -> Any:
    """C += A Bᵀ for a tile of C, ``rows × columns``, with sums along the columns of A and B. See ``add_product``."""

    @intrinsic
    def tile(typing, a, a_at, b, b_at, stride, c, c_at, down, along, inner):
        def generate(context, builder, signature, arguments):
            a, a_at, b, b_at, stride, c, c_at, down, along, inner = arguments
            code = Code(context, builder, signature)
            starts = [code.address(0, a, a_at), code.address(2, b, b_at)]
            lower = code.multiples(stride, max(rows, columns))

            def body(places: list[ir.Value], sums: list[ir.Value]) -> list[ir.Value]:
                right = [code.load(builder.gep(places[1], [row])) for row in lower[:columns]]
                left = [code.load(builder.gep(places[0], [row])) for row in lower[:rows]]
                products = pairs(left, right)
                return [builder.call(code.fma, [x, y, s]) for (x, y), s in zip(products, sums, strict=True)]

            step = I64(LANES)
            sums = code.loop(inner, starts, [step, step], rows * columns, body)
            count = len(sums)
            sums += [ZERO] * (-count % LANES)
            totals = code.totals(sums)
            start = code.address(5, c, c_at)
            for k in range(count):
                total = builder.extract_element(totals[k // LANES], I32(k % LANES))
                r, i = divmod(k, columns)
                place = builder.gep(start, [builder.add(builder.mul(down, I64(r)), builder.mul(along, I64(i)))])
                builder.store(builder.fadd(builder.load(place), total), place)
            return context.get_dummy_value()

        number = types.int64
        return types.void(a, number, b, number, number, c, *[number] * 4), generate

    return tile


spread_large, spread_tall = spreading(ROWS, VECTORS), spreading(ROWS, 1)
spread_long, spread_one = spreading(1, LONG), spreading(1, 1)
spread_pair, spread_short_pair = spreading(PAIR, LONG), spreading(PAIR, SHORT)
sum_large, sum_one = summing(SIDE, ACROSS), summing(1, 1)
sum_across, sum_down = summing(1, ACROSS), summing(SIDE, 1)


@njit(**COMPILED)
def check_product(a, a_at, down, along, bias, b, b_at, c, c_at, stride, rows, inner, columns):
    """Fail where ``multiply`` would read or write beyond its arrays."""
    within(a, a_at, a_at + (rows - 1) * down + (inner - 1) * along + 1)
    within(b, b_at, b_at + (inner - 1) * stride + columns)
    within(c, c_at, c_at + (rows - 1) * stride + columns)
    if bias >= 0:
        within(a, bias, bias + rows)


@njit(**COMPILED)
def check_sums(a, a_at, b, b_at, stride, c, c_at, pitch, rows, columns, inner):
    """Fail where ``add_product`` would read or write beyond its arrays."""
    within(a, a_at, a_at + (rows - 1) * stride + inner)
    within(b, b_at, b_at + (columns - 1) * stride + inner)
    within(c, c_at, c_at + (rows - 1) * pitch + columns)


@njit(**COMPILED)
def multiply_few(a, a_at, down, along, bias, b, b_at, c, c_at, stride, first, rows, inner, columns, add):
    """The same for the last rows, from ``first`` on, which fill no large tile: two at a time, and one."""
    paired = rows - (rows - first) % PAIR
    for row in range(first, paired, PAIR):
        at, to, own, column = a_at + row * down, c_at + row * stride, bias + row if bias >= 0 else -1, 0
        while column + SHORT * LANES <= columns:
            if column + LONG * LANES <= columns and not FEW_REGISTERS:
                spread_pair(a, at, down, along, own, b, b_at + column, c, to + column, stride, inner, add)
                column += LONG * LANES
            else:
                spread_short_pair(a, at, down, along, own, b, b_at + column, c, to + column, stride, inner, add)
                column += SHORT * LANES
        while column < columns:
            spread_one(a, at, down, along, own, b, b_at + column, c, to + column, stride, inner, add)
            second = own + 1 if bias >= 0 else -1
            spread_one(
                a, at + down, down, along, second, b, b_at + column, c, to + stride + column, stride, inner, add
            )  # fmt: skip
            column += LANES
    for row in range(paired, rows):
        at, to, own, column = a_at + row * down, c_at + row * stride, bias + row if bias >= 0 else -1, 0
        while column + LONG * LANES <= columns:
            spread_long(a, at, down, along, own, b, b_at + column, c, to + column, stride, inner, add)
            column += LONG * LANES
        while column < columns:
            spread_one(a, at, down, along, own, b, b_at + column, c, to + column, stride, inner, add)
            column += LANES


@njit(**COMPILED)
def multiply(a, a_at, down, along, bias, b, b_at, c, c_at, stride, rows, inner, columns, add):
    """C = A B, or C + A B where ``add`` is 1.

    A's number in row i and column k stands in ``a`` at ``a_at + i × down + k × along``; B and C begin at ``b_at`` and
    ``c_at``, and their rows are ``stride`` apart. A is ``rows × inner``; ``columns`` is a multiple of ``LANES``. What
    stands in ``a`` from ``bias`` on is added to the rows, unless ``bias`` is −1 or ``add`` is 1.
    """
    if BOUNDS_CHECKED:
        check_product(a, a_at, down, along, bias, b, b_at, c, c_at, stride, rows, inner, columns)
    column, whole = 0, rows - rows % ROWS
    while column < columns:
        wide = column + VECTORS * LANES <= columns
        right = b_at + column
        for row in range(0, whole, ROWS):
            at, to, own = a_at + row * down, c_at + row * stride + column, bias + row if bias >= 0 else -1
            if wide:
                spread_large(a, at, down, along, own, b, right, c, to, stride, inner, add)
            else:
                spread_tall(a, at, down, along, own, b, right, c, to, stride, inner, add)
        column += VECTORS * LANES if wide else LANES
    multiply_few(a, a_at, down, along, bias, b, b_at, c, c_at, stride, whole, rows, inner, columns, add)


@njit(**COMPILED)
def add_product(a, a_at, b, b_at, stride, c, c_at, pitch, rows, columns, inner):
    """C += A Bᵀ, with C's ``rows`` of ``columns`` numbers from ``c_at`` on, ``pitch`` apart.

    A and B begin at ``a_at`` and ``b_at``; their rows are ``stride`` apart and have ``inner`` numbers, a multiple of
    ``LANES``.
    """
    if BOUNDS_CHECKED:
        check_sums(a, a_at, b, b_at, stride, c, c_at, pitch, rows, columns, inner)
    times = inner // LANES
    whole = columns - columns % ACROSS
    row = 0
    while row + SIDE <= rows:
        left, to = a_at + row * stride, c_at + row * pitch
        for column in range(0, whole, ACROSS):
            sum_large(a, left, b, b_at + column * stride, stride, c, to + column, pitch, 1, times)
        for column in range(whole, columns):
            sum_down(a, left, b, b_at + column * stride, stride, c, to + column, pitch, 1, times)
        row += SIDE
    while row < rows:
        left, to = a_at + row * stride, c_at + row * pitch
        for column in range(0, whole, ACROSS):
            sum_across(a, left, b, b_at + column * stride, stride, c, to + column, pitch, 1, times)
        for column in range(whole, columns):
            sum_one(a, left, b, b_at + column * stride, stride, c, to + column, pitch, 1, times)
        row += 1
