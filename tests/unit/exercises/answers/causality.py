"""Answers to the exercises on causality and baselines, as learners write them."""

import torch
from torch import Tensor


class RewardToGo:
    def right(reward, done, gamma):
        out, running = torch.zeros_like(reward), torch.zeros_like(reward[0])
        for t in reversed(range(len(reward))):
            running = reward[t] + gamma * running * (~done[t])
            out[t] = running
        return out

    def right_in_float32(reward, done, gamma):
        return RewardToGo.right(reward.float(), done, gamma)

    def whole_return(reward, done, gamma):
        out = torch.zeros_like(reward)
        for n in range(reward.shape[1]):
            start = 0
            for t in range(len(reward)):
                if done[t, n]:
                    total = sum(gamma**k * r for k, r in enumerate(reward[start : t + 1, n]))
                    out[start : t + 1, n] = total
                    start = t + 1
        return out

    def off_by_one(reward, done, gamma):
        return gamma * RewardToGo.right(reward, done, gamma)

    def across_the_end(reward, done, gamma):
        out, running = torch.zeros_like(reward), 0
        for t in reversed(range(len(reward))):
            running = reward[t] + gamma * running
            out[t] = running
        return out

    def from_the_start(reward, done, gamma):
        out, age = RewardToGo.right(reward, done, gamma), torch.zeros(reward.shape[1])
        for t in range(len(reward)):
            out[t] *= gamma**age
            age = torch.where(done[t], 0, age + 1)
        return out


class ReinforceWithBaseline:
    def right(log_prob, to_go, value, mask):
        advantage = to_go - value.detach()
        return -(log_prob * advantage * mask).sum(0).mean()

    def ascent(log_prob, to_go, value, mask):
        return (log_prob * (to_go - value.detach()) * mask).sum(0).mean()

    def through_the_baseline(log_prob, to_go, value, mask):
        return -(log_prob * (to_go - value) * mask).sum(0).mean()

    def mean_over_decisions(log_prob, to_go, value, mask):
        return -(log_prob * (to_go - value.detach()))[mask].mean()

    def summed(log_prob, to_go, value, mask):
        return -(log_prob * (to_go - value.detach()) * mask).sum()

    def no_baseline(log_prob, to_go, value, mask):
        return -(log_prob * to_go * mask).sum(0).mean()


class BestBaseline:
    def right(score, total):
        return torch.mean(score**2 * total) / torch.mean(score**2)

    def mean_return(score: Tensor, total: Tensor):
        return total.mean()

    def unsquared(score, total):
        return (score * total).mean() / score.mean()

    def absolute(score, total):
        return (score.abs() * total).mean() / score.abs().mean()

    def not_normalised(score, total):
        return (score**2 * total).mean()
