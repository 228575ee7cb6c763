"""One update with the Atari settings is that of CleanRL's ppo_atari.py, written out here, from the same weights.

The arguments are compared with the script itself in test_peer_defaults.py.
"""

import dataclasses

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical

import clipper
from clipper import PPO
from clipper.data.steps import Steps
from clipper.settings import presets

T, N, ACTIONS = 6, 2, 6


class Agent(nn.Module):
    """Nature's network with two layers on it."""

    def __init__(self) -> None:
        super().__init__()
        convolutions = nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3, 1)
        self.network = nn.Sequential(*convolutions, nn.ReLU(), nn.Flatten(), nn.Linear(64 * 7 * 7, 512), nn.ReLU())
        self.actor, self.critic = nn.Linear(512, ACTIONS), nn.Linear(512, 1)

    def forward(self, pixels: Tensor) -> tuple[Categorical, Tensor]:
        hidden = self.network(pixels / 255.0)
        return Categorical(logits=self.actor(hidden)), self.critic(hidden).squeeze(-1)


def test_one_update() -> None:
    config, random = presets.cleanrl_atari(), torch.Generator().manual_seed(0)
    spaces = gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8), gymnasium.spaces.Discrete(ACTIONS)
    policy, agent = clipper.make_policy(*spaces, config.policy, random), Agent()
    weights = [*agent.network.parameters(), *agent.actor.parameters(), *agent.critic.parameters()]
    with torch.no_grad():
        for theirs, ours in zip(weights, policy.parameters(), strict=True):
            theirs.copy_(ours)
    obs = torch.randint(0, 256, (T + 1, N, 4, 84, 84), dtype=torch.uint8, generator=random)
    action = torch.randint(0, ACTIONS, (T, N), generator=random)
    reward = torch.randint(-1, 2, (T, N), generator=random).float()
    done = torch.rand(T, N, generator=random) < 0.2
    with torch.no_grad():
        dist, value = agent(obs.flatten(0, 1).float())
        log_prob, value = dist.logits.view(T + 1, N, -1)[:T].gather(-1, action[..., None]), value.view(T + 1, N)
    steps = Steps(obs[:-1], action, log_prob.squeeze(-1), reward, done, done, torch.ones_like(done))
    assert isinstance(config.algorithm, PPO)
    algorithm = dataclasses.replace(config.algorithm, minibatches=1, learning_rate=2.5e-4)
    algorithm.update(algorithm.init(policy), steps, obs[-1])

    advantage, last = torch.zeros(T, N), torch.zeros(N)
    for t in reversed(range(T)):
        going_on = 1.0 - done[t].float()
        delta = reward[t] + 0.99 * value[t + 1] * going_on - value[t]
        advantage[t] = last = delta + 0.99 * 0.95 * going_on * last
    optimizer = torch.optim.Adam(agent.parameters(), lr=2.5e-4, eps=1e-5)
    target, before, advantage = (advantage + value[:T]).flatten(), value[:T].flatten(), advantage.flatten()
    for _ in range(4):
        dist, new = agent(obs[:-1].flatten(0, 1).float())
        ratio = (dist.log_prob(action.flatten()) - log_prob.flatten()).exp()
        scaled = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        policy_loss = torch.max(-scaled * ratio, -scaled * ratio.clamp(0.9, 1.1)).mean()
        clipped = before + (new - before).clamp(-0.1, 0.1)
        value_loss = 0.5 * torch.max((new - target) ** 2, (clipped - target) ** 2).mean()
        optimizer.zero_grad()
        (policy_loss - 0.01 * dist.entropy().mean() + 0.5 * value_loss).backward()
        nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
        optimizer.step()
    for theirs, ours in zip(weights, policy.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
