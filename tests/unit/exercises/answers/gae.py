"""Answers to the exercises on GAE and critics, as learners write them."""

import torch
import torch.nn.functional as F


def advantages(reward, value, next_value, ended, stops, gamma, decay):
    out, running = torch.zeros_like(reward), torch.zeros_like(reward[0])
    for t in reversed(range(len(reward))):
        delta = reward[t] + gamma * next_value[t] * (1 - ended[t].float()) - value[t]
        running = delta + decay * running * (1 - stops[t].float())
        out[t] = running
    return out


class GeneralisedAdvantage:
    def right(reward, value, next_value, terminated, done, gamma, lam):
        return advantages(reward, value, next_value, terminated, done, gamma, gamma * lam)

    def bootstrapped_end(reward, value, next_value, terminated, done, gamma, lam):
        return advantages(reward, value, next_value, torch.zeros_like(done), done, gamma, gamma * lam)

    def time_limit_as_end(reward, value, next_value, terminated, done, gamma, lam):
        return advantages(reward, value, next_value, done, done, gamma, gamma * lam)

    def across_the_end(reward, value, next_value, terminated, done, gamma, lam):
        return advantages(reward, value, next_value, terminated, torch.zeros_like(done), gamma, gamma * lam)

    def through_a_time_limit(reward, value, next_value, terminated, done, gamma, lam):
        return advantages(reward, value, next_value, terminated, terminated, gamma, gamma * lam)

    def no_gamma(reward, value, next_value, terminated, done, gamma, lam):
        return advantages(reward, value, next_value, terminated, done, gamma, lam)

    def no_lambda(reward, value, next_value, terminated, done, gamma, lam):
        return advantages(reward, value, next_value, terminated, done, gamma, gamma)

    def returns(reward, value, next_value, terminated, done, gamma, lam):
        return GeneralisedAdvantage.right(reward, value, next_value, terminated, done, gamma, lam) + value


class CriticTarget:
    def right(reward, value, next_value, terminated, done, gamma):
        with torch.no_grad():
            target = torch.where(terminated, reward, reward + gamma * next_value)
        return F.mse_loss(value, target)

    def through_the_target(reward, value, next_value, terminated, done, gamma):
        return F.mse_loss(value, torch.where(terminated, reward, reward + gamma * next_value))

    def bootstrapped_end(reward, value, next_value, terminated, done, gamma):
        return F.mse_loss(value, (reward + gamma * next_value).detach())

    def time_limit_as_end(reward, value, next_value, terminated, done, gamma):
        return F.mse_loss(value, torch.where(done, reward, reward + gamma * next_value).detach())

    def halved(reward, value, next_value, terminated, done, gamma):
        return 0.5 * CriticTarget.right(reward, value, next_value, terminated, done, gamma)

    def rewards_only(reward, value, next_value, terminated, done, gamma):
        return F.mse_loss(value, reward)


def descend(features, target, steps, rate, reduction="mean"):
    w = torch.zeros(features.shape[1], dtype=features.dtype, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(features @ w, target(w), reduction=reduction).backward()
        optimizer.step()
    return w


def rewards_to_go(reward, gamma):
    return torch.stack([sum(gamma**k * r for k, r in enumerate(reward[t:])) for t in range(len(reward))])


class ValueFitting:
    def right(features, reward, gamma, steps, rate):
        target = rewards_to_go(reward, gamma)
        return descend(features, lambda _: target, steps, rate)

    def not_fitted(features, reward, gamma, steps, rate):
        return descend(features, lambda _: reward, 0, rate)

    def one_step(features, reward, gamma, steps, rate):
        target = rewards_to_go(reward, gamma)
        return descend(features, lambda _: target, 1, rate)

    def ascent(features, reward, gamma, steps, rate):
        w, target = torch.zeros(features.shape[1], dtype=features.dtype), rewards_to_go(reward, gamma)
        for _ in range(steps):
            w = w + rate * 2 / len(reward) * features.T @ (features @ w - target)
        return w

    def reward_as_target(features, reward, gamma, steps, rate):
        return descend(features, lambda _: reward, steps, rate)

    def moving_target(features, reward, gamma, steps, rate):
        return descend(features, lambda w: reward + gamma * F.pad((features @ w)[1:], (0, 1)).detach(), steps, rate)

    def summed(features, reward, gamma, steps, rate):
        target = rewards_to_go(reward, gamma)
        return descend(features, lambda _: target, steps, rate, reduction="sum")

    def halved(features, reward, gamma, steps, rate):
        target = rewards_to_go(reward, gamma)
        return descend(features, lambda _: target, steps, rate / 2)
