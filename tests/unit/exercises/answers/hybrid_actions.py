"""Answers to the exercises of the page on hybrid actions, as learners might write them."""

import math

import torch
from torch.distributions import Categorical, Normal


class OneOfLogProb:
    def right(logits, choice, mean, log_std, arguments):
        rows = torch.arange(len(choice))
        argument = Normal(mean[rows, choice], log_std[choice].exp()).log_prob(arguments[rows, choice])
        return Categorical(logits=logits).log_prob(choice) + argument

    def right_by_replacing(logits, choice, mean, log_std, arguments):
        used = torch.nn.functional.one_hot(choice, logits.shape[-1]).bool()
        safe = torch.where(used, arguments, mean.detach())
        each = Normal(mean, log_std.exp(), validate_args=False).log_prob(safe)
        return Categorical(logits=logits).log_prob(choice) + torch.where(used, each, 0).sum(-1)

    def all_arguments(logits, choice, mean, log_std, arguments):
        each = Normal(mean, log_std.exp(), validate_args=False).log_prob(arguments)
        return Categorical(logits=logits).log_prob(choice) + each.sum(-1)

    def argument_only(logits, choice, mean, log_std, arguments):
        rows = torch.arange(len(choice))
        return Normal(mean[rows, choice], log_std[choice].exp()).log_prob(arguments[rows, choice])

    def nan(logits, choice, mean, log_std, arguments):
        used = torch.nn.functional.one_hot(choice, logits.shape[-1])
        each = Normal(mean, log_std.exp(), validate_args=False).log_prob(arguments)
        return Categorical(logits=logits).log_prob(choice) + (used * each).sum(-1)


class OneOfEntropy:
    def right(logits, log_std):
        each = 0.5 + 0.5 * math.log(2 * math.pi) + log_std
        return Categorical(logits=logits).entropy() + (logits.softmax(-1) * each).sum(-1)

    def unweighted(logits, log_std):
        return Categorical(logits=logits).entropy() + Normal(0, log_std.exp()).entropy().sum()

    def choice_only(logits, log_std):
        return Categorical(logits=logits).entropy()

    def arguments_only(logits, log_std):
        return (logits.softmax(-1) * Normal(0, log_std.exp()).entropy()).sum(-1)


class PerPartLoss:
    def right(log_ratio, advantage, epsilon):
        r = log_ratio.exp()
        return sum(-torch.min(x * advantage, x.clamp(1 - epsilon, 1 + epsilon) * advantage) for x in r)

    def joint(log_ratio, advantage, epsilon):
        r = log_ratio.sum(0).exp()
        return -torch.min(r * advantage, r.clamp(1 - epsilon, 1 + epsilon) * advantage)

    def product_of_clipped(log_ratio, advantage, epsilon):
        r = log_ratio.exp()
        clipped = r.clamp(1 - epsilon, 1 + epsilon)
        return -torch.min(r.prod(0) * advantage, clipped.prod(0) * advantage)

    def no_minimum(log_ratio, advantage, epsilon):
        return -(log_ratio.exp().clamp(1 - epsilon, 1 + epsilon) * advantage).sum(0)
