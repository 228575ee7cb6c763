"""Parts of a flat array as matrices."""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from clipper.engines.cpu.kernels.numba_options import BOUNDS_CHECKED, COMPILED


def typed_sheet(typing, x, start, rows, columns):
    """What ``sheet`` is to Numba: its types, and what writes its code."""
    matrix = types.Array(x.dtype, 2, "C")

    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Sequence[ir.Value]
    ) -> ir.Value:
        flat, start, rows, columns = arguments
        source = context.make_array(signature.args[0])(context, builder, flat)
        made = context.make_array(matrix)(context, builder)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(x.dtype)))
        populate_array(
            made,
            data=builder.gep(source.data, [start]),
            shape=cgutils.pack_array(builder, [rows, columns]),
            strides=cgutils.pack_array(builder, [builder.mul(columns, size), size]),
            itemsize=size,
            meminfo=ir.Constant(ir.PointerType(ir.IntType(8)), None),
        )
        return made._getvalue()

    return matrix(x, types.int64, types.int64, types.int64), generate


flat_sheet: Any = intrinsic(typed_sheet)


@njit(**COMPILED)
def within(x, start, stop):
    """Fail unless ``x[start:stop]`` is whole: what is written in LLVM's own operations knows no ends."""
    if start < 0 or stop > x.size:
        raise IndexError("a part of an array that reaches beyond it")


@njit(**COMPILED)
def checked_sheet(x, start, rows, columns):
    """``flat_sheet``, where it lies within ``x``."""
    within(x, start, start + rows * columns)
    return flat_sheet(x, start, rows, columns)


sheet: Any = checked_sheet if BOUNDS_CHECKED else flat_sheet
"""``sheet(x, start, rows, columns)``: ``x[start : start + rows × columns]`` as a matrix.

Numba's own ``reshape`` needs Numba's library beside the code.
"""
