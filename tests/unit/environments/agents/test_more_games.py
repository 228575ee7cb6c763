"""Connect four beside a walk over cells and PettingZoo's own; rock, paper, scissors by its games; looking ahead."""

from typing import Any

import numpy as np
import pytest

import clipper
from clipper.environments.agents import ConnectFour, LookAhead, RockPaperScissors, TicTacToe


def four(board: np.ndarray, player: int) -> bool:
    """Has a player four in a row, by walking from each cell in each direction?"""
    own = {(r, c) for r in range(6) for c in range(7) if board[r * 7 + c] == player}
    steps = ((0, 1), (1, 0), (1, 1), (1, -1))
    return any(all((r + k * u, c + k * v) in own for k in range(4)) for r, c in own for u, v in steps)


def test_connect_four_is_won_where_a_walk_finds_four() -> None:
    assert ConnectFour.lines.shape == (69, 4)
    generator, game = np.random.default_rng(0), ConnectFour()
    boards = generator.integers(3, size=(300, 42)).astype(np.int8)
    for player in (1, 2):
        assert game.won(boards, player).tolist() == [four(board, player) for board in boards]


def test_connect_four_is_pettingzoos() -> None:
    """Games of uniform moves, move by move: marks, what is legal, and how it ends."""
    module: Any = pytest.importorskip("pettingzoo.classic.connect_four_v3")
    generator, game, ended = np.random.default_rng(1), ConnectFour(), set()
    for _ in range(20):
        env = module.raw_env()
        env.reset(seed=0)
        board, player = np.zeros((1, 42), np.int8), 1
        while True:
            theirs = env.observe(env.agent_selection)
            ours = game.see(board, player).reshape(2, 6, 7)[:, ::-1].transpose(1, 2, 0)  # theirs are from above
            assert np.array_equal(theirs["observation"], ours)
            assert theirs["action_mask"].tolist() == game.legal(board)[0].tolist()
            move = int(generator.choice(np.flatnonzero(theirs["action_mask"])))
            env.step(move)
            game.play(board, player, np.array([move]))
            won, full = bool(game.won(board, player)[0]), bool(game.full(board)[0])
            assert any(env.terminations.values()) == (won or full)
            if won or full:
                assert env.rewards[f"player_{player - 1}"] == (1 if won else 0)
                ended.add(won)
                break
            player = 3 - player
    assert True in ended


def test_rock_paper_scissors_pays_what_its_nine_games_do() -> None:
    beats = {("paper", "rock"), ("scissors", "paper"), ("rock", "scissors")}
    names = ("rock", "paper", "scissors")

    class Chooses:
        def sit(self, spaces: Any, tables: int) -> None: ...
        def begin(self, tables: Any, generator: Any) -> None: ...
        def move(self, obs: np.ndarray, legal: Any, tables: np.ndarray, generator: Any) -> np.ndarray:
            assert not obs.any()
            return tables // 2 % 3

        def get_state(self) -> dict: ...
        def set_state(self, tree: Any, /) -> None: ...

    env = clipper.Turns(RockPaperScissors, 18, Chooses())  # at odd tables the other begins
    obs, _ = env.reset(seed=0)
    assert not obs.any()
    own = np.arange(18) // 6
    _, reward, over, _, _ = env.step(own)
    assert over.all()
    for i in range(18):
        mine, other = names[own[i]], names[i // 2 % 3]
        assert reward[i] == ((mine, other) in beats) - ((other, mine) in beats)


def test_who_looks_ahead_wins_and_blocks() -> None:
    game = TicTacToe()
    player, blind = LookAhead(game), LookAhead(game, blocks=False)
    generator = np.random.default_rng(0)
    boards = generator.integers(3, size=(400, 9)).astype(np.int8)
    boards[(boards != 0).all(1), 0] = 0
    obs, legal = game.see(boards, 2), game.legal(boards)
    for looks in (player, blind):
        moves = looks.move(obs, legal, np.arange(400), generator)
        assert legal[np.arange(400), moves].all()
        for board, move in zip(boards, moves.tolist(), strict=True):

            def wins(who: int, board: np.ndarray = board) -> set[int]:
                after = [(m, np.where(np.arange(9) == m, who, board)) for m in np.flatnonzero(board == 0).tolist()]
                return {m for m, b in after if game.won(b[None], who)[0]}

            if wins(2):
                assert move in wins(2)
            elif wins(1) and looks is player:
                assert move in wins(1)


def test_games_go_on_against_it() -> None:
    for kind, blocks in ((TicTacToe, False), (ConnectFour, True)):
        env = clipper.Turns(kind, 8, LookAhead(kind(), blocks))
        run = clipper.train(env, clipper.PPO(horizon=16, epochs=1), total_steps=200)
        assert set(run.recent) <= {-1, 0, 1}
        assert -1 in run.recent
