"""Answers to the exercises on KL penalties, as learners write them."""

import torch


class AdaptiveBeta:
    def right(beta, kl, target):
        if kl > target * 1.5:
            beta *= 2
        elif kl < target / 1.5:
            beta *= 0.5
        return beta

    def reversed(beta, kl, target):
        if kl > target * 1.5:
            return beta / 2
        return beta * 2 if kl < target / 1.5 else beta

    def no_band(beta, kl, target):
        if kl > target:
            return beta * 2
        return beta / 2 if kl < target else beta

    def only_doubles(beta, kl, target):
        return beta * 2 if kl > 1.5 * target else beta

    def factor(beta, kl, target):
        if kl > target * 1.5:
            return beta * 1.5
        return beta / 1.5 if kl < target / 1.5 else beta


class KlFromSamples:
    def right(log_ratio):
        return log_ratio.exp() - 1 - log_ratio

    def k1(log_ratio):
        return -log_ratio

    def k2(log_ratio):
        return log_ratio**2 / 2

    def other_direction(log_ratio):
        r = log_ratio.exp()
        return r * log_ratio - (r - 1)

    def sign_of_the_ratio(log_ratio):
        return torch.expm1(-log_ratio) + log_ratio

    def no_one(log_ratio):
        return log_ratio.exp() - log_ratio


class PenalisedLoss:
    def right(log_prob, old_log_prob, advantage, kl, beta):
        ratio = torch.exp(log_prob - old_log_prob)
        return -(ratio * advantage).mean() + beta * kl.mean()

    def ascent(log_prob, old_log_prob, advantage, kl, beta):
        return (torch.exp(log_prob - old_log_prob) * advantage - beta * kl).mean()

    def reward_for_distance(log_prob, old_log_prob, advantage, kl, beta):
        return -(torch.exp(log_prob - old_log_prob) * advantage + beta * kl).mean()

    def detached(log_prob, old_log_prob, advantage, kl, beta):
        return -(torch.exp(log_prob - old_log_prob) * advantage).mean() + beta * kl.mean().item()

    def no_ratio(log_prob, old_log_prob, advantage, kl, beta):
        return -(log_prob * advantage).mean() + beta * kl.mean()
