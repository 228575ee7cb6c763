"""Games of two players by turns: the other player moves inside a step, so a column is an environment of one agent."""

from collections.abc import Callable
from typing import ClassVar, Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from clipper.data.tree_type import Tree
from clipper.data.values import shown
from clipper.environments.checks import MASK_KEYS
from clipper.environments.state import Outlasts
from clipper.environments.told_episodes import Info
from clipper.errors import ConfigError

LEARNER, OTHER = 1, 2


@runtime_checkable
class Game(Protocol):
    """The rules of a game that two players play by turns, on boards ``[n, cells]``."""

    observation_space: ClassVar[Box]
    """What a player sees."""
    action_space: ClassVar[Discrete]
    """Its moves."""
    cells: ClassVar[int]

    def legal(self, boards: np.ndarray) -> np.ndarray:
        """The moves that are legal, ``[n, K]``."""
        ...

    def see(self, boards: np.ndarray, player: int) -> np.ndarray:
        """What player 1 or 2 sees."""
        ...

    def play(self, boards: np.ndarray, player: int, action: np.ndarray) -> None:
        """A move of a player's on each board, in place."""
        ...

    def won(self, boards: np.ndarray, player: int) -> np.ndarray:
        """Where a player has won, ``[n]``."""
        ...

    def full(self, boards: np.ndarray) -> np.ndarray:
        """Where the game has ended without a winner, if nobody has won, ``[n]``."""
        ...


