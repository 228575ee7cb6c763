"""The parts of an action, walked in an order in which choices come before what depends on them.

A part counts for a decision if its gate counts and chose its branch; a part without a gate always does. So trees of
Dict, Tuple and OneOf become a table (``clipper.distributions.one_of``, ``.product``). Of each part the likelihood is
that of the action, 0 where it does not count, and the entropy is weighted by the probability that it does, ``reach``.
"""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels import categorical, continuous, mlp
from clipper.engines.cpu.kernels.elementary import exp
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.tables import BETA, CATEGORICAL, EXACT, EXP
from clipper.engines.cpu.kernels.views import sheet


@njit(**COMPILED)
def note_uses(parts, p, choice, index, work, stride, likely):
    """Which decisions use the part, what they chose, and, where it is asked for, how likely the policy is to use it."""
    kind, _, _, column, _, gate, branch, _, _, _, _ = parts[p]
    rows, used, reach = index.size, work.used[p], work.reach[p]
    if gate < 0:
        for b in range(rows):
            used[b], reach[b] = True, 1
    else:
        log_p = work.out[(parts[gate, 1] + branch) * stride :]
        for b in range(rows):
            used[b] = work.used[gate, b] and work.chosen[gate, b] == branch
        if likely:
            for b in range(rows):
                reach[b] = work.reach[gate, b] * exp(log_p[b])
    if kind == CATEGORICAL:
        chosen = work.chosen[p]
        for b in range(rows):
            chosen[b] = choice[index[b], column] if used[b] else 0


@njit(**COMPILED)
def evaluate(net, head, rows, index, work):
    """Log π(a|s) and the entropy of each row, of the whole and of the parts that have names."""
    parts, size, stride = head.parts, index.size, mlp.stride_of(index.size)
    for b in range(size):
        work.log_prob[b] = work.entropy[b] = 0
    for l in range(head.leaves):
        for b in range(size):
            work.leaf_log_prob[l, b] = work.leaf_entropy[l, b] = 0
    for p in range(parts.shape[0]):
        kind, slot, outputs, _, legal, gate, _, leaf, _, _, _ = parts[p]
        log_prob, entropy = work.log_probs[p, :size], work.entropies[p, :size]
        note_uses(parts, p, rows.choice, index, work, stride, True)
        if kind == CATEGORICAL:
            out = sheet(work.out, slot * stride, outputs, stride)
            if rows.legal.shape[0] > 0:
                categorical.forbid(out, rows.legal, legal, index)
            categorical.evaluate(out, work.chosen[p], log_prob, entropy, work.largest, work.total)
        else:
            continuous.evaluate(net, head, p, rows.action, index, work, stride, log_prob, entropy)
        if gate >= 0:
            for b in range(size):
                log_prob[b] = log_prob[b] if work.used[p, b] else np.float32(0.0)
        for b in range(size):
            work.log_prob[b] += log_prob[b]
            work.entropy[b] += work.reach[p, b] * entropy[b]
        if head.leaves > 0:
            for b in range(size):
                work.leaf_log_prob[leaf, b] += log_prob[b]
                work.leaf_entropy[leaf, b] += work.reach[p, b] * entropy[b]


@njit(**COMPILED)
def weigh_branches(head, coefs, size, work, stride):
    """What a part is worth to the entropy bonus: S = c H + Σ over its choices of pₖ S of the parts that they open."""
    parts = head.parts
    for p in range(parts.shape[0]):
        coef = np.float32(coefs[parts[p, 7]])
        for b in range(size):
            work.worth[p, b] = coef * work.entropies[p, b]
    for p in range(parts.shape[0] - 1, -1, -1):
        gate = parts[p, 5]
        if gate >= 0:
            log_p = work.out[(parts[gate, 1] + parts[p, 6]) * stride :]
            for b in range(size):
                work.worth[gate, b] += exp(log_p[b]) * work.worth[p, b]


