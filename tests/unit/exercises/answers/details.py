"""Answers to the exercises of the page on implementation details, as learners might write them."""

import torch


class TimeLimit:
    def right(reward, next_value, terminated, truncated, gamma):
        return reward + gamma * next_value * (1 - terminated.double())

    def limit_as_end(reward, next_value, terminated, truncated, gamma):
        done = terminated | truncated
        return reward + gamma * next_value * (1 - done.double())

    def no_end(reward, next_value, terminated, truncated, gamma):
        return reward + gamma * next_value

    def limit_wins(reward, next_value, terminated, truncated, gamma):
        goes_on = truncated | ~terminated
        return reward + gamma * next_value * goes_on


class ShuffledMinibatches:
    def right(n, parts, generator):
        order = torch.randperm(n, generator=generator)
        return [order[i::parts] for i in range(parts)]

    def with_replacement(n, parts, generator):
        return list(torch.randint(n, (n,), generator=generator).tensor_split(parts))

    def rest_dropped(n, parts, generator):
        order, size = torch.randperm(n, generator=generator), n // parts
        return [order[i * size : (i + 1) * size] for i in range(parts)]

    def in_order(n, parts, generator):
        return list(torch.arange(n).tensor_split(parts))

    def fixed_order(n, parts, generator):
        return list(torch.randperm(n, generator=torch.Generator().manual_seed(0)).tensor_split(parts))

    def unequal(n, parts, generator):
        order, size = torch.randperm(n, generator=generator), n // parts
        return [*(order[i * size : (i + 1) * size] for i in range(parts - 1)), order[(parts - 1) * size :]]


class GlobalNorm:
    def right(gradients, bound):
        norm = sum((g**2).sum() for g in gradients).sqrt()
        return gradients if norm <= bound else [g * bound / norm for g in gradients]

    def each_by_itself(gradients, bound):
        return [g * min(1, bound / g.norm()) for g in gradients]

    def by_value(gradients, bound):
        return [g.clip(-bound, bound) for g in gradients]

    def always(gradients, bound):
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        return [g * bound / norm for g in gradients]

    def squared(gradients, bound):
        norm = sum((g**2).sum() for g in gradients)
        return gradients if norm <= bound else [g * bound / norm for g in gradients]
