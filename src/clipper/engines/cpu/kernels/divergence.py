"""KL(π_old ‖ π) over the parts of an action, and what of π_old is remembered for it.

Of each part it is weighted by the probability under π_old that the part counts, by the chain rule; no gradient flows
through that.
"""

from numba import njit

from clipper.engines.cpu.kernels import beta, categorical, continuous, mlp, parts
from clipper.engines.cpu.kernels.elementary import exp
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.tables import (
    BETA,
    CATEGORICAL,
    EXP,
    GAUSSIAN,
    SQUASHED,
    Floats2,
    Head,
    Ints1,
    Net,
    Rows,
    Work,
)
from clipper.engines.cpu.kernels.views import sheet


@njit(**COMPILED)
def evaluate(net, head, old, index, work):
    """The KL of each row, of the whole and of the parts that have names; after ``parts.evaluate``."""
    table, size, stride = head.parts, index.size, mlp.stride_of(index.size)
    for b in range(size):
        work.kl[b] = 0
    for l in range(head.leaves):
        for b in range(size):
            work.leaf_kl[l, b] = 0
    for p in range(table.shape[0]):
        kind, slot, outputs, _, _, gate, branch, leaf, _, _, column = table[p]
        own, reach = work.kls[p, :size], work.old_reach[p]
        for b in range(size):
            reach[b] = 1
        if gate >= 0:
            at = table[gate, 10] + branch
            for b in range(size):
                reach[b] = work.old_reach[gate, b] * exp(old[index[b], at])
        if kind == CATEGORICAL:
            categorical.kl(sheet(work.out, slot * stride, outputs, stride), old, column, index, own)
        else:
            continuous.kl(net, head, p, old, index, work, stride, own)
        for b in range(size):
            own[b] *= reach[b]
            work.kl[b] += own[b]
        if head.leaves > 0:
            for b in range(size):
                work.leaf_kl[leaf, b] += own[b]


@njit(**COMPILED)
def remember(net: Net, head: Head, rows: Rows, order: Ints1, work: Work, old: Floats2) -> None:
    """Note what π is in the rows of ``order``, in those of ``old``."""
    table = head.parts
    for start in range(0, order.size, work.capacity):
        index = order[start : min(start + work.capacity, order.size)]
        stride = mlp.stride_of(index.size)
        mlp.forward(net, net.layers, rows.obs, index, work)
        parts.evaluate(net, head, rows, index, work)
        for p in range(table.shape[0]):
            kind, slot, outputs, _, _, _, _, _, scale, at, column = table[p]
            out = sheet(work.out, slot * stride, 2 * outputs if kind == BETA else outputs, stride)
            for k in range(out.shape[0]):
                for b in range(index.size):
                    x = out[k, b]
                    old[index[b], column + k] = beta.shape_of(x) if kind == BETA else x
            for k in range(outputs if GAUSSIAN <= kind <= SQUASHED else 0):
                for b in range(index.size):
                    old[index[b], column + outputs + k] = (
                        continuous.bounded_log_std(net, head, p, k) if scale < EXP else work.out[(at + k) * stride + b]
                    )
