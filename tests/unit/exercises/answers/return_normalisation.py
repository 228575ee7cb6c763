"""Answers to the exercises on return normalisation, as learners write them."""

import numpy as np
import torch


class StandardiseReturns:
    def right(returns, mask):
        length = mask.sum(0)
        mean = ((returns * mask).sum(0) / length).mean()
        std = ((((returns - mean) ** 2 * mask).sum(0)) / length).mean().sqrt()
        return (returns - mean) / (std + 1e-8) * mask

    def right_with_numpy(returns, mask):
        columns = [r[m] for r, m in zip(returns.numpy().T, mask.numpy().T, strict=True)]
        mean = np.mean([np.mean(x) for x in columns])
        std = np.sqrt(np.mean([np.mean((x - mean) ** 2) for x in columns]))
        return np.where(mask.numpy(), (returns.numpy() - mean) / max(std, 1e-6), 0)

    def no_epsilon(returns, mask):
        length = mask.sum(0)
        mean = ((returns * mask).sum(0) / length).mean()
        std = ((((returns - mean) ** 2 * mask).sum(0)) / length).mean().sqrt()
        return (returns - mean) / std * mask

    def sample_deviation(returns, mask):
        length = mask.sum(0)
        mean = ((returns * mask).sum(0) / length).mean()
        std = ((((returns - mean) ** 2 * mask).sum(0) / length).sum() / (len(length) - 1)).sqrt()
        return (returns - mean) / (std + 1e-8) * mask

    def padding_counted(returns, mask):
        return (returns - returns.mean()) / (returns.std(correction=0) + 1e-8) * mask

    def variance(returns, mask):
        length = mask.sum(0)
        mean = ((returns * mask).sum(0) / length).mean()
        return (returns - mean) / (((((returns - mean) ** 2 * mask).sum(0)) / length).mean() + 1e-8) * mask

    def not_centred(returns, mask):
        length = mask.sum(0)
        mean = ((returns * mask).sum(0) / length).mean()
        std = ((((returns - mean) ** 2 * mask).sum(0)) / length).mean().sqrt()
        return returns / (std + 1e-8) * mask

    def over_decisions(returns, mask):
        mean = returns[mask].mean()
        std = ((returns[mask] - mean) ** 2).mean().sqrt()
        return (returns - mean) / (std + 1e-8) * mask

    def by_trajectory(returns, mask):
        columns = [StandardiseReturns.right(r[:, None], m[:, None]) for r, m in zip(returns.T, mask.T, strict=True)]
        return torch.cat(columns, 1)


class LeaveOneOut:
    def right(returns):
        return returns - (returns.sum() - returns) / (len(returns) - 1)

    def right_from_the_mean(returns):
        return (returns - returns.mean()) * len(returns) / (len(returns) - 1)

    def own_included(returns):
        return returns - returns.mean()

    def divided_by_all(returns):
        return returns - (returns.sum() - returns) / len(returns)

    def baseline_only(returns):
        return (returns.sum() - returns) / (len(returns) - 1)


class MinibatchAdvantages:
    def right(advantage, size):
        parts = advantage.view(-1, size)
        return ((parts - parts.mean(1, keepdim=True)) / (parts.std(1, keepdim=True) + 1e-8)).flatten()

    def whole_batch(advantage, size):
        return (advantage - advantage.mean()) / (advantage.std() + 1e-8)

    def population(advantage, size):
        parts = advantage.view(-1, size)
        return ((parts - parts.mean(1, keepdim=True)) / (parts.std(1, keepdim=True, correction=0) + 1e-8)).flatten()

    def centred_only(advantage, size):
        parts = advantage.view(-1, size)
        return (parts - parts.mean(1, keepdim=True)).flatten()

    def scaled_by_the_batch(advantage, size):
        parts = advantage.view(-1, size)
        return ((parts - parts.mean(1, keepdim=True)) / (advantage.std() + 1e-8)).flatten()
