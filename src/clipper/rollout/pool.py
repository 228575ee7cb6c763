"""Self-play: a pool of what a policy was before, whose members play the other seat of a game by turns."""

from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
import torch
from torch import Generator, Tensor, nn

from clipper.data.tree_type import Tree
from clipper.data.values import shown
from clipper.environments.agents.turns import Game, Turns, Uniform
from clipper.errors import ConfigError
from clipper.functional.ratings import elo
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.protocol import Rollouts, abilities

RIVALS = 10
"""Members before it against which a new one is rated."""


@runtime_checkable
class Learning(Protocol):
    """What a pool asks of a run."""

    iteration: int
    rollouts: Rollouts

    @property
    def policy(self) -> Any:
        """Who learns."""
        ...

    def note(self, name: str, number: object) -> None:
        """Add a number to the next row of metrics."""
        ...


class Pool:
    """Past selves as an opponent of ``Turns``, and the callback that adds the policy to them.

    ``train(Turns(game, N, pool), policy=options, callback=pool)``: each ``every`` iterations the policy joins, in the
    place of the oldest once there are ``size``. As a game begins, its opponent is drawn: the latest with probability
    ``latest``, otherwise any of the pool, each equally (OpenAI et al. 2019, arXiv:1912.06680, plays 80 % of its games
    against the latest). Before the first has joined, moves are uniform, and so is later a share ``uniform`` of all
    moves: it leads the learner to positions that no member plays into, where members then go on. Members' moves are
    sampled, by one batched forward pass for each distinct member.

    Each row of metrics has the share of games won, drawn and lost against the latest member and against the past ones,
    ``selfplay/latest/win``. With ``rated`` games, a member that joins plays as many against each of the ten before it,
    from fixed seeds, and ``selfplay/elo`` is its rating, where the first member's is 0 (``functional.ratings``).

    Members and ratings are saved with a run, also where its games are not, as with another number of tables; who plays
    at which table is in the environment's state. So a run goes on bit for bit.

    Raises ``ConfigError`` where the run's policy is another network than ``options`` make.
    """

    def __init__(
        self, options: PolicyOptions, size: int = 16, every: int = 10, latest: float = 0.5, uniform: float = 0.0,
        *, rated: int = 0,
    ) -> None:  # fmt: skip
        whole = all(isinstance(x, int) and x >= least for x, least in ((size, 1), (every, 1), (rated, 0)))
        if not whole or not (0 <= latest <= 1 and 0 <= uniform <= 1):
            raise ConfigError(
                "a pool has size and every, whole numbers from 1 on, rated, one from 0 on, and latest and uniform from "
                f"0 to 1, not {size}, {every}, {rated}, {latest} and {uniform}"
            )
        if options.memory is not None or options.agents != "shared":
            raise ConfigError("a pool's players have no memory, and one network each: leave out memory and agents")
        self.options, self.size, self.every, self.latest, self.uniform = options, size, every, latest, uniform
        self.rated = rated
        self.members: Tensor | None = None
        """Their parameters and statistics, ``[size, P]``; None before the first."""
        self.ratings = torch.zeros(size, dtype=torch.float64)
        """Their ratings, in the same rows."""
        self.joined = 0
        """How many have joined; member k lies in row k % size."""
        self.member = np.zeros(0, np.int64)
        """Who plays at each table, ``[N]``; −1 for uniform moves."""
        self.results = np.zeros((2, 3), np.int64)
        """Games won, drawn and lost against the latest and the past, since the last iteration."""
        self.oldest = 0
        """The first member that a pool of another size has kept."""
        self.player: ActorCritic | None = None

    def sit(self, spaces: tuple[gymnasium.Space, gymnasium.Space], tables: int) -> None:
        self.player = make_policy(*spaces, self.options, Generator().manual_seed(0)).requires_grad_(False)
        self.member = np.full(tables, -1, np.int64)

    def __call__(self, run: Learning) -> None:
        self.tell(run)
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
        env = abilities(run.rollouts).env
        if self.rated and env is not None and isinstance(env.unwrapped, Turns):
            run.note("selfplay/elo", self.rate(env.unwrapped.game))

    def tell(self, run: Learning) -> None:
        """Note how the games since the last iteration ended."""
        for whom, games in zip(("latest", "past"), self.results, strict=True):
            for how, number in zip(("win", "draw", "loss"), games.tolist(), strict=True):
                if games.sum():
                    run.note(f"selfplay/{whom}/{how}", number / int(games.sum()))
        self.results[:] = 0

    def rate(self, game: Game) -> float:
        """The newest member's rating, from ``rated`` games against each of those before it."""
        newest = self.joined - 1
        rivals = list(range(max(newest - min(RIVALS, self.size - 1), self.oldest), newest))
        points = [score(self, game, (newest, rival), self.rated) for rival in rivals]
        others = self.ratings[[rival % self.size for rival in rivals]]
        games = torch.full_like(others, self.rated)
        rating = elo(torch.tensor(points, dtype=torch.float64), games, others) if rivals else others.sum()
        self.ratings[newest % self.size] = rating
        return float(rating)

    def begin(self, tables: np.ndarray, generator: np.random.Generator) -> None:
        if self.joined:
            there = min(self.joined - self.oldest, self.size)
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

    def ended(self, tables: np.ndarray, reward: np.ndarray) -> None:
        """Games have ended at these tables, with what they paid the learner."""
        member = self.member[tables]
        for whom, there in enumerate((member == self.joined - 1, member < self.joined - 1)):
            own = reward[there & (member >= 0)]
            self.results[whom] += (own > 0).sum(), (own == 0).sum(), (own < 0).sum()

    @torch.no_grad()
    def moves_of(self, k: int, obs: np.ndarray, legal: np.ndarray, draws: Generator) -> np.ndarray:
        """Moves of member k, or of the one that has taken its place since."""
        assert self.player is not None
        assert self.members is not None
        load(self.player, self.members[k % self.size])
        dist, _ = self.player.act(torch.from_numpy(obs), (), torch.from_numpy(legal))
        return self.player.to_env(dist.sample(draws))

    def get_state(self) -> Tree:
        return {"member": self.member.copy()}

    def set_state(self, tree: Tree, /) -> None:
        self.member = tree["member"].copy()
        lost = (self.member >= 0) & (self.member < self.oldest)
        self.member = np.where(lost, self.joined - 1, self.member)

    def get_lasting(self) -> Tree:
        """What outlasts the games."""
        members = None if self.members is None else self.members.numpy().copy()
        ratings = self.ratings.numpy().copy()
        return {"members": members, "ratings": ratings, "joined": self.joined, "oldest": self.oldest}

    def set_lasting(self, tree: Tree, /) -> None:
        """The inverse; a pool of another size keeps the latest."""
        members, ratings, self.joined = tree["members"], tree["ratings"], int(tree["joined"])
        self.members, self.ratings = None, torch.zeros(self.size, dtype=torch.float64)
        if self.joined < 0 or (members is None) != (self.joined == 0):
            raise ValueError(f"{self.joined} members have joined, and there are {shown(members)}")
        if members is None:
            return
        wanted = len(vector_of(self.player)) if self.player is not None else members.shape[1]
        if members.shape != (len(ratings), wanted) or not np.isfinite(members).all():
            raise ValueError(f"members have {members.shape[1]:,} finite numbers each, and {wanted:,} are needed")
        self.members = torch.zeros(self.size, members.shape[1])
        kept = min(self.joined, len(members), self.size)
        self.oldest = max(int(tree.get("oldest", 0)), 0 if len(members) == self.size else self.joined - kept)
        for k in range(self.joined - kept, self.joined):
            self.members[k % self.size] = torch.from_numpy(members[k % len(members)].copy())
            self.ratings[k % self.size] = float(ratings[k % len(members)])


class Seat(Uniform):
    """One member of a pool as an opponent."""

    def __init__(self, pool: Pool, k: int) -> None:
        self.pool, self.k = pool, k

    def move(
        self, obs: np.ndarray, legal: np.ndarray, tables: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        return self.pool.moves_of(self.k, obs, legal, Generator().manual_seed(int(generator.integers(2**63))))


def score(pool: Pool, game: Game, players: tuple[int, int], games: int) -> float:
    """Points of the first member in games against the second, a draw for ½; each begins every other one.

    Their seeds are the members' numbers, so the same games come out whenever they are played.
    """
    first, second = players
    env = Turns(lambda: game, games, Seat(pool, second))
    draws = Generator().manual_seed(first << 32 | second)
    obs, info = env.reset(seed=first << 32 | second)
    goes_on, points = np.ones(games, dtype=bool), 0.0
    while goes_on.any():
        legal = info["action_mask"] | ~goes_on[:, None]
        obs, reward, over, _, info = env.step(pool.moves_of(first, obs, legal, draws))
        points += float((reward[goes_on & over] + 1).sum()) / 2
        goes_on &= ~over
    return points


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
