"""Where do agents settle in the climbing game? Four ways to learn it, over seeds.

$ python benchmarks/climbing.py                     # some eight minutes of processor time
$ python benchmarks/climbing.py --seeds 5 --ways shared happo

Both agents get 11 for (0, 0), −30 beside it, 7 for (1, 1), 6 for (1, 2) and 5 for (2, 2). Printed is, for each way, in
how many seeds the most likely actions end where, and the mean return. "central critic" is ``separate`` with a critic
that sees both agents' observations, as MAPPO's does: in a game without a state that is nothing more.
"""

import time
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import tyro
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import VectorEnv

import clipper
from clipper.environments.agents.climbing import PAYOFF
from clipper.learning.advantages import Standardised


class Parallel:
    """The game in PettingZoo's parallel form."""

    possible_agents: list[Hashable] = ["agent_0", "agent_1"]  # noqa: RUF012 (PettingZoo's own form)

    def observation_space(self, agent: Hashable) -> Box:
        """Nothing is seen."""
        return Box(0.0, 1.0, (1,))

    def action_space(self, agent: Hashable) -> Discrete:
        """Three actions."""
        return Discrete(3)

    def reset(self, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        """Begin."""
        self.agents = list(self.possible_agents)
        return {agent: np.zeros(1, np.float32) for agent in self.agents}, {agent: {} for agent in self.agents}

    def step(self, actions: dict) -> tuple[dict, dict, dict, dict, dict]:
        """Both act, once."""
        paid, self.agents = float(PAYOFF[actions["agent_0"], actions["agent_1"]]), []
        obs, nothing = {agent: np.zeros(1, np.float32) for agent in actions}, {agent: {} for agent in actions}
        return obs, dict.fromkeys(actions, paid), dict.fromkeys(actions, True), dict.fromkeys(actions, False), nothing

    def close(self) -> None:
        """Nothing to close."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to run."""

    seeds: int = 20
    """From 1 upwards."""
    ways: tuple[str, ...] = ("shared", "separate", "central critic", "happo")
    total_steps: int = 20_000
    """Decisions of agents, half as many games."""


def algorithm_of(way: str) -> clipper.PPO | clipper.HAPPO:
    """PPO, or HAPPO with the same settings."""
    kind = clipper.HAPPO if way == "happo" else clipper.PPO
    return kind(
        gamma=1.0, horizon=8, epochs=4, minibatches=1, entropy_coef=0.01, learning_rate=1e-3,
        advantages=Standardised("batch"),
    )  # fmt: skip


def learn(way: str, options: Options, seed: int) -> clipper.Run:
    """One run."""
    agents = "shared" if way == "shared" else "separate"
    encoder = clipper.EncoderOptions(critic_only=("state",) if way == "central critic" else ())
    network = clipper.PolicyOptions(hidden=(32,), agents=agents, encoder=encoder)
    env = world(way, 32)
    return clipper.train(env, algorithm_of(way), policy=network, total_steps=options.total_steps, seed=seed)


def world(way: str, games: int) -> VectorEnv:
    """So many games."""
    if way == "central critic":
        return clipper.Agents(Parallel, games, state="observations")
    return clipper.make_env("clipper/Climbing-v0", games)


def joint_action(way: str, policy: clipper.ActorCritic) -> tuple[int, int]:
    """What both would do most likely."""
    first, second = policy.predict(world(way, 1).reset(seed=0)[0])
    return int(first), int(second)


def main() -> None:
    """Train, count, print."""
    options = tyro.cli(Options, description=__doc__)
    for way in options.ways:
        began, found = time.process_time(), Counter[tuple[int, int]]()
        for seed in range(1, options.seeds + 1):
            found[joint_action(way, learn(way, options, seed).policy)] += 1
        mean = sum(PAYOFF[pair] * count for pair, count in found.items()) / options.seeds
        ends = ", ".join(f"{pair} ({PAYOFF[pair]:g}) {count}" for pair, count in found.most_common())
        print(f"{way}: {ends}; mean return {mean:.2f}; {time.process_time() - began:.0f} s of processor time")


if __name__ == "__main__":
    main()
