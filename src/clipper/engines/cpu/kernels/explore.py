"""How those who learn from a replay act: as the policy draws, with noise about it, or mostly what it thinks best."""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels import continuous, dqn, sac
from clipper.engines.cpu.kernels.elementary import exp
from clipper.engines.cpu.kernels.mlp import stride_of, whole
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.plain_layers import forward, read
from clipper.engines.cpu.kernels.replayed_tables import DQN, SAC, Inputs, Policy, Spaces
from clipper.engines.cpu.kernels.tables import Bools2, Doubles2, Floats1, Floats2, Floats3, Ints1, Ints2


@njit(**COMPILED)
def explore(
    inputs: Inputs, policy: Policy, theta: Floats1, spaces: Spaces, obs: Floats3, noise: Floats2, legal: Bools2,
    low: Doubles2, high: Doubles2, forms: Ints1, action: Floats3, choice: Ints2, sent: Doubles2, kind: int, t: int,
    number: float,
) -> None:  # fmt: skip
    """Actions of row ``t``, and in ``sent`` as environments take them.

    ``number`` is σ of the noise about a deterministic policy, or the probability of any action.
    """
    count = obs.shape[1]
    for start in range(0, count, spaces.capacity):
        size = min(spaces.capacity, count - start)
        stride, columns = stride_of(size), whole(size)
        read(inputs, obs[t], start, size, spaces, stride, columns)
        forward(theta, policy.layers, spaces, stride, columns)
        if kind == DQN:
            choose(policy, noise, start, legal, number, choice[t], size, spaces, stride)
            continue
        own = action[t, start : start + size]
        if kind == SAC:
            draw(policy, noise, start, own, spaces, stride)
        else:
            disturb(policy, noise, start, own, number, spaces, stride)
        continuous.send(own, start, low, high, forms, sent)


@njit(**COMPILED)
def draw(policy, noise, row, action, spaces, stride):
    """What is before tanh, μ + σ ε."""
    size = action.shape[0]
    told = sac.told_log_std(policy, size, spaces, stride)
    for j in range(policy.size):
        mean = spaces.out[(policy.mean + j) * stride :]
        for b in range(size):
            action[b, j] = mean[b] + exp(told[j, b]) * noise[row + b, j]


@njit(**COMPILED)
def disturb(policy, noise, row, action, std, spaces, stride):
    """clip(μ + σ ε, −1, 1)."""
    one = np.float32(1.0)
    for j in range(policy.size):
        mean = spaces.out[(policy.mean + j) * stride :]
        for b in range(action.shape[0]):
            action[b, j] = min(max(mean[b] + np.float32(std) * noise[row + b, j], -one), one)


@njit(**COMPILED)
def choose(policy, noise, row, legal, epsilon, choice, size, spaces, stride):
    """A legal action with probability ε, otherwise the best: the first whose cumulative probability exceeds ``noise``,
    a uniform number.
    """
    dqn.greedy(policy, legal, row, size, spaces, stride, spaces.best)
    masked, share = legal.shape[0] > 0, np.float32(epsilon)
    for b in range(size):
        count, best = policy.size, spaces.best[b]
        if masked:
            count = 0
            for k in range(policy.size):
                count += legal[row + b, k]
        each, total = share / np.float32(max(count, 1)), np.float32(0.0)
        chosen = best
        for k in range(policy.size):
            if not masked or legal[row + b, k]:
                total += each + (np.float32(1.0) - share if k == best else np.float32(0.0))
                if total > noise[row + b, 0]:
                    chosen = k
                    break
        choice[row + b] = chosen
