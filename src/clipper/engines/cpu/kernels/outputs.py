"""Some layers' outputs for who computes a loss of them elsewhere, and the way back from the loss's slopes there."""

from numba import njit

from clipper.engines.cpu.kernels import mlp
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.tables import Floats1, Floats2, Ints2, Net, Work


@njit(**COMPILED)
def tell(net: Net, places: Ints2, obs: Floats2, work: Work, told: Floats2) -> None:
    """The outputs of the layers at ``places`` (slot, size, first column), a row of outputs for each of ``obs``."""
    for start in range(0, len(obs), work.capacity):
        part = obs[start : min(start + work.capacity, len(obs))]
        index = work.order[: len(part)]
        stride = mlp.stride_of(index.size)
        mlp.forward(net, net.layers, part, index, work)
        for p in range(places.shape[0]):
            slot, size, column = places[p]
            for j in range(size):
                y = work.out[(slot + j) * stride : (slot + j) * stride + index.size]
                for b in range(index.size):
                    told[start + b, column + j] = y[b]


@njit(**COMPILED)
def pull(net: Net, places: Ints2, obs: Floats2, work: Work, slopes: Floats2, gradient: Floats1) -> None:
    """From ``slopes`` of a loss by what ``tell`` gave to those by the parameters, which are added to ``gradient``.

    The layers are computed once more, so that nothing has to be kept since.
    """
    for start in range(0, len(obs), work.capacity):
        part = obs[start : min(start + work.capacity, len(obs))]
        index = work.order[: len(part)]
        stride = mlp.stride_of(index.size)
        mlp.forward(net, net.layers, part, index, work)
        for p in range(places.shape[0]):
            slot, size, column = places[p]
            for j in range(size):
                d = work.slopes[(slot + j) * stride : (slot + j) * stride + mlp.whole(index.size)]
                for b in range(index.size):
                    d[b] = slopes[start + b, column + j]
                for b in range(index.size, d.size):
                    d[b] = 0
        mlp.backward(net, gradient, part, index, work)