@njit(**COMPILED)
def open_branches(parts, p, weight, size, work, stride, log_p, d_logits):
    """Add what the choice owes to the parts that it opens: ∂L/∂lⱼ = −w r pⱼ (Sⱼ − Σₖ pₖ Sₖ), r the reach."""
    mean = work.spare
    for b in range(size):
        mean[b] = 0
    for c in range(p + 1, parts.shape[0]):
        if parts[c, 5] == p:
            k = parts[c, 6]
            for b in range(size):
                owed = np.float32(-weight) * work.reach[p, b] * work.worth[c, b] * exp(log_p[k, b])
                d_logits[k, b] += owed
                mean[b] += owed
    for k in range(log_p.shape[0]):
        for b in range(size):
            d_logits[k, b] -= exp(log_p[k, b]) * mean[b]


@njit(**COMPILED)
def backward(net, head, loss, rows, index, weight, work, gradient):
    """From ∂L/∂log π(a|s), of the whole or of each named part, to the slopes of what the head says."""
    parts, size, stride = head.parts, index.size, mlp.stride_of(index.size)
    d_log_prob, d_entropy, bonus = work.d_part, work.d_entropy, False
    for l in range(loss.entropy_coefs.size):
        bonus = bonus or loss.entropy_coefs[l] != 0
    if bonus and parts.shape[0] > 1:
        weigh_branches(head, loss.entropy_coefs, size, work, stride)
    for p in range(parts.shape[0]):
        kind, slot, outputs, _, _, gate, _, leaf, scale, at, old = parts[p]
        given = work.d_leaf[leaf] if loss.per_part else work.d_log_prob
        given_kl = work.d_leaf_kl[leaf] if loss.per_part else work.d_kl
        d_h = np.float32(-loss.entropy_coefs[leaf] * weight)
        for b in range(size):
            d_log_prob[b] = given[b] if work.used[p, b] else np.float32(0.0)
            d_entropy[b] = d_h * work.reach[p, b]
        if loss.kl == EXACT:
            for b in range(size):
                work.d_part_kl[b] = given_kl[b] * work.old_reach[p, b]
        if kind == CATEGORICAL:
            out = sheet(work.out, slot * stride, outputs, stride)
            d_out = sheet(work.slopes, slot * stride, outputs, stride)
            categorical.backward(out, work.chosen[p], d_log_prob, d_entropy, d_out, work.entropies[p, :size])
            if bonus and parts.shape[0] > 1:
                open_branches(parts, p, weight, size, work, stride, out, d_out)
            if loss.kl == EXACT:
                categorical.add_kl(out, rows.old, old, index, work.d_part_kl, d_out)
        else:
            continuous.backward(
                net, head, p, rows.action, rows.old, loss.kl == EXACT, index, work, stride, gate >= 0, gradient
            )  # fmt: skip
            if scale >= EXP:
                clear_beyond(work.slopes, at, outputs, size, stride)
        clear_beyond(work.slopes, slot, 2 * outputs if kind == BETA else outputs, size, stride)


@njit(**COMPILED)
def clear_beyond(slopes, slot, outputs, size, stride):
    """No slope in the columns after the last decision."""
    for j in range(outputs):
        for b in range(size, mlp.whole(size)):
            slopes[(slot + j) * stride + b] = 0


@njit(**COMPILED)
def sample(net, head, legal, uniform, normal, seeds, choice, action, log_prob, log_probs, work):
    """Draw every part, and log π of those that count; ``log_probs`` ``[B, parts with names]``."""
    parts, size, stride = head.parts, log_prob.size, mlp.stride_of(log_prob.size)
    index = work.order[:size]
    for b in range(size):
        log_prob[b] = 0
        for l in range(head.leaves):
            log_probs[b, l] = 0
    for p in range(parts.shape[0]):
        kind, slot, outputs, column, first, gate, _, leaf, _, _, _ = parts[p]
        own = work.log_probs[p, :size]
        if kind == CATEGORICAL:
            out = sheet(work.out, slot * stride, outputs, stride)
            if legal.shape[0] > 0:
                categorical.forbid(out, legal, first, index)
            categorical.sample(out, uniform, choice, column, own)
        else:
            continuous.sample(net, head, p, normal, seeds, action, work, stride, own)
        if parts.shape[0] > 1:
            note_uses(parts, p, choice, index, work, stride, False)
        for b in range(size):
            if gate < 0 or work.used[p, b]:
                log_prob[b] += own[b]
                if head.leaves > 0:
                    log_probs[b, leaf] += own[b]
