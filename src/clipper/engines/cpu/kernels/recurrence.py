"""LSTM and GRU cells over sequences side by side, forward and backward through time.

Gates (torch's order): LSTM i, f, g, o; GRU r, z, n. What they are given by the layers before them is a product like any
other, computed for many decisions together; only the product with the state goes step by step.

Numbers of one decision lie side by side here, unlike in the layers' buffers: a minibatch has few sequences, and
vectors along a cell's numbers are whole however few there are. A step's sequences follow one another, and steps do. A
cell has ``width`` places for its ``size`` numbers, whole vectors, and 0 in what is left over. Of a GRU the four blocks
of a decision's gates are n's input, r, z, and what the state adds to n.

Loops over a cell's numbers write few arrays each: LLVM vectorises none where it would have to see that many do not
overlap.
"""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels import mlp
from clipper.engines.cpu.kernels.elementary import tanh
from clipper.engines.cpu.kernels.memory_tables import LSTM, Cell, Tape
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.tables import Bools2, Floats1, Floats2, Ints1, Net, Work
from clipper.engines.cpu.kernels.tiles import add_product, multiply

TOGETHER = 16  # numbers that are turned from lying along features to along decisions at a time: a line of the cache


@njit(**COMPILED)
def block_of(cell, gate):
    """Where a gate's numbers lie among the four blocks."""
    return gate if cell.kind == LSTM else (gate + 1) % 3


@njit(**COMPILED)
def state_block(cell, gate):
    """The same of what the state adds to it."""
    return gate if cell.kind == LSTM else gate + 1


@njit(**COMPILED)
def gates_of(cell):
    """How many gates there are."""
    return 4 if cell.kind == LSTM else 3


@njit(**COMPILED)
def lay_out(theta: Floats1, cell: Cell, tape: Tape) -> None:
    """Copy the weights of the state to where the steps' products read them, both ways; in places left over 0."""
    size, width, pitch = cell.size, cell.width, cell.pitch
    ahead, back = tape.ahead, tape.back
    for i in range(ahead.size):
        ahead[i] = 0
    for i in range(back.size):
        back[i] = 0
    for gate in range(gates_of(cell)):
        first = state_block(cell, gate) * width
        for j in range(size):
            row = theta[cell.weight + (gate * size + j) * size : cell.weight + (gate * size + j + 1) * size]
            for k in range(size):
                ahead[k * pitch + first + j] = row[k]
                back[(first + j) * width + k] = row[k]


@njit(**COMPILED)
def to_decisions(out, at, stride, tape, count, block, size, cell):
    """From rows of features at ``at`` to the gates' ``block`` of ``count`` decisions."""
    gates, seat = tape.gates, tape.seat
    for start in range(0, count, TOGETHER):
        stop = min(start + TOGETHER, count)
        for j in range(size):
            y = at + j * stride
            to = block * cell.width + j
            for b in range(start, stop):
                gates[seat[b] * cell.pitch + to] = out[y + b]


@njit(**COMPILED)
def to_features(source, pitch, first, seat, count, size, out, at, stride, columns):
    """From numbers of ``count`` decisions to rows of features at ``at``; 0 in columns beyond."""
    for start in range(0, count, TOGETHER):
        stop = min(start + TOGETHER, count)
        for j in range(size):
            y = at + j * stride
            for b in range(start, stop):
                out[y + b] = source[seat[b] * pitch + first + j]
    for j in range(size):
        for b in range(count, columns):
            out[at + j * stride + b] = 0


@njit(**COMPILED)
def next_rows(tape, present, columns, first, rows, start):
    """Note the next decisions that are ``present``, as many as fit; returns how many, and where to go on."""
    count, n = 0, columns.size
    while start < rows and count < tape.seat.size:
        t, i = first + start // n, columns[start % n]
        if present[t, i]:
            tape.seat[count] = start
            tape.rows[count] = t * present.shape[1] + i
            count += 1
        start += 1
    return count, start


