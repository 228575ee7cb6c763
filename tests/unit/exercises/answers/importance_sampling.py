"""Answers to the exercises on importance sampling, as learners write them."""

import torch


class CausalWeights:
    def right(log_ratio, done):
        out, running = torch.zeros_like(log_ratio), torch.zeros_like(log_ratio[0])
        for t in range(len(log_ratio)):
            running = running + log_ratio[t]
            out[t] = running
            running = running * ~done[t]
        return out.exp()

    def whole_product(log_ratio, done):
        out = CausalWeights.right(log_ratio, done)
        for t in reversed(range(len(out) - 1)):
            out[t] = torch.where(done[t], out[t], out[t + 1])
        return out

    def first_order(log_ratio, done):
        return log_ratio.exp()

    def future(log_ratio, done):
        out, running = torch.zeros_like(log_ratio), torch.zeros_like(log_ratio[0])
        for t in reversed(range(len(log_ratio))):
            running = log_ratio[t] + running * ~done[t]
            out[t] = running
        return out.exp()

    def across_the_end(log_ratio, done):
        return log_ratio.cumsum(0).exp()

    def without_t(log_ratio, done):
        return CausalWeights.right(log_ratio, done) / log_ratio.exp()

    def logarithms(log_ratio, done):
        return CausalWeights.right(log_ratio, done).log()


class EffectiveSamples:
    def right(log_weight):
        w = torch.softmax(log_weight, 0)
        return 1 / (w**2).sum()

    def overflow(log_weight):
        w = log_weight.exp()
        return w.sum() ** 2 / (w**2).sum()

    def upside_down(log_weight):
        return (torch.softmax(log_weight, 0) ** 2).sum()

    def fraction(log_weight):
        return 1 / (torch.softmax(log_weight, 0) ** 2).mean() / len(log_weight) ** 2

    def of_the_largest(log_weight):
        w = torch.softmax(log_weight, 0)
        return w.sum() / w.max()


class FirstOrderSurrogate:
    def right(log_prob, old_log_prob, advantage):
        return -(log_prob.exp() / old_log_prob.exp() * advantage).sum() / len(advantage)

    def ascent(log_prob, old_log_prob, advantage):
        return (torch.exp(log_prob - old_log_prob) * advantage).mean()

    def no_weight(log_prob, old_log_prob, advantage):
        return -(log_prob * advantage).mean()

    def no_exponential(log_prob, old_log_prob, advantage):
        return -((log_prob - old_log_prob) * advantage).mean()

    def inverse_ratio(log_prob, old_log_prob, advantage):
        return -(torch.exp(old_log_prob - log_prob) * advantage).mean()

    def detached(log_prob, old_log_prob, advantage):
        return -(torch.exp(log_prob - old_log_prob).detach() * advantage).mean()

    def weighted_logarithm(log_prob, old_log_prob, advantage):
        return -(torch.exp(log_prob - old_log_prob).detach() * log_prob * advantage).mean()
