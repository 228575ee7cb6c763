"""Markov decision processes so small that every trajectory is enumerated: expectations are sums, in float64."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from clipper.data.steps import Steps, Value
from clipper.data.trees import Tree
from clipper.distributions import Categorical


class Outcome(NamedTuple):
    """What may follow an action."""

    probability: float
    reward: float
    state: int


class Trajectory(NamedTuple):
    """One whole episode; ``states`` holds the last observation too."""

    states: list[int]
    actions: list[int]
    rewards: list[float]
    terminated: bool
    chance: float
    """The environment's part of its probability."""

    def probability(self, policy: "TabularPolicy") -> Tensor:
        """p(τ) = p(s₀) Πₜ π(aₜ|sₜ) p(sₜ₊₁|sₜ, aₜ)."""
        chosen = policy.logits.log_softmax(-1)[self.states[:-1], self.actions]
        return self.chance * chosen.sum().exp()

    def bootstrapped_return(self, values: Tensor) -> Tensor:
        """Σₜ rₜ, plus V of the last observation where a time limit cut the episode."""
        return sum(self.rewards) + (0 if self.terminated else 1) * values[self.states[-1]]


@dataclass(frozen=True)
class TinyMDP:
    """States 0, 1, …, of which ``terminal`` ends an episode; ``time_limit`` truncates it."""

    start: dict[int, float]
    dynamics: dict[tuple[int, int], list[Outcome]]
    terminal: int
    time_limit: int

    @property
    def actions(self) -> int:
        return 1 + max(action for _, action in self.dynamics)

    def trajectories(self) -> list[Trajectory]:
        """All of them."""
        return [t for state, p in self.start.items() for t in self._go_on(Trajectory([state], [], [], False, p))]

    def _go_on(self, so_far: Trajectory) -> Iterator[Trajectory]:
        if so_far.terminated or len(so_far.actions) == self.time_limit:
            yield so_far
            return
        for action in range(self.actions):
            for outcome in self.dynamics[so_far.states[-1], action]:
                longer = Trajectory(
                    [*so_far.states, outcome.state],
                    [*so_far.actions, action],
                    [*so_far.rewards, outcome.reward],
                    outcome.state == self.terminal,
                    so_far.chance * outcome.probability,
                )
                yield from self._go_on(longer)

    def exact_values(self, policy: "TabularPolicy") -> Tensor:
        """V(s) = Σₐ π(a|s) Σ p(s′, r|s, a) (r + V(s′)), by iterating as often as an episode is long."""
        chosen, values = policy.logits.detach().softmax(-1).tolist(), [0.0] * len(policy.logits)
        for _ in range(self.time_limit):
            new = [0.0] * len(values)
            for (state, action), outcomes in self.dynamics.items():
                for p, reward, successor in outcomes:
                    new[state] += chosen[state][action] * p * (reward + values[successor])
            values = new
        return torch.tensor(values, dtype=torch.float64)


UNEQUAL_LENGTHS = TinyMDP(
    start={0: 0.7, 1: 0.3},
    dynamics={
        (0, 0): [Outcome(0.8, 1.0, 3), Outcome(0.2, -0.5, 1)],
        (0, 1): [Outcome(0.6, 0.0, 1), Outcome(0.4, 0.3, 2)],
        (1, 0): [Outcome(1.0, 0.5, 2)],
        (1, 1): [Outcome(0.5, -1.0, 3), Outcome(0.5, 1.5, 2)],
        (2, 0): [Outcome(1.0, 2.0, 3)],
        (2, 1): [Outcome(0.9, -1.0, 3), Outcome(0.1, 4.0, 3)],
    },
    terminal=3,
    time_limit=3,
)
"""No state is met twice, so that V is exact: episodes last one, two or three decisions and always terminate."""

CUT_SHORT = TinyMDP(
    start={0: 1.0},
    dynamics={
        (0, 0): [Outcome(0.5, 1.0, 1), Outcome(0.5, 3.0, 2)],
        (0, 1): [Outcome(1.0, 0.2, 0)],
        (1, 0): [Outcome(1.0, -0.5, 0)],
        (1, 1): [Outcome(0.5, 2.0, 1), Outcome(0.3, 0.0, 0), Outcome(0.2, -2.0, 2)],
    },
    terminal=2,
    time_limit=3,
)
"""Would go round for ever, but is truncated after three decisions, unless it terminates before."""


class TabularPolicy(nn.Module):
    """One row of logits and one value per state; observations are the states' numbers."""

    def __init__(self, mdp: TinyMDP, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        size = mdp.terminal + 1
        self.logits = nn.Parameter(torch.randn(size, mdp.actions, generator=generator, dtype=torch.float64))
        # The terminal state has a value too, which nothing may use.
        self.values = nn.Parameter(torch.randn(size, generator=generator, dtype=torch.float64))

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Categorical, Tree]:
        return Categorical(self.logits[obs]), memory

    def value(self, obs: Tree, memory: Tree = ()) -> Value:
        return Value(self.values[obs])

    def forward(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Categorical, Value]:
        return self.act(obs)[0], self.value(obs)

    def to_env(self, action: Tree, action_mask: Tree = ()) -> np.ndarray:
        return action.numpy()

    def actor_parameters(self) -> list[nn.Parameter]:
        return [self.logits]

    def critic_parameters(self) -> list[nn.Parameter]:
        return [self.values]

    def absorb(self, obs: Tree, returns: Tensor) -> None:
        """A table keeps no statistics."""


@torch.no_grad()
def recorded(batch: list[Trajectory], policy: TabularPolicy) -> Steps:
    """Trajectories side by side as ``collect(episodes=…)`` records them, NaN wherever nothing may be read."""
    rows = 1 + max(len(t.actions) for t in batch)
    shape = (rows, len(batch))
    obs, action = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    reward = torch.full(shape, torch.nan, dtype=torch.float64)
    terminated, done, mask = torch.zeros(3, *shape, dtype=torch.bool)
    for n, t in enumerate(batch):
        length = len(t.actions)
        obs[: length + 1, n] = torch.tensor(t.states)
        action[:length, n] = torch.tensor(t.actions)
        reward[:length, n] = torch.tensor(t.rewards, dtype=torch.float64)
        mask[:length, n] = True
        terminated[length - 1, n], done[length - 1, n] = t.terminated, True
    log_prob = policy.act(obs)[0].log_prob(action).masked_fill(~mask, torch.nan)
    return Steps(obs, action, log_prob, reward, terminated, done, mask)
