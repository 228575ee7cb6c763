"""Answers to the exercises on action values, as learners write them."""

import torch
from torch.nn.functional import mse_loss


class QLoss:
    def right(q, reward, terminated, next_q, gamma):
        with torch.no_grad():
            y = reward.unsqueeze(-1) + gamma * (1 - terminated.double().unsqueeze(-1)) * next_q
        return mse_loss(q, y)

    def broadcast(q, reward, terminated, next_q, gamma):
        y = reward + gamma * (1 - terminated.double()) * next_q.detach().flatten()
        return torch.mean((q - y) ** 2)

    def no_end(q, reward, terminated, next_q, gamma):
        return mse_loss(q, reward[:, None] + gamma * next_q.detach())

    def through_the_target(q, reward, terminated, next_q, gamma):
        y = reward[:, None] + gamma * next_q * (1 - terminated[:, None].double())
        return mse_loss(q, y)

    def whole_discounted(q, reward, terminated, next_q, gamma):
        y = gamma * (reward[:, None] + next_q.detach() * (1 - terminated[:, None].double()))
        return mse_loss(q, y)

    def sum(q, reward, terminated, next_q, gamma):
        return QLoss.right(q, reward, terminated, next_q, gamma) * len(q)


class Td3Target:
    def right(reward, terminated, action, noise, q1, q2, gamma, bound):
        a = torch.clip(action + torch.clip(noise, -bound, bound), -1, 1)
        return torch.where(terminated, reward, reward + gamma * torch.stack([q1(a), q2(a)]).min(0).values)

    def maximum(reward, terminated, action, noise, q1, q2, gamma, bound):
        a = torch.clip(action + torch.clip(noise, -bound, bound), -1, 1)
        return torch.where(terminated, reward, reward + gamma * torch.max(q1(a), q2(a)))

    def first_critic(reward, terminated, action, noise, q1, q2, gamma, bound):
        return Td3Target.right(reward, terminated, action, noise, q1, q1, gamma, bound)

    def no_smoothing(reward, terminated, action, noise, q1, q2, gamma, bound):
        return Td3Target.right(reward, terminated, action, 0 * noise, q1, q2, gamma, bound)

    def noise_unbounded(reward, terminated, action, noise, q1, q2, gamma, bound):
        return Td3Target.right(reward, terminated, action, noise, q1, q2, gamma, 100.0)

    def action_unbounded(reward, terminated, action, noise, q1, q2, gamma, bound):
        a = action + torch.clip(noise, -bound, bound)
        return torch.where(terminated, reward, reward + gamma * torch.min(q1(a), q2(a)))

    def no_end(reward, terminated, action, noise, q1, q2, gamma, bound):
        a = torch.clip(action + torch.clip(noise, -bound, bound), -1, 1)
        return reward + gamma * torch.min(q1(a), q2(a))


class SoftUpdate:
    def right(lagged, fast, tau):
        for slow, x in zip(lagged, fast, strict=True):
            slow.copy_(slow * (1 - tau) + x * tau)

    def right_by_lerp(lagged, fast, tau):
        for slow, x in zip(lagged, fast, strict=True):
            slow.lerp_(x, tau)

    def swapped(lagged, fast, tau):
        for slow, x in zip(lagged, fast, strict=True):
            slow.copy_(slow * tau + x * (1 - tau))

    def copied(lagged, fast, tau):
        for slow, x in zip(lagged, fast, strict=True):
            slow.copy_(x)

    def same_memory(lagged, fast, tau):
        for i in range(len(lagged)):
            lagged[i] = fast[i]

    def nothing_changed(lagged, fast, tau):
        for slow, x in zip(lagged, fast, strict=True):
            slow = (1 - tau) * slow + tau * x  # noqa: PLW2901

    def network_moved(lagged, fast, tau):
        for slow, x in zip(lagged, fast, strict=True):
            x.lerp_(slow, tau)
