"""Environments of several agents without chance: who ends when, and how, stands in a table."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

import clipper
from clipper.networks.make_policy import make_policy
from clipper.rollout.vector_rollouts import VectorRollouts

FOREVER = 10**9


class Script:
    """Agent a ends in step ``ends[a]`` of each episode, terminated if ``a`` is even, else truncated.

    It sees (own number, agent, episode, time), and is paid ``time`` + 10 · agent.
    """

    metadata: dict[str, Any] = {"name": "script"}  # noqa: RUF012 (PettingZoo's own form)

    def __init__(self, number: int = 0, ends: tuple[int, ...] = (2, 3), begins: tuple[int, ...] | None = None) -> None:
        self.number, self.ends = number, ends
        self.possible_agents = [f"agent_{a}" for a in range(len(ends))]
        self.begins = self.possible_agents if begins is None else [f"agent_{a}" for a in begins]
        self.agents: list[str] = []
        self.episode, self.time = -1, 0
        self.steps: list[dict[str, Any]] = []

    def observation_space(self, agent: str) -> gymnasium.Space:
        return Box(-100, 100, (4,))

    def action_space(self, agent: str) -> gymnasium.Space:
        return Discrete(2)

    def see(self, agent: str) -> np.ndarray:
        return np.array([self.number, int(agent[-1]), self.episode, self.time], np.float32)

    def reset(self, seed=None, options=None):
        self.agents, self.episode, self.time = list(self.begins), self.episode + 1, 0
        return {agent: self.see(agent) for agent in self.agents}, {agent: {} for agent in self.agents}

    def step(self, actions):
        assert actions.keys() == set(self.agents)
        self.steps.append(actions)
        self.time += 1
        acting = self.agents
        over = {agent: self.time == self.ends[int(agent[-1])] for agent in acting}
        self.agents = [agent for agent in acting if not over[agent]]
        return (
            {agent: self.see(agent) for agent in acting},
            {agent: float(self.time + 10 * int(agent[-1])) for agent in acting},
            {agent: over[agent] and int(agent[-1]) % 2 == 0 for agent in acting},
            {agent: over[agent] and int(agent[-1]) % 2 == 1 for agent in acting},
            {agent: {} for agent in acting},
        )

    def get_state(self) -> dict[str, Any]:
        return {"agents": list(self.agents), "episode": self.episode, "time": self.time}

    def set_state(self, tree: dict[str, Any]) -> None:
        self.agents, self.episode, self.time = list(tree["agents"]), tree["episode"], tree["time"]

    def render(self) -> None:
        return None

    def close(self) -> None:
        pass


class SideBySide:
    """A environments of Gymnasium's as agents of one that ends when all have; agent a is seeded with A·seed + a."""

    metadata: dict[str, Any] = {"name": "side by side"}  # noqa: RUF012

    def __init__(self, name: str, count: int) -> None:
        self.envs = {f"agent_{a}": gymnasium.make(name) for a in range(count)}
        self.possible_agents, self.agents = list(self.envs), list[str]()

    def observation_space(self, agent: str) -> gymnasium.Space:
        return self.envs[agent].observation_space

    def action_space(self, agent: str) -> gymnasium.Space:
        return self.envs[agent].action_space

    def reset(self, seed=None, options=None):
        self.agents = list(self.envs)
        seeds = [None if seed is None else len(self.envs) * seed + a for a in range(len(self.envs))]
        obs = {agent: env.reset(seed=own)[0] for (agent, env), own in zip(self.envs.items(), seeds, strict=True)}
        return obs, {agent: {} for agent in self.agents}

    def step(self, actions):
        given = {agent: self.envs[agent].step(action) for agent, action in actions.items()}
        self.agents = [agent for agent, answer in given.items() if not (answer[2] or answer[3])]
        return tuple({agent: answer[i] for agent, answer in given.items()} for i in range(5))

    def render(self) -> None:
        return None

    def close(self) -> None:
        for env in self.envs.values():
            env.close()


def rollouts_of(env: clipper.Agents, seed: int = 0) -> tuple[VectorRollouts, Any]:
    """Rollouts of ready environments, and a policy made for them."""
    rollouts = VectorRollouts(env, seed)
    options = clipper.PolicyOptions(hidden=(8,))
    return rollouts, make_policy(env.single_observation_space, env.single_action_space, options, rollouts.generator)
