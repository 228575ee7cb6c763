"""Answers to the exercises of the page on the full loss, as learners might write them."""

import math

import torch
from torch.nn import functional as F


class Entropy:
    def right(logits):
        log_p = torch.log_softmax(logits, -1)
        return -(log_p.exp() * log_p).sum(-1)

    def right_by_torch(logits):
        return torch.distributions.Categorical(logits=logits).entropy()

    def sign(logits):
        log_p = torch.log_softmax(logits, -1)
        return (log_p.exp() * log_p).sum(-1)

    def bits(logits):
        log_p = torch.log_softmax(logits, -1)
        return -(log_p.exp() * log_p / math.log(2)).sum(-1)

    def mean(logits):
        log_p = torch.log_softmax(logits, -1)
        return -(log_p.exp() * log_p).mean(-1)

    def zero_times_infinity(logits):
        p = torch.softmax(logits, -1)
        return -(p * p.log()).sum(-1)


class FullLoss:
    def right(surrogate, value, target, entropy, c1, c2):
        value_loss = F.mse_loss(value, target.detach())
        return -surrogate.mean() + c1 * value_loss - c2 * entropy.mean()

    def entropy_sign(surrogate, value, target, entropy, c1, c2):
        value_loss = F.mse_loss(value, target.detach())
        return -surrogate.mean() + c1 * value_loss + c2 * entropy.mean()

    def surrogate_sign(surrogate, value, target, entropy, c1, c2):
        value_loss = F.mse_loss(value, target.detach())
        return surrogate.mean() + c1 * value_loss - c2 * entropy.mean()

    def half(surrogate, value, target, entropy, c1, c2):
        value_loss = 0.5 * (value - target.detach()).pow(2).mean()
        return -surrogate.mean() + c1 * value_loss - c2 * entropy.mean()

    def moving_target(surrogate, value, target, entropy, c1, c2):
        return -surrogate.mean() + c1 * F.mse_loss(value, target) - c2 * entropy.mean()


class StandardiseAdvantages:
    def right(advantage, mask):
        chosen = advantage[mask]
        result = torch.zeros_like(advantage)
        result[mask] = (chosen - chosen.mean()) / (chosen.std() + 1e-8)
        return result

    def padding(advantage, mask):
        return ((advantage - advantage.mean()) / (advantage.std() + 1e-8)) * mask

    def population(advantage, mask):
        chosen = advantage[mask]
        result = torch.zeros_like(advantage)
        result[mask] = (chosen - chosen.mean()) / (chosen.std(unbiased=False) + 1e-8)
        return result

    def left_in(advantage, mask):
        chosen = advantage[mask]
        return (advantage - chosen.mean()) / (chosen.std() + 1e-8)

    def zero_by_zero(advantage, mask):
        chosen = advantage[mask]
        result = torch.zeros_like(advantage)
        result[mask] = (chosen - chosen.mean()) / chosen.std()
        return result
