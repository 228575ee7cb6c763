"""Answers to the exercises on the KL from samples, as learners write them."""

import torch


class KlOfResponses:
    def right(log_prob, reference, length):
        total = 0.0
        for i, n in enumerate(length.tolist()):
            for t in range(n):
                total += float(log_prob[t, i] - reference[t, i])
        return total / len(length)

    def of_tokens(log_prob, reference, length):
        found = [log_prob[t, i] - reference[t, i] for i, n in enumerate(length.tolist()) for t in range(n)]
        return sum(found) / len(found)

    def padding(log_prob, reference, length):
        return (log_prob - reference).sum() / log_prob.shape[1]

    def sign(log_prob, reference, length):
        return torch.stack([(reference - log_prob)[:n, i].sum() for i, n in enumerate(length.tolist())]).mean()

    def length_divided(log_prob, reference, length):
        return torch.stack([(log_prob - reference)[:n, i].mean() for i, n in enumerate(length.tolist())]).mean()


class KlInTheLoss:
    def right(log_prob, reference):
        log_ratio = log_prob - reference
        k2 = 0.5 * log_ratio**2
        return (torch.exp(-log_ratio) - 1 + log_ratio - k2).detach() + k2

    def right_by_score(log_prob, reference):
        log_ratio = (log_prob - reference).detach()
        return torch.exp(-log_ratio) - 1 + log_ratio + log_ratio * (log_prob - log_prob.detach())

    def k1(log_prob, reference):
        return log_prob - reference

    def k3_all_through(log_prob, reference):
        r = torch.exp(reference - log_prob)
        return r - 1 - r.log()

    def k2_all_through(log_prob, reference):
        return (log_prob - reference) ** 2 / 2

    def no_gradient(log_prob, reference):
        r = torch.exp(reference - log_prob).detach()
        return r - 1 - r.log()

    def both_values(log_prob, reference):
        r = torch.exp(reference - log_prob)
        return (r - 1 - r.log()).detach() + (log_prob - reference) ** 2 / 2


class KlOffPolicy:
    def right(log_prob, old, reference):
        r = torch.exp(reference - log_prob)
        return torch.exp(log_prob - old) * (r - 1 - r.log())

    def not_weighed(log_prob, old, reference):
        r = torch.exp(reference - log_prob)
        return r - 1 - r.log()

    def weight_without_gradient(log_prob, old, reference):
        r = torch.exp(reference - log_prob)
        return torch.exp(log_prob.detach() - old) * (r - 1 - r.log())

    def weight_upside_down(log_prob, old, reference):
        r = torch.exp(reference - log_prob)
        return torch.exp(old - log_prob) * (r - 1 - r.log())

    def of_the_old_policy(log_prob, old, reference):
        r = torch.exp(reference - old)
        return torch.exp(log_prob - old) * (r - 1 - r.log())
