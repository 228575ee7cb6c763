"""Acting in one row of a segment, and keeping what the environments answered."""

from numba import njit

from clipper.engines.cpu.kernels import continuous, mlp, parts
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
from clipper.environments.checks import LARGEST_REWARD


@njit(**COMPILED)
def decide(
    net: Net, layers: Ints2, head: Head, work: Work, first: int, last: int, obs: Floats3, uniform: Floats3,
    normal: Floats3, seeds: Ints3, choice: Ints3, action: Floats3, log_prob: Floats2, log_probs: Floats3,
    legal: Bools2, low: Doubles2, high: Doubles2, forms: Ints1, sent: Doubles2, t: int,
) -> None:  # fmt: skip
    """Draw actions for the environments from ``first`` to ``last`` in row ``t``, ``capacity`` at a time.

    No rows of ``legal``: all choices are. ``sent`` are the continuous components as environments take them, rescaled
    and clipped to bounds, each environment's own or one row for all. A single row of noise is this row's.
    """
    noise = t if len(uniform) > 1 else 0
    for start in range(first, last, work.capacity):
        stop = min(start + work.capacity, last)
        mlp.forward(net, layers, obs[t, start:stop], work.order[: stop - start], work)
        own = action[t, start:stop]
        parts.sample(
            net, head, legal[start:stop], uniform[noise, start:stop], normal[noise, start:stop],
            seeds[noise, start:stop], choice[t, start:stop], own, log_prob[t, start:stop], log_probs[t, start:stop],
            work,
        )  # fmt: skip
        if forms.size > 0:
            continuous.send(own, start, low, high, forms, sent)


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
