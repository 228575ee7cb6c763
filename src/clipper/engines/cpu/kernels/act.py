"""Acting in one row of a segment, and keeping what the environments answered."""

from numba import njit

from clipper.engines.cpu.kernels import categorical, gaussian, mlp
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.tables import (
    Bools1,
    Bools2,
    Doubles1,
    Doubles2,
    Floats2,
    Floats3,
    Head,
    Ints1,
    Ints2,
    Ints3,
    Net,
    Work,
)
from clipper.engines.cpu.kernels.views import sheet
from clipper.environments.checks import LARGEST_REWARD


@njit(**COMPILED)
def look(net, layers, head, obs, work):
    """The head's numbers for a few observations, one column for each."""
    stride = mlp.stride_of(len(obs))
    mlp.forward(net, layers, obs, work.order[: len(obs)], work)
    return sheet(work.out, head.slot * stride, head.outputs, stride)


@njit(**COMPILED)
def choose(
    net: Net, layers: Ints2, head: Head, work: Work, first: int, last: int, obs: Floats3, uniform: Floats3,
    action: Ints3, log_prob: Floats2, legal: Bools2, t: int,
) -> None:  # fmt: skip
    """Draw discrete actions for the environments from ``first`` to ``last`` in row ``t``, ``capacity`` at a time.

    No rows of ``legal``: all choices are. Where ``uniform`` has but one row, that is this row's.
    """
    drawn = uniform[t if len(uniform) > 1 else 0]
    for start in range(first, last, work.capacity):
        stop = min(start + work.capacity, last)
        logits = look(net, layers, head, obs[t, start:stop], work)
        if legal.shape[0] > 0:
            categorical.forbid(logits, legal[start:stop], work.order[: stop - start])
        categorical.sample(
            logits, head.sizes, drawn[start:stop], action[t, start:stop], log_prob[t, start:stop]
        )  # fmt: skip


@njit(**COMPILED)
def move(
    net: Net, layers: Ints2, head: Head, work: Work, first: int, last: int, obs: Floats3, noise: Floats3,
    action: Floats3, log_prob: Floats2, centre: Doubles1, half_width: Doubles1, low: Doubles1, high: Doubles1,
    sent: Floats3, t: int,
) -> None:  # fmt: skip
    """Draw continuous actions; ``sent`` is what the environments take, rescaled and clipped to their bounds."""
    drawn = noise[t if len(noise) > 1 else 0]
    for start in range(first, last, work.capacity):
        stop = min(start + work.capacity, last)
        mean = look(net, layers, head, obs[t, start:stop], work)
        own = action[t, start:stop]
        gaussian.sample(mean, head.log_std, head.low, head.high, drawn[start:stop], own, log_prob[t, start:stop])
        for b in range(stop - start):
            for j in range(head.log_std.size):
                x = centre[j] + half_width[j] * own[b, j]
                x = low[j] if x < low[j] else x
                sent[t, start + b, j] = high[j] if x > high[j] else x


@njit(**COMPILED)
def keep(
    previous: Bools1, left: Ints1, all_obs: Floats3, all_reward: Doubles2, all_terminated: Bools2, all_done: Bools2,
    mask: Bools2, obs: Floats2, reward: Doubles1, terminated: Bools1, truncated: Bools1, t: int,
) -> int:  # fmt: skip
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