@njit(**COMPILED)
def take_in(net, cell, work, tape, obs, present, columns, first, rows):
    """What the layers before give the gates, and the biases, into the gates."""
    size, width, pitch = cell.size, cell.width, cell.pitch
    gates, theta = tape.gates, net.theta
    for i in range(rows * pitch):
        gates[i] = 0
    start = 0
    while start < rows:
        count, start = next_rows(tape, present, columns, first, rows, start)
        if count == 0:
            break
        mlp.forward(net, net.layers, obs, tape.rows[:count], work)
        stride = mlp.stride_of(count)
        for gate in range(gates_of(cell)):
            at = (cell.slot + gate * size) * stride
            to_decisions(work.out, at, stride, tape, count, block_of(cell, gate), size, cell)
        for b in range(count):
            for gate in range(gates_of(cell)):
                own = tape.seat[b] * pitch + state_block(cell, gate) * width
                bias = cell.bias + gate * size
                for j in range(size):
                    gates[own + j] += theta[bias + j]


@njit(**COMPILED)
def squash(x):
    """X ← σ(x) = (1 + tanh(x/2)) / 2."""
    half, one = np.float32(0.5), np.float32(1.0)
    for j in range(x.size):
        x[j] = half * (one + tanh(half * x[j]))


@njit(**COMPILED)
def lstm_step(gates, before, inner, hidden):
    """The cell's and the hidden state after one step; gates become their values."""
    width = before.size
    i, f, g, o = gates[:width], gates[width : 2 * width], gates[2 * width : 3 * width], gates[3 * width : 4 * width]
    squash(gates[: 2 * width])
    squash(o)
    for j in range(width):
        g[j] = tanh(g[j])
    for j in range(width):
        inner[j] = f[j] * before[j] + i[j] * g[j]
    for j in range(width):
        hidden[j] = o[j] * tanh(inner[j])


@njit(**COMPILED)
def gru_step(gates, hidden):
    """The state after one step, in place; gates become their values."""
    width = hidden.size
    n, r, z, s = gates[:width], gates[width : 2 * width], gates[2 * width : 3 * width], gates[3 * width : 4 * width]
    squash(gates[width : 3 * width])
    for j in range(width):
        n[j] = tanh(n[j] + r[j] * s[j])
    for j in range(width):
        hidden[j] = n[j] + z[j] * (hidden[j] - n[j])


@njit(**COMPILED)
def set_out(cell, tape, before, columns):
    """The states of some columns, to where the steps go on from."""
    size, width = cell.size, cell.width
    for i in range(columns.size):
        for j in range(width):
            held = j < size
            tape.now[i * width + j] = before[columns[i], cell.state + j] if held else 0
            far = held and cell.kind == LSTM
            tape.far[i * width + j] = before[columns[i], cell.state + size + j] if far else 0


@njit(**COMPILED)
def arrive(cell, tape, after, columns):
    """From there to the states of some columns."""
    size, width = cell.size, cell.width
    for i in range(columns.size):
        for j in range(size):
            after[columns[i], cell.state + j] = tape.now[i * width + j]
            if cell.kind == LSTM:
                after[columns[i], cell.state + size + j] = tape.far[i * width + j]


@njit(**COMPILED)
def forget(cell, tape, begins, columns):
    """Nothing is carried on over where an episode ``begins``: forward a state, backward what is owed to it."""
    for i in range(columns.size):
        if begins[columns[i]]:
            for j in range(i * cell.width, (i + 1) * cell.width):
                tape.now[j] = tape.far[j] = 0


@njit(**COMPILED)
def step(cell, tape, row, n):
    """One step of ``n`` sequences, whose gates stand on the tape from ``row`` on."""
    width, pitch, now, far, gates = cell.width, cell.pitch, tape.now, tape.far, tape.gates
    for j in range(n * width):
        tape.hidden[row * width + j] = now[j]
        tape.inner[row * width + j] = far[j]
    first = 0 if cell.kind == LSTM else width
    at, columns = row * pitch + first, 4 * width - first
    multiply(now, 0, width, 1, -1, tape.ahead, first, gates, at, pitch, n, cell.size, columns, 1)
    for i in range(n):
        own = gates[(row + i) * pitch : (row + i) * pitch + 4 * width]
        h, c = now[i * width : (i + 1) * width], far[i * width : (i + 1) * width]
        if cell.kind == LSTM:
            lstm_step(own, tape.inner[(row + i) * width : (row + i + 1) * width], c, h)
        else:
            gru_step(own, h)


