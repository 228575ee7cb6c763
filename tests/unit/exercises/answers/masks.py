"""Answers to the exercises of the page on masks, as learners might write them."""

import torch


class MaskedProbabilities:
    def right(logits, mask):
        return logits.masked_fill(~mask, -1e9).softmax(-1)

    def right_with_infinity(logits, mask):
        return logits.masked_fill(~mask, float("-inf")).softmax(-1)

    def logits_times_mask(logits, mask):
        return (logits * mask.float()).softmax(-1)

    def not_normalised(logits, mask):
        return logits.softmax(-1).masked_fill(~mask, 0)

    def normalised_afterwards(logits, mask):
        p = logits.softmax(-1) * mask
        return p / p.sum(-1, keepdim=True)


class MaskedEntropy:
    def right(logits, mask):
        log_p = logits.masked_fill(~mask, -1e9).log_softmax(-1)
        return -(log_p.exp() * log_p).sum(-1)

    def right_by_leaving_out(logits, mask):
        log_p = logits.masked_fill(~mask, float("-inf")).log_softmax(-1).masked_fill(~mask, 0)
        return -(log_p.exp() * log_p * mask).sum(-1)

    def without_mask(logits, mask):
        log_p = logits.log_softmax(-1)
        return -(log_p.exp() * log_p).sum(-1)

    def zero_times_infinity(logits, mask):
        p = logits.masked_fill(~mask, float("-inf")).softmax(-1)
        return -(p * p.log()).sum(-1)

    def gradient(logits, mask):
        p = logits.masked_fill(~mask, -1e9).softmax(-1)
        return -torch.where(mask, p * p.log(), torch.zeros_like(p)).sum(-1)


class MaskedRatio:
    def right(logits, old_logits, action, mask):
        new, old = (x.masked_fill(~mask, -1e9).log_softmax(-1) for x in (logits, old_logits))
        return (new - old).gather(-1, action[:, None]).squeeze(-1).exp()

    def half_masked(logits, old_logits, action, mask):
        new = logits.log_softmax(-1)
        old = old_logits.masked_fill(~mask, -1e9).log_softmax(-1)
        return (new - old).gather(-1, action[:, None]).squeeze(-1).exp()

    def naive(logits, old_logits, action, mask):
        return (logits.softmax(-1) / old_logits.softmax(-1)).gather(-1, action[:, None]).squeeze(-1)

    def logarithm(logits, old_logits, action, mask):
        new, old = (x.masked_fill(~mask, -1e9).log_softmax(-1) for x in (logits, old_logits))
        return (new - old).gather(-1, action[:, None]).squeeze(-1)
