"""Answers to the exercises on the policy gradient, as learners write them."""

import math

import torch
import torch.nn.functional as F
from torch.distributions import Categorical, Independent, Normal


class GaussianLogLikelihood:
    def right(action, mean, log_std):
        return Independent(Normal(mean, log_std.exp()), 1).log_prob(action)

    def right_by_hand(action, mean, log_std):
        z = (action - mean) / torch.exp(log_std)
        return -0.5 * (z**2 + 2 * log_std + math.log(2 * math.pi)).sum(1)

    def not_summed(action, mean, log_std):
        return Normal(mean, log_std.exp()).log_prob(action)

    def averaged(action, mean, log_std):
        return Normal(mean, log_std.exp()).log_prob(action).mean(-1)

    def sigma_as_variance(action, mean, log_std):
        z = (action - mean) ** 2 / torch.exp(log_std)
        return -0.5 * (z + 2 * log_std + math.log(2 * math.pi)).sum(1)

    def no_log_sigma(action, mean, log_std):
        z = (action - mean) / torch.exp(log_std)
        return -0.5 * (z**2 + math.log(2 * math.pi)).sum(1)

    def no_constant(action, mean, log_std):
        z = (action - mean) / torch.exp(log_std)
        return -(0.5 * z**2 + log_std).sum(1)

    def no_half(action, mean, log_std):
        z = (action - mean) / torch.exp(log_std)
        return -(z**2 + log_std + 0.5 * math.log(2 * math.pi)).sum(1)


class SoftmaxScore:
    def right(logits, action):
        return F.one_hot(action, logits.shape[1]) - torch.softmax(logits, 1)

    def right_with_autograd(logits, action):
        logits = logits.clone().requires_grad_()
        Categorical(logits=logits).log_prob(action).sum().backward()
        return logits.grad

    def chosen_only(logits, action):
        return F.one_hot(action, logits.shape[1])

    def sign(logits, action):
        return -SoftmaxScore.right(logits, action)

    def of_the_probability(logits, action):
        logits = logits.clone().requires_grad_()
        Categorical(logits=logits).probs[torch.arange(len(action)), action].sum().backward()
        return logits.grad


class BanditGradient:
    def right(logits, reward):
        p = torch.softmax(logits, 0)
        return p * (reward - p @ reward)

    def not_centred(logits, reward):
        return torch.softmax(logits, 0) * reward

    def not_weighted(logits, reward):
        return reward - torch.softmax(logits, 0) @ reward

    def uniform(logits, reward):
        p, k = torch.softmax(logits, 0), len(logits)
        return sum(reward[a] * (F.one_hot(torch.tensor(a), k) - p) for a in range(k)) / k

    def mean_of_all(logits, reward):
        p = torch.softmax(logits, 0)
        return p * (reward - reward.mean())