@runtime_checkable
class Opponent(Protocol):
    """Who plays the other seat, at N tables."""

    def sit(self, spaces: tuple[gymnasium.Space, gymnasium.Space], tables: int) -> None:
        """Take place, once, before the first game."""
        ...

    def begin(self, tables: np.ndarray, generator: np.random.Generator) -> None:
        """A game begins at these tables, ``[n]``."""
        ...

    def move(
        self, obs: np.ndarray, legal: np.ndarray, tables: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Its moves at these tables, ``[n]``."""
        ...

    def get_state(self) -> Tree:
        """What its next move depends on, the generator aside."""
        ...

    def set_state(self, tree: Tree, /) -> None:
        """The inverse."""
        ...


@runtime_checkable
class Hears(Protocol):
    """An opponent that asks how games end."""

    def ended(self, tables: np.ndarray, reward: np.ndarray) -> None:
        """Games have ended at these tables, ``[n]``, with what they paid the learner."""
        ...


class Uniform:
    """Plays any legal move, each with the same probability."""

    def sit(self, spaces: tuple[gymnasium.Space, gymnasium.Space], tables: int) -> None:
        pass

    def begin(self, tables: np.ndarray, generator: np.random.Generator) -> None:
        pass

    def move(
        self, obs: np.ndarray, legal: np.ndarray, tables: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        return np.where(legal, generator.random(legal.shape), -1).argmax(1)

    def get_state(self) -> Tree:
        return {}

    def set_state(self, tree: Tree, /) -> None:
        pass


class Turns(VectorEnv):
    """N tables at which the learner plays a game against an ``opponent``, in next-step autoreset mode.

    The learner begins every other game of a table; at odd tables the first one is the other's. A step is the learner's
    move and the reply to it, so what a reply ends pays the learner's last decision: 1 for a win, −1 for a loss, 0 for a
    draw. An illegal move loses. ``info["action_mask"]`` says what is legal, ``info["is_success"]`` where the learner
    has won.
    """

    def __init__(
        self, game: Callable[..., Game], num_envs: int, opponent: Opponent | None = None, **settings: object
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"a game is played at one table at least, not at {num_envs}")
        self.game, self.num_envs = game(**settings), num_envs
        if not isinstance(self.game, Game):
            raise ConfigError(
                f"{shown(self.game)} is no game of two: give a class that has what "
                "clipper.environments.agents.turns.Game says"
            )
        self.opponent = Uniform() if opponent is None else opponent
        if not isinstance(self.opponent, Opponent):
            raise ConfigError(f"an opponent has sit, begin, move, get_state and set_state, and {opponent!r} has not")
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space = self.game.observation_space
        self.single_action_space = self.game.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.boards = np.zeros((num_envs, self.game.cells), np.int8)
        self.waits = np.arange(num_envs) % 2 == 0
        """Whether the learner's next game is one in which the other begins; it changes with each game."""
        self.resets = np.zeros(num_envs, dtype=bool)
        """At which tables the next step begins a game."""
        self.hears = self.opponent.ended if isinstance(self.opponent, Hears) else None
        self.opponent.sit((self.single_observation_space, self.single_action_space), num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[np.ndarray, Info]:
        """Begin a game at each table; ``seed`` starts their common generator anew."""
        super().reset(seed=seed, options=options)
        if seed is not None:
            self.waits = np.arange(self.num_envs) % 2 == 0
        self.resets[:] = False
        self.begin(np.arange(self.num_envs))
        return self.game.see(self.boards, LEARNER), self.info(np.zeros(self.num_envs, dtype=bool))

    def step(self, actions: Tree) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]:
        """The learner's move and the reply at tables where a game goes on; at the others one begins."""
        reward, over = np.zeros(self.num_envs), np.zeros(self.num_envs, dtype=bool)
        going, begins = np.flatnonzero(~self.resets), np.flatnonzero(self.resets)
        moves = np.asarray(actions)[going]
        if not all(map(self.single_action_space.contains, moves)):
            raise ValueError(f"moves are numbers of {self.single_action_space}, not {moves.tolist()}")
        fair = self.game.legal(self.boards[going])[np.arange(len(going)), moves]
        reward[going[~fair]], over[going[~fair]] = -1, True
        going, moves = going[fair], moves[fair]
        self.play(going, LEARNER, moves, reward, over)
        self.reply(going[~over[going]], reward, over)
        if self.hears is not None and over.any():
            self.hears(np.flatnonzero(over), reward[over])
        if len(begins):
            self.begin(begins)
        self.resets = over
        return self.game.see(self.boards, LEARNER), reward, over.copy(), np.zeros_like(over), self.info(reward > 0)

    def play(self, tables: np.ndarray, player: int, moves: np.ndarray, reward: np.ndarray, over: np.ndarray) -> None:
        """A player's moves at these tables, and what they pay the learner."""
        boards = self.boards[tables]
        self.game.play(boards, player, moves)
        self.boards[tables] = boards
        won, lost = self.game.won(boards, LEARNER), self.game.won(boards, OTHER)
        reward[tables] = won * 1.0 - lost
        over[tables] = won | lost | self.game.full(boards)

    def reply(self, tables: np.ndarray, reward: np.ndarray, over: np.ndarray) -> None:
        """The other player's moves at these tables."""
        if len(tables):
            boards = self.boards[tables]
            obs, legal = self.game.see(boards, OTHER), self.game.legal(boards)
            self.play(tables, OTHER, self.opponent.move(obs, legal, tables, self.np_random), reward, over)

    def begin(self, tables: np.ndarray) -> None:
        """A game at each of these tables, with seats changed."""
        self.boards[tables] = 0
        self.waits[tables] ^= True
        self.opponent.begin(tables, self.np_random)
        nothing, never = np.zeros(self.num_envs), np.zeros(self.num_envs, dtype=bool)
        self.reply(tables[self.waits[tables]], nothing, never)

    def info(self, won: np.ndarray) -> Info:
        """What is legal, and where the learner has won."""
        return {MASK_KEYS[0]: self.game.legal(self.boards), "is_success": won}

    def get_state(self) -> Tree:
        """What the next step depends on, the generator ``np_random`` aside; the opponent's state is in it."""
        own = {"boards": self.boards.copy(), "waits": self.waits.copy(), "resets": self.resets.copy()}
        return own | {"opponent": self.opponent.get_state()}

    def set_state(self, tree: Tree) -> None:
        """The inverse of ``get_state``."""
        self.boards[:] = tree["boards"]
        self.waits, self.resets = tree["waits"].copy(), tree["resets"].copy()
        self.opponent.set_state(tree["opponent"])

    def get_lasting(self) -> Tree:
        """What the opponent has that outlasts games; None for nothing."""
        return self.opponent.get_lasting() if isinstance(self.opponent, Outlasts) else None

    def set_lasting(self, tree: Tree) -> None:
        """The inverse."""
        if isinstance(self.opponent, Outlasts):
            self.opponent.set_lasting(tree)
