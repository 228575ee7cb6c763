"""Answers to the exercises on losses of responses, as learners write them."""

import torch


class TokenRewards:
    def right(score, log_prob, reference, length, beta):
        rewards = torch.zeros_like(log_prob)
        for t in range(length):
            rewards[t] = -beta * (log_prob[t] - reference[t])
        rewards[length - 1] += score
        return rewards

    def in_the_last_row(score, log_prob, reference, length, beta):
        rewards = torch.zeros_like(log_prob)
        rewards[:length] = beta * (reference - log_prob)[:length]
        rewards[-1] += score
        return rewards

    def in_every_token(score, log_prob, reference, length, beta):
        rewards = torch.zeros_like(log_prob)
        rewards[:length] = score - beta * (log_prob - reference)[:length]
        return rewards

    def reward_for_distance(score, log_prob, reference, length, beta):
        rewards = torch.zeros_like(log_prob)
        rewards[:length] = beta * (log_prob - reference)[:length]
        rewards[length - 1] += score
        return rewards

    def padding_pays(score, log_prob, reference, length, beta):
        rewards = -beta * (log_prob - reference)
        rewards[length - 1] += score
        return rewards


class OthersAsBaseline:
    def right(score, group):
        found = []
        for i in range(len(score)):
            others = [score[j] for j in range(len(score)) if group[j] == group[i] and j != i]
            found.append(score[i] - sum(others) / len(others))
        return torch.stack(found)

    def itself_too(score, group):
        return torch.stack([x - score[group == g].mean() for x, g in zip(score, group, strict=True)])

    def all_prompts(score, group):
        total = score.sum()
        return torch.stack([x - (total - x) / (len(score) - 1) for x in score])

    def no_baseline(score, group):
        return score.clone()


class MeanOverResponses:
    def right(loss, length):
        return torch.stack([loss[:n, i].mean() for i, n in enumerate(length.tolist())]).mean()

    def over_tokens(loss, length):
        return torch.cat([loss[:n, i] for i, n in enumerate(length.tolist())]).mean()

    def padding(loss, length):
        return loss.mean(0).mean()

    def padded_length(loss, length):
        return torch.stack([loss[:n, i].sum() / len(loss) for i, n in enumerate(length.tolist())]).mean()

    def sum(loss, length):
        return torch.stack([loss[:n, i].sum() for i, n in enumerate(length.tolist())]).mean()
