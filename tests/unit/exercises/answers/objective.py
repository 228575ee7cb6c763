"""Answers to the exercises on what RLHF optimises, as learners write them."""

import math

import torch


class ScoreLessPrice:
    def right(policy, reference, score, beta):
        total = 0.0
        for p, q, r in zip(policy.tolist(), reference.tolist(), score.tolist(), strict=True):
            total += p * (r - beta * math.log(p / q))
        return total

    def other_direction(policy, reference, score, beta):
        return policy @ score - beta * reference @ (reference.log() - policy.log())

    def reward_for_distance(policy, reference, score, beta):
        return (policy * (score + beta * (policy.log() - reference.log()))).sum()

    def no_price(policy, reference, score, beta):
        return policy @ score

    def entropy(policy, reference, score, beta):
        return policy @ (score - beta * policy.log())


class BestPolicy:
    def right(reference, score, beta):
        weight = [q * math.exp(r / beta) for q, r in zip(reference.tolist(), score.tolist(), strict=True)]
        return [w / sum(weight) for w in weight]

    def not_normalised(reference, score, beta):
        return torch.exp(reference.log() + score / beta)

    def without_reference(reference, score, beta):
        weight = torch.exp(score / beta)
        return weight / weight.sum()

    def times_beta(reference, score, beta):
        weight = reference * torch.exp(score * beta)
        return weight / weight.sum()

    def greedy(reference, score, beta):
        return [float(r == score.max()) for r in score]


class LeftToGain:
    def right(policy, reference, score, beta):
        best = reference * torch.exp(score / beta)
        best = best / best.sum()
        return beta * (policy * (policy / best).log()).sum()

    def right_by_z(policy, reference, score, beta):
        log_z = (reference.log() + score / beta).logsumexp(0)
        return beta * log_z - policy @ score + beta * policy @ (policy / reference).log()

    def in_nats(policy, reference, score, beta):
        best = torch.softmax(reference.log() + score / beta, 0)
        return policy @ (policy.log() - best.log())

    def other_direction(policy, reference, score, beta):
        best = torch.softmax(reference.log() + score / beta, 0)
        return beta * best @ (best.log() - policy.log())

    def to_the_reference(policy, reference, score, beta):
        return beta * policy @ (policy.log() - reference.log())

    def scores_alone(policy, reference, score, beta):
        best = torch.softmax(reference.log() + score / beta, 0)
        return best @ score - policy @ score
