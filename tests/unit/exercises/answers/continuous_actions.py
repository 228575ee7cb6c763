"""Answers to the exercises of the page on continuous actions, as learners might write them."""

import math

import torch
from torch.distributions import Normal, TanhTransform, TransformedDistribution
from torch.nn import functional as F


class StoredAction:
    def right(mean, log_std, noise, low, high):
        raw = (mean + log_std.exp() * noise).detach()
        sent = torch.clamp(low + (raw + 1) / 2 * (high - low), low, high)
        return raw, sent, Normal(mean, log_std.exp()).log_prob(raw).sum(-1)

    def stores_what_was_sent(mean, log_std, noise, low, high):
        _, sent, _ = StoredAction.right(mean, log_std, noise, low, high)
        return sent, sent, Normal(mean, log_std.exp()).log_prob(sent).sum(-1)

    def likelihood_of_the_clipped(mean, log_std, noise, low, high):
        raw, sent, _ = StoredAction.right(mean, log_std, noise, low, high)
        return raw, sent, Normal(mean, log_std.exp()).log_prob(raw.clamp(-1, 1)).sum(-1)

    def not_mapped(mean, log_std, noise, low, high):
        raw, _, log_prob = StoredAction.right(mean, log_std, noise, low, high)
        return raw, torch.clamp(raw, low, high), log_prob

    def not_clipped(mean, log_std, noise, low, high):
        raw, _, log_prob = StoredAction.right(mean, log_std, noise, low, high)
        return raw, low + (raw + 1) / 2 * (high - low), log_prob


def mlp(obs, layers):
    for i, (weight, bias) in enumerate(layers):
        obs = F.linear(obs, weight, bias)
        if i < len(layers) - 1:
            obs = obs.tanh()
    return obs


class GaussianActor:
    def right(obs, layers, log_std, noise):
        mean, std = mlp(obs, layers), log_std.exp()
        with torch.no_grad():
            action = mean + std * noise
        return action, Normal(mean, std).log_prob(action).sum(-1)

    def through_the_sample(obs, layers, log_std, noise):
        mean, std = mlp(obs, layers), log_std.exp()
        action = mean + std * noise
        return action, Normal(mean, std).log_prob(action).sum(-1)

    def tanh_at_the_end(obs, layers, log_std, noise):
        for weight, bias in layers:
            obs = F.linear(obs, weight, bias).tanh()
        action = (obs + log_std.exp() * noise).detach()
        return action, Normal(obs, log_std.exp()).log_prob(action).sum(-1)

    def noise_by_log_std(obs, layers, log_std, noise):
        mean = mlp(obs, layers)
        action = (mean + log_std * noise).detach()
        return action, Normal(mean, log_std.exp()).log_prob(action).sum(-1)


class SquashedLogProb:
    def right(u, mean, log_std):
        correction = 2 * (math.log(2) - u - F.softplus(-2 * u))
        return (Normal(mean, log_std.exp()).log_prob(u) - correction).sum(-1)

    def right_by_torch(u, mean, log_std):
        squashed = TransformedDistribution(Normal(mean, log_std.exp()), TanhTransform(cache_size=1))
        action = squashed.transforms[0](u)
        return squashed.log_prob(action).sum(-1)

    def of_u(u, mean, log_std):
        return Normal(mean, log_std.exp()).log_prob(u).sum(-1)

    def added(u, mean, log_std):
        correction = 2 * (math.log(2) - u - F.softplus(-2 * u))
        return (Normal(mean, log_std.exp()).log_prob(u) + correction).sum(-1)

    def epsilon(u, mean, log_std):
        return (Normal(mean, log_std.exp()).log_prob(u) - (1 - u.tanh() ** 2 + 1e-6).log()).sum(-1)

    def infinite(u, mean, log_std):
        return (Normal(mean, log_std.exp()).log_prob(u) - (1 - u.tanh() ** 2).log()).sum(-1)
