"""Self-play: a pool of what a policy was before, whose members play the other seat of a game by turns."""

from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
import torch
from torch import Generator, Tensor, nn

from clipper.data.tree_type import Tree
from clipper.data.values import shown
from clipper.errors import ConfigError
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions


@runtime_checkable
class Learning(Protocol):
    """What a pool asks of a run."""

    iteration: int

    @property
    def policy(self) -> Any:
        """Who learns."""
        ...


class Pool:
    """Past selves as an opponent of ``Turns``, and the callback that adds the policy to them.

    ``train(Turns(game, N, pool), policy=options, callback=pool)``: each ``every`` iterations the policy joins, in the
    place of the oldest once there are ``size``. As a game begins, its opponent is drawn: the latest with probability
    ``latest``, else any of the pool, each with the same (OpenAI et al. 2019, arXiv:1912.06680, plays 80 % of its games
    against the latest). Before the first has joined, moves are uniform, and so is later a share ``uniform`` of all
    moves: it leads the learner to positions that no member plays into, where members then go on. Members' moves are
    sampled, by one batched forward pass for each distinct member. All of it is in the environment's state, so a run
    goes on bit for bit.

    Raises ``ConfigError`` where the run's policy is another network than ``options`` make.
    """

    def __init__(
        self, options: PolicyOptions, size: int = 16, every: int = 10, latest: float = 0.5, uniform: float = 0.0
    ) -> None:
        whole = all(isinstance(x, int) and x >= 1 for x in (size, every))
        if not whole or not (0 <= latest <= 1 and 0 <= uniform <= 1):
            raise ConfigError(
                "a pool has size and every, whole numbers from 1 on, and latest and uniform from 0 to 1, not "
                f"{size}, {every}, {latest} and {uniform}"
            )
        if options.memory is not None:
            raise ConfigError("a pool's players have no memory: leave out memory")
        self.options, self.size, self.every, self.latest, self.uniform = options, size, every, latest, uniform
        self.members: Tensor | None = None
        """Their parameters and statistics, ``[size, P]``; None before the first."""
        self.joined = 0
        """How many have joined; member k lies in row k % size."""
        self.member = np.zeros(0, np.int64)
        """Who plays at each table, ``[N]``; −1 for uniform moves."""
        self.player: ActorCritic | None = None

    def sit(self, spaces: tuple[gymnasium.Space, gymnasium.Space], tables: int) -> None:
        self.player = make_policy(*spaces, self.options, Generator().manual_seed(0)).requires_grad_(False)
        self.member = np.full(tables, -1, np.int64)

    def __call__(self, run: Learning) -> None:
        if run.iteration % self.every:
            return
        row = vector_of(run.policy)
        if self.player is None or run.policy.options != self.options or len(row) != len(vector_of(self.player)):
            raise ConfigError(
                f"the pool's players are made by {shown(self.options)}, and the run's policy is another network: hand "
                "train(policy=…) the same options, and its environment this pool"
            )
        if self.members is None:
            self.members = torch.zeros(self.size, len(row))
        self.members[self.joined % self.size] = row
        self.joined += 1

    def begin(self, tables: np.ndarray, generator: np.random.Generator) -> None:
        if self.joined:
            there = min(self.joined, self.size)
            any_of = self.joined - 1 - generator.integers(there, size=len(tables))
            newest = generator.random(len(tables)) < self.latest
            self.member[tables] = np.where(newest, self.joined - 1, any_of)

    def move(
        self, obs: np.ndarray, legal: np.ndarray, tables: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        moves = np.where(legal, generator.random(legal.shape), -1).argmax(1)
        members = np.where(generator.random(len(tables)) < self.uniform, -1, self.member[tables])
        for k in np.unique(members[members >= 0]).tolist():
            mine = np.flatnonzero(members == k)
            draws = Generator().manual_seed(int(generator.integers(2**63)))  # the game's own generator seeds them
            moves[mine] = self.moves_of(k, obs[mine], legal[mine], draws)
        return moves

    @torch.no_grad()
    def moves_of(self, k: int, obs: np.ndarray, legal: np.ndarray, draws: Generator) -> np.ndarray:
        """Moves of member k, or of the one that has taken its place since."""
        assert self.player is not None
        assert self.members is not None
        load(self.player, self.members[k % self.size])
        dist, _ = self.player.act(torch.from_numpy(obs), (), torch.from_numpy(legal))
        return self.player.to_env(dist.sample(draws))

    def get_state(self) -> Tree:
        members = None if self.members is None else self.members.numpy().copy()
        return {"members": members, "joined": self.joined, "member": self.member.copy()}

    def set_state(self, tree: Tree, /) -> None:
        members, self.joined, self.member = tree["members"], tree["joined"], tree["member"].copy()
        if members is None or len(members) == self.size:
            self.members = None if members is None else torch.from_numpy(members.copy())
            return
        kept = min(self.joined, len(members), self.size)
        self.members = torch.zeros(self.size, members.shape[1])
        for k in range(self.joined - kept, self.joined):  # a pool of another size keeps the latest
            self.members[k % self.size] = torch.from_numpy(members[k % len(members)].copy())
        lost = (self.member >= 0) & (self.member < self.joined - kept)
        self.member = np.where(lost, self.joined - 1, self.member)


def floats_of(policy: nn.Module) -> list[Tensor]:
    """A policy's parameters and statistics that have fractions."""
    return [x for x in policy.state_dict().values() if x.is_floating_point()]


def vector_of(policy: nn.Module) -> Tensor:
    """They as one vector of float32."""
    return torch.cat([x.detach().reshape(-1).float().cpu() for x in floats_of(policy)])


def load(policy: nn.Module, vector: Tensor) -> None:
    """The inverse, in place."""
    own = floats_of(policy)
    for x, part in zip(own, vector.split([x.numel() for x in own]), strict=True):
        x.copy_(part.view_as(x))
