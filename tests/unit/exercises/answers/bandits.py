"""Answers to the exercises on bandits, as learners write them."""

import math

import numpy as np
import torch


def drawn(q, epsilon):
    best = np.flatnonzero(q.numpy() == q.numpy().max())
    p = np.full(len(q), epsilon / len(q))
    p[best] += (1 - epsilon) / len(best)
    return p


class EpsilonGreedy:
    def right(q, n, arm, reward, epsilon):
        n[arm] = n[arm] + 1
        q[arm] = q[arm] + (reward - q[arm]) / n[arm]
        return q, n, drawn(q, epsilon)

    def right_as_a_mean(q, n, arm, reward, epsilon):
        q[arm] = (q[arm] * n[arm] + reward) / (n[arm] + 1)
        n[arm] += 1
        return q, n, torch.tensor(drawn(q, epsilon))

    def constant_step(q, n, arm, reward, epsilon):
        n[arm] += 1
        q[arm] = 0.9 * q[arm] + 0.1 * reward
        return q, n, drawn(q, epsilon)

    def count_before(q, n, arm, reward, epsilon):
        q[arm] += (reward - q[arm]) / max(n[arm].item(), 1)
        n[arm] += 1
        return q, n, drawn(q, epsilon)

    def every_arm(q, n, arm, reward, epsilon):
        n[arm] += 1
        q = q + (reward - q) / n[arm]
        return q, n, drawn(q, epsilon)

    def first_of_the_best(q, n, arm, reward, epsilon):
        n[arm] += 1
        q[arm] += (reward - q[arm]) / n[arm]
        p = torch.full((len(q),), epsilon / len(q), dtype=torch.float64)
        p[torch.argmax(q)] += 1 - epsilon
        return q, n, p

    def explores_others_only(q, n, arm, reward, epsilon):
        n[arm] += 1
        q[arm] += (reward - q[arm]) / n[arm]
        best = q == q.max()
        return q, n, torch.where(best, (1 - epsilon) / best.sum(), epsilon / (~best).sum())


class UpperConfidenceBound:
    def right(q, n, t, c):
        return [float(v + c * math.sqrt(math.log(t) / k)) if k else math.inf for v, k in zip(q, n, strict=True)]

    def right_by_division(q, n, t, c):
        return q + c * torch.sqrt(math.log(t) / n)

    def no_root(q, n, t, c):
        return q + c * math.log(t) / n

    def no_logarithm(q, n, t, c):
        return q + c * torch.sqrt(t / n)

    def untried_is_one(q, n, t, c):
        return q + c * torch.sqrt(math.log(t) / torch.clip(n, 1))

    def same_count(q, n, t, c):
        return torch.where(n == 0, math.inf, q + c * math.sqrt(math.log(t) / t))


class GradientBandit:
    def right(h, arm, reward, mean_reward, alpha):
        pi = torch.softmax(h, 0)
        h = h - alpha * (reward - mean_reward) * pi
        h[arm] += alpha * (reward - mean_reward)
        return h

    def right_by_autograd(h, arm, reward, mean_reward, alpha):
        h.requires_grad_()
        loss = -torch.log_softmax(h, 0)[arm] * (reward - mean_reward)
        loss.backward()
        return (h - alpha * h.grad).detach()

    def no_baseline(h, arm, reward, mean_reward, alpha):
        pi = torch.softmax(h, 0)
        h = h - alpha * reward * pi
        h[arm] += alpha * reward
        return h

    def taken_arm_only(h, arm, reward, mean_reward, alpha):
        h[arm] += alpha * (reward - mean_reward) * (1 - torch.softmax(h, 0)[arm])
        return h

    def descends(h, arm, reward, mean_reward, alpha):
        return 2 * h - GradientBandit.right(h, arm, reward, mean_reward, alpha)

    def no_softmax(h, arm, reward, mean_reward, alpha):
        step = alpha * (reward - mean_reward)
        out = h - step * h
        out[arm] += step
        return out
