"""Acting in one row of a segment, and keeping what the environments answered.

These are called once per row, so they take arrays one by one: taking them out of a tuple costs more than acting does.
"""

import numpy as np
from numba import njit

from clipper.engines.kernels import categorical, gaussian, mlp
from clipper.engines.kernels.options import COMPILED
from clipper.engines.kernels.tables import Net, Work
from clipper.environments.checks import LARGEST_REWARD


@njit(**COMPILED)
def look(theta, layers, shift, scale, bound, obs, start, stop, slot, outputs, capacity, out, pre):
    """The head's numbers for the observations from ``start`` to ``stop``, one column for each."""
    nothing, stride = out[:0], mlp.stride_of(stop - start)
    net = Net(theta, layers, shift, scale, bound)
    work = Work(capacity, out, pre, nothing, nothing, nothing, nothing, nothing, nothing)
    mlp.forward(net, layers, obs, np.arange(start, stop), work)
    return out[slot * stride : (slot + outputs) * stride].reshape(outputs, stride)


@njit(**COMPILED)
def choose(
    theta, layers, shift, scale, bound, obs, slot, sizes, legal, capacity, out, pre, uniform, action, log_prob
):  # fmt: skip
    """Draw discrete actions for all rows of ``obs``, ``capacity`` at a time; no rows of ``legal``: all are legal."""
    outputs = sizes.sum()
    for start in range(0, len(obs), capacity):
        stop = min(start + capacity, len(obs))
        logits = look(theta, layers, shift, scale, bound, obs, start, stop, slot, outputs, capacity, out, pre)
        if legal.shape[0] > 0:
            categorical.forbid(logits, legal, np.arange(start, stop))
        categorical.sample(logits, sizes, uniform[start:stop], action[start:stop], log_prob[start:stop])


@njit(**COMPILED)
def move(
    theta, layers, shift, scale, bound, obs, slot, log_std, least, most, capacity, out, pre, noise, action, log_prob,
    centre, half_width, low, high, sent,
):  # fmt: skip
    """Draw continuous actions; ``sent`` is what the environments take, rescaled and clipped to their bounds."""
    for start in range(0, len(obs), capacity):
        stop = min(start + capacity, len(obs))
        mean = look(theta, layers, shift, scale, bound, obs, start, stop, slot, log_std.size, capacity, out, pre)
        own = action[start:stop]
        gaussian.sample(mean, log_std, least, most, noise[start:stop], own, log_prob[start:stop])
        for b in range(stop - start):
            for j in range(log_std.size):
                x = centre[j] + half_width[j] * own[b, j]
                x = low[j] if x < low[j] else x
                sent[start + b, j] = high[j] if x > high[j] else x


@njit(**COMPILED)
def keep(
    obs, reward, terminated, truncated, previous, left, t, all_obs, all_reward, all_terminated, all_done, mask
):  # fmt: skip
    """Row t of a segment from what ``env.step`` gave; the number of decisions, or −1 where a number may not be finite.

    ``previous`` says where the row before ended an episode, ``left`` how many episodes each environment still has to
    give; both are updated. A sum of squares within float32's range squared says that every number is finite as float32,
    and the rewards' are held to the bound that ``clipper.environments.checks`` has.
    """
    rewards, squares, decided = 0.0, 0.0, 0
    for i in range(reward.size):
        rewards += float(reward[i]) * float(reward[i])
        decision = left[i] > 0 and not previous[i]
        ended = terminated[i] or truncated[i]
        all_reward[t, i] = reward[i]
        mask[t, i] = decision
        all_terminated[t, i] = terminated[i] and decision
        all_done[t, i] = ended and decision
        decided += decision
        left[i] -= ended and decision
        previous[i] = ended
    for i in range(obs.shape[0]):
        for j in range(obs.shape[1]):
            x = float(obs[i, j])
            squares += x * x
            all_obs[t + 1, i, j] = obs[i, j]
    return decided if squares <= 1e77 and rewards <= LARGEST_REWARD * LARGEST_REWARD else -1