@njit(**COMPILED)
def recall(
    net: Net, cell: Cell, work: Work, tape: Tape, obs: Floats2, begins: Bools2, present: Bools2, columns: Ints1,
    before: Floats2, after: Floats2, recalled: Floats2, first: int, steps: int, start: int, stop: int,
) -> None:  # fmt: skip
    """Rows ``first`` to ``first + steps`` of the environments ``columns[start:stop]``, from their states ``before`` on.

    A state is emptied before a row that ``begins`` an episode. What each row recalls goes into ``recalled``, in the
    cell's own columns; the last states go into ``after``. Rows that are not ``present`` recall a state that is finite.
    """
    columns = columns[start:stop]
    n, size, width, environments = columns.size, cell.size, cell.width, begins.shape[1]
    take_in(net, cell, work, tape, obs, present, columns, first, steps * n)
    set_out(cell, tape, before, columns)
    for t in range(steps):
        forget(cell, tape, begins[first + t], columns)
        step(cell, tape, t * n, n)
        for i in range(n):
            told = recalled[(first + t) * environments + columns[i], cell.recalled : cell.recalled + size]
            for j in range(size):
                told[j] = tape.now[i * width + j]
    arrive(cell, tape, after, columns)


@njit(**COMPILED)
def owe(cell: Cell, work: Work, tape: Tape, seats: Ints1, first: int, last: int) -> None:
    """Note what a loss's slopes by the numbers recalled are, in the decisions whose ``seats`` are ``first:last``."""
    stride = mlp.stride_of(last - first)
    for j in range(cell.size):
        d = work.slopes[(cell.read + j) * stride : (cell.read + j) * stride + last - first]
        for b in range(last - first):
            tape.slopes[seats[first + b] * cell.width + j] = d[b]


@njit(**COMPILED)
def lstm_back(gates, before, slopes, d_hidden, d_inner, told):
    """∂L/∂gates in place of their values; ``d_inner`` goes one step back. ``told`` takes tanh c.

    c = f c′ + i g, h = o tanh c: dc += dh o (1 − tanh² c), do = dh tanh c, di = dc g, df = dc c′, dg = dc i,
    dc′ = dc f.
    """
    one, width = np.float32(1.0), before.size
    i, f, g, o = gates[:width], gates[width : 2 * width], gates[2 * width : 3 * width], gates[3 * width : 4 * width]
    for j in range(width):
        told[j] = tanh(f[j] * before[j] + i[j] * g[j])
    for j in range(width):
        d_hidden[j] += slopes[j]
    for j in range(width):
        d_inner[j] += d_hidden[j] * o[j] * (one - told[j] * told[j])
    for j in range(width):
        o[j] = d_hidden[j] * told[j] * o[j] * (one - o[j])
    for j in range(width):
        a, b = i[j], g[j]
        i[j] = d_inner[j] * b * a * (one - a)
        g[j] = d_inner[j] * a * (one - b * b)
    for j in range(width):
        a = f[j]
        f[j] = d_inner[j] * before[j] * a * (one - a)
        d_inner[j] *= a


