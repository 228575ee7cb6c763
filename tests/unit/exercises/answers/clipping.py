"""Answers to the exercises on clipping, as learners write them."""

import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal


class ClippedLoss:
    def right(log_prob, old_log_prob, advantage, epsilon):
        ratio = torch.exp(log_prob - old_log_prob)
        return -torch.min(ratio * advantage, torch.clamp(ratio, 1 - epsilon, 1 + epsilon) * advantage).mean()

    def right_as_spinning_up_has_it(log_prob, old_log_prob, advantage, epsilon):
        bound = torch.where(advantage > 0, (1 + epsilon) * advantage, (1 - epsilon) * advantage)
        return -torch.min(torch.exp(log_prob - old_log_prob) * advantage, bound).mean()

    def ascent(log_prob, old_log_prob, advantage, epsilon):
        return -ClippedLoss.right(log_prob, old_log_prob, advantage, epsilon)

    def no_minimum(log_prob, old_log_prob, advantage, epsilon):
        ratio = torch.exp(log_prob - old_log_prob)
        return -(torch.clamp(ratio, 1 - epsilon, 1 + epsilon) * advantage).mean()

    def maximum(log_prob, old_log_prob, advantage, epsilon):
        ratio = torch.exp(log_prob - old_log_prob)
        return -torch.max(ratio * advantage, torch.clamp(ratio, 1 - epsilon, 1 + epsilon) * advantage).mean()

    def minimum_of_ratios(log_prob, old_log_prob, advantage, epsilon):
        ratio = torch.exp(log_prob - old_log_prob)
        return -(torch.min(ratio, torch.clamp(ratio, 1 - epsilon, 1 + epsilon)) * advantage).mean()

    def not_clipped(log_prob, old_log_prob, advantage, epsilon):
        return -(torch.exp(log_prob - old_log_prob) * advantage).mean()

    def no_exponential(log_prob, old_log_prob, advantage, epsilon):
        ratio = log_prob - old_log_prob
        return -torch.min(ratio * advantage, torch.clamp(ratio, 1 - epsilon, 1 + epsilon) * advantage).mean()

    def inverse_ratio(log_prob, old_log_prob, advantage, epsilon):
        ratio = torch.exp(old_log_prob - log_prob)
        return -torch.min(ratio * advantage, torch.clamp(ratio, 1 - epsilon, 1 + epsilon) * advantage).mean()

    def summed(log_prob, old_log_prob, advantage, epsilon):
        return len(advantage) * ClippedLoss.right(log_prob, old_log_prob, advantage, epsilon)


class LetGo:
    def right(log_ratio, advantage, epsilon):
        r = log_ratio.exp()
        return torch.where(advantage > 0, r > 1 + epsilon, r < 1 - epsilon)

    def right_with_autograd(log_ratio, advantage, epsilon):
        x = log_ratio.clone().requires_grad_()
        (len(x) * ClippedLoss.right(x, torch.zeros_like(x), advantage, epsilon)).backward()
        return x.grad == 0

    def clip_fraction(log_ratio, advantage, epsilon):
        return (log_ratio.exp() - 1).abs() > epsilon

    def signs_swapped(log_ratio, advantage, epsilon):
        return LetGo.right(log_ratio, -advantage, epsilon)

    def above_only(log_ratio, advantage, epsilon):
        return (log_ratio.exp() > 1 + epsilon) & (advantage > 0)

    def inverted(log_ratio, advantage, epsilon):
        return ~LetGo.right(log_ratio, advantage, epsilon)


class Net(nn.Module):
    def __init__(self, obs_dim, action_dim, hidden, between=nn.Tanh, after=None):
        super().__init__()
        layers, width = [], obs_dim
        for h in hidden:
            layers += [nn.Linear(width, h), between()]
            width = h
        layers.append(nn.Linear(width, action_dim))
        self.mu = nn.Sequential(*layers, *([after()] if after else []))
        self.log_sigma = nn.Parameter(-0.5 * torch.ones(action_dim))

    def forward(self, obs):
        return Independent(Normal(self.mu(obs), self.log_sigma.exp()), 1)


class MlpGaussianPolicy:
    def right(obs_dim, action_dim, hidden):
        return Net(obs_dim, action_dim, hidden)

    def right_with_a_covariance(obs_dim, action_dim, hidden):
        class Full(Net):
            def forward(self, obs):
                return MultivariateNormal(self.mu(obs), torch.diag_embed((2 * self.log_sigma).exp()))

        return Full(obs_dim, action_dim, hidden)

    def not_summed(obs_dim, action_dim, hidden):
        class Each(Net):
            def forward(self, obs):
                return Normal(self.mu(obs), self.log_sigma.exp())

        return Each(obs_dim, action_dim, hidden)

    def fixed_sigma(obs_dim, action_dim, hidden):
        made = Net(obs_dim, action_dim, hidden)
        del made.log_sigma
        made.log_sigma = -0.5 * torch.ones(action_dim)
        return made

    def bounded_mean(obs_dim, action_dim, hidden):
        return Net(obs_dim, action_dim, hidden, after=nn.Tanh)

    def linear(obs_dim, action_dim, hidden):
        return Net(obs_dim, action_dim, hidden, between=nn.Identity)

    def relu(obs_dim, action_dim, hidden):
        return Net(obs_dim, action_dim, hidden, between=nn.ReLU)

    def sigma_of_the_state(obs_dim, action_dim, hidden):
        class Wide(Net):
            def __init__(self, *sizes):
                super().__init__(*sizes)
                self.sigma = nn.Linear(obs_dim, action_dim)

            def forward(self, obs):
                return Independent(Normal(self.mu(obs), self.sigma(obs).exp()), 1)

        return Wide(obs_dim, action_dim, hidden)