@njit(**COMPILED)
def gru_back(gates, before, slopes, d_hidden):
    """∂L/∂gates in place of their values; in ``d_hidden`` what reaches the state before by h = n + z (h′ − n).

    n = tanh(x + r s): dn = dh (1 − z) (1 − n²) for x, times r for s; dr = dn s; dz = dh (h′ − n); dh′ = dh z.
    """
    one, width = np.float32(1.0), before.size
    n, r, z, s = gates[:width], gates[width : 2 * width], gates[2 * width : 3 * width], gates[3 * width : 4 * width]
    for j in range(width):
        d_hidden[j] += slopes[j]
    for j in range(width):
        a, b, d = n[j], z[j], d_hidden[j]
        n[j] = d * (one - b) * (one - a * a)
        z[j] = d * (before[j] - a) * b * (one - b)
        d_hidden[j] = d * b
    for j in range(width):
        a = r[j]
        r[j] = n[j] * s[j] * a * (one - a)
        s[j] = n[j] * a


@njit(**COMPILED)
def steps_back(cell, tape, begins, columns, first, steps):
    """From what is owed to the states to the gates' slopes, the last step first."""
    n, width, pitch = columns.size, cell.width, cell.pitch
    gates, now, far = tape.gates, tape.now, tape.far
    start = 0 if cell.kind == LSTM else width
    for j in range(n * width):
        now[j] = far[j] = 0
    for t in range(steps - 1, -1, -1):
        for i in range(n):
            row = t * n + i
            own, here = gates[row * pitch : row * pitch + 4 * width], row * width
            slopes, d_h = tape.slopes[here : here + width], now[i * width : (i + 1) * width]
            if cell.kind == LSTM:
                lstm_back(
                    own, tape.inner[here : here + width], slopes, d_h, far[i * width : (i + 1) * width], tape.told
                )
            else:
                gru_back(own, tape.hidden[here : here + width], slopes, d_h)
        at, inner, add = t * n * pitch + start, 4 * width - start, 0 if cell.kind == LSTM else 1
        multiply(gates, at, pitch, 1, -1, tape.back, start * width, now, 0, width, n, inner, width, add)
        forget(cell, tape, begins[first + t], columns)


@njit(**COMPILED)
def pull_back(
    net: Net, cell: Cell, work: Work, tape: Tape, gradient: Floats1, obs: Floats2, begins: Bools2, present: Bools2,
    columns: Ints1, first: int, steps: int, start: int, stop: int,
) -> None:  # fmt: skip
    """Through time, and on to the layers before: their gradients, and the cell's, are added to ``gradient``.

    After ``recall`` of the same rows, with what is owed to them in ``tape.slopes``.
    """
    columns = columns[start:stop]
    size, width, pitch, rows, done = cell.size, cell.width, cell.pitch, steps * columns.size, 0
    count_of_gates = gates_of(cell)
    steps_back(cell, tape, begins, columns, first, steps)
    while done < rows:
        count, done = next_rows(tape, present, columns, first, rows, done)
        if count == 0:
            break
        index, stride, whole = tape.rows[:count], mlp.stride_of(count), mlp.whole(count)
        mlp.forward(net, net.layers[: cell.before], obs, index, work)
        out, slopes, y = work.out, work.slopes, cell.slot * stride
        to_features(tape.hidden, width, 0, tape.seat, count, size, out, y, stride, whole)
        for gate in range(count_of_gates):
            to_features(
                tape.gates, pitch, block_of(cell, gate) * width, tape.seat, count, size, slopes,
                y + gate * size * stride, stride, whole,
            )  # fmt: skip
        together = count_of_gates if cell.kind == LSTM else 2
        add_product(slopes, y, out, y, stride, gradient, cell.weight, size, together * size, size, whole)
        if cell.kind != LSTM:  # the state's part of n has slopes of its own
            own, weight = y + 3 * size * stride, cell.weight + 2 * size * size
            to_features(tape.gates, pitch, 3 * width, tape.seat, count, size, slopes, own, stride, whole)
            add_product(slopes, own, out, y, stride, gradient, weight, size, size, size, whole)
        for gate in range(count_of_gates):
            at = y + (gate if gate < together else gate + 1) * size * stride
            for j in range(size):
                d, total = slopes[at + j * stride : at + j * stride + whole], np.float32(0.0)
                for b in range(whole):
                    total += d[b]
                gradient[cell.bias + gate * size + j] += total
        mlp.backward(net, gradient, obs, index, work)
