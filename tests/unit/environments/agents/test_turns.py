"""Games by turns: who is paid for what, every game against perfect and bad players, and pools of past selves."""

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from shape_checker import rest

import clipper
from clipper.environments import make
from clipper.environments.agents.tic_tac_toe import LINES, TicTacToe, every_game
from clipper.errors import ConfigError
from clipper.rollout.pool import score

OPTIONS = clipper.PolicyOptions(hidden=(16,))


class First:
    """Takes the first free cell."""

    def __init__(self) -> None:
        self.began: list[list[int]] = []

    def sit(self, spaces: Any, tables: int) -> None: ...

    def begin(self, tables: np.ndarray, generator: np.random.Generator) -> None:
        self.began.append(tables.tolist())

    def move(self, obs: np.ndarray, legal: np.ndarray, tables: np.ndarray, generator: Any) -> np.ndarray:
        return legal.argmax(1)

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, tree: Any, /) -> None: ...


def winner(board: tuple[int, ...]) -> int:
    return next((board[a] for a, b, c in LINES.tolist() if board[a] and board[a] == board[b] == board[c]), 0)


@cache
def worth(board: tuple[int, ...], player: int) -> int:
    """What the game is worth to player 1 under perfect play, ``player`` to move: plain minimax."""
    if winner(board) or all(board):
        return {0: 0, 1: 1, 2: -1}[winner(board)]
    values = [worth((*board[:i], player, *board[i + 1 :]), 3 - player) for i in range(9) if not board[i]]
    return max(values) if player == 1 else min(values)


def perfect(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    boards = (obs[:, :9] + 2 * obs[:, 9:]).astype(int)
    moves = []
    for board in map(tuple, boards.tolist()):
        values = [worth((*board[:i], 1, *board[i + 1 :]), 2) if not board[i] else -2 for i in range(9)]
        moves.append(int(np.argmax(values)))
    return np.array(moves)


def games(board: tuple[int, ...], mine: bool) -> np.ndarray:
    """Wins, draws and losses of who takes the first free cell, by a tree walk, board by board."""
    if winner(board) or all(board):
        return np.eye(3, dtype=int)[{1: 0, 0: 1, 2: 2}[winner(board)]]
    moves = [i for i in range(9) if not board[i]][: 1 if mine else None]
    return sum((games((*board[:i], 1 if mine else 2, *board[i + 1 :]), not mine) for i in moves), np.zeros(3, int))


def test_a_perfect_player_loses_none_of_all_games() -> None:
    assert worth((0,) * 9, 1) == 0
    for seat in (0, 1):
        wins, draws, losses = every_game(perfect, seat)
        assert losses == 0
        assert wins > 0
        assert draws > 0


def test_all_games_are_counted() -> None:
    for seat in (0, 1):
        counted = every_game(lambda obs, legal: legal.argmax(1), seat)
        assert counted == tuple(games((0,) * 9, seat == 0).tolist())
        assert counted[2] > 0


def test_what_a_reply_ends_pays_the_move_before_it_and_seats_alternate() -> None:
    opponent = First()
    env = clipper.Turns(TicTacToe, 2, opponent)
    _, info = env.reset(seed=0)
    assert env.boards.tolist() == [[0] * 9, [2] + [0] * 8]  # at table 1 the other begins
    assert info["action_mask"].tolist() == [[True] * 9, [False] + [True] * 8]
    rows = [env.step(np.array(moves)) for moves in ((8, 8), (7, 7), (5, 5), (0, 0))]
    # Table 0: 8, 0, 7, 1, 5, then the reply 2 makes a row. Table 1: 0 first, then 8, 1, 7, and the reply 2 does.
    assert [row[1].tolist() for row in rows] == [[0, 0], [0, -1], [-1, 0], [0, 0]]
    assert [row[2].tolist() for row in rows] == [[False, False], [False, True], [True, False], [False, False]]
    assert opponent.began == [[0, 1], [1], [0]]
    assert env.boards.tolist() == [[2, *[0] * 8], [1, 2, *[0] * 7]]  # at table 0 the other begins now


def test_a_win_and_an_illegal_move() -> None:
    env = clipper.Turns(TicTacToe, 1, First())
    env.reset(seed=0)
    for move in (4, 3):  # replies 0, 1
        env.step(np.array([move]))
    _, reward, terminated, _, info = env.step(np.array([5]))
    assert (reward[0], terminated[0], info["is_success"][0]) == (1, True, True)
    env.step(np.array([0]))
    _, reward, terminated, _, _ = env.step(np.array([0]))  # where the other began
    assert (reward[0], terminated[0]) == (-1, True)


def test_a_pool_draws_the_latest_and_the_past_and_plays_as_they_do(tmp_path: Path) -> None:
    pool = clipper.Pool(OPTIONS, size=3, every=1, latest=0.5)
    env = clipper.Turns(TicTacToe, 64, pool)
    policies: list[Any] = []

    def keep(run: Any) -> None:
        policies.append({name: x.clone() for name, x in run.policy.state_dict().items()})

    algorithm = clipper.PPO(horizon=8, epochs=1)
    run = clipper.train(env, algorithm, policy=OPTIONS, total_steps=2048, callback=[keep, pool])
    assert pool.joined == len(policies) >= 5
    env.reset(seed=1)
    pool.begin(np.arange(64), np.random.default_rng(0))
    newest = pool.joined - 1
    assert set(pool.member.tolist()) == {newest, newest - 1, newest - 2}
    assert 0.5 < (pool.member == newest).mean() < 0.83  # expected: ½ + ½ · ⅓
    obs, legal = np.zeros((5, 18), np.float32), np.ones((5, 9), bool)
    run.policy.load_state_dict(policies[-2])
    dist, _ = run.policy.act(torch.from_numpy(obs), (), torch.from_numpy(legal))
    first, second = (torch.Generator().manual_seed(7) for _ in range(2))
    assert pool.moves_of(newest - 1, obs, legal, first).tolist() == dist.sample(second).tolist()


def test_games_begin_anew_with_a_seed() -> None:
    """Also against members of a pool, whose moves are drawn."""
    pool = clipper.Pool(OPTIONS, every=1)
    env = clipper.Turns(TicTacToe, 16, pool)
    clipper.train(env, clipper.PPO(horizon=8, epochs=1), policy=OPTIONS, total_steps=256, callback=pool)

    def game() -> list[list[float]]:
        obs, info = env.reset(seed=3)
        seen = [obs.ravel().tolist()]
        for _ in range(6):
            obs, _, _, _, info = env.step(info["action_mask"].argmax(1))
            seen.append(obs.ravel().tolist())
        return seen

    assert game() == game()


def test_a_run_of_self_play_is_resumed_exactly(tmp_path: Path) -> None:
    def parts() -> tuple[clipper.Turns, clipper.Pool]:
        pool = clipper.Pool(OPTIONS, size=2, every=1)
        return clipper.Turns(TicTacToe, 8, pool), pool

    algorithm = clipper.PPO(horizon=8, epochs=1)
    env, pool = parts()
    whole = clipper.train(env, algorithm, policy=OPTIONS, total_steps=400, callback=pool)
    env, pool = parts()
    clipper.train(env, algorithm, policy=OPTIONS, total_steps=200, callback=pool, run_dir=tmp_path / "run")
    env, pool = parts()
    resumed = clipper.train(env, resume=tmp_path / "run", total_steps=400, callback=pool)
    assert resumed.steps == whole.steps
    assert torch.equal(whole.learner.parameters, resumed.learner.parameters)


@pytest.mark.parametrize("size", [2, 3, 5, 8])
def test_a_pool_of_another_size_keeps_the_latest(size: int) -> None:
    members = np.arange(15.0, dtype=np.float32).reshape(5, 3)  # the eighth has joined: rows are of 5, 6, 7, 3, 4
    pool = clipper.Pool(OPTIONS, size=size)
    pool.set_lasting({"members": members, "ratings": np.arange(5.0), "joined": 8})
    pool.set_state({"member": np.array([-1, 3, 7, 5])})
    assert pool.members is not None
    kept = range(8 - min(size, 5), 8)
    for k in kept:
        assert pool.members[k % size].tolist() == members[k % 5].tolist()
        assert pool.ratings[k % size] == k % 5
    assert pool.member.tolist() == [-1, *(k if k in kept else 7 for k in (3, 7, 5))]
    again = clipper.Pool(OPTIONS, size=size, latest=0.0)
    again.set_lasting(pool.get_lasting())
    again.member = np.zeros(1000, np.int64)
    again.begin(np.arange(1000), np.random.default_rng(0))
    assert {*again.member.tolist()} == {*kept}, "nobody plays who was not kept, also after a second resumption"


def test_a_game_against_uniform_moves_goes_by_its_id() -> None:
    run = clipper.train("clipper/TicTacToe-v0", clipper.PPO(horizon=8, epochs=1), num_envs=4, total_steps=64)
    evaluation = run.evaluate(episodes=8)
    assert set(evaluation.returns.tolist()) <= {-1, 0, 1}
    assert make("clipper/TicTacToe-v0", 3).single_action_space.n == 9  # pyright: ignore[reportAttributeAccessIssue]


def test_a_pool_refuses_what_it_cannot_play_with() -> None:
    rest()
    with pytest.raises(ConfigError, match="whole numbers from 1 on"):
        clipper.Pool(OPTIONS, size=0)
    with pytest.raises(ConfigError, match="whole numbers"):
        clipper.Pool(OPTIONS, size=2.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="no memory"):
        clipper.Pool(dataclasses.replace(OPTIONS, memory="lstm"))
    for other in (clipper.PolicyOptions(hidden=(8,)), dataclasses.replace(OPTIONS, activation="relu")):
        pool = clipper.Pool(other, every=1)
        with pytest.raises(ConfigError, match="another network"):
            clipper.train(
                clipper.Turns(TicTacToe, 2, pool), clipper.PPO(horizon=8), policy=OPTIONS, total_steps=16, callback=pool
            )
    with pytest.raises(ConfigError, match="one table at least"):
        clipper.Turns(TicTacToe, 0)
    with pytest.raises(ConfigError, match="an opponent has sit"):
        clipper.Turns(TicTacToe, 2, 3)  # pyright: ignore[reportArgumentType]
    env = clipper.Turns(TicTacToe, 2)
    env.reset(seed=0)
    for move in (12, -1):
        with pytest.raises(ValueError, match="moves are numbers of Discrete"):
            env.step(np.array([0, move]))


def test_a_pool_outlasts_games_that_are_not_kept(tmp_path: Path) -> None:
    """Another number of tables, and games that raise, begin anew; past selves stay."""

    def parts(tables: int) -> tuple[clipper.Turns, clipper.Pool]:
        pool = clipper.Pool(OPTIONS, size=3, every=1, rated=4)
        return clipper.Turns(TicTacToe, tables, pool), pool

    env, before = parts(8)
    algorithm = clipper.PPO(horizon=8, epochs=1)
    clipper.train(env, algorithm, policy=OPTIONS, total_steps=256, callback=before, run_dir=tmp_path / "run")
    env, after = parts(5)
    taken: list[Any] = []
    run = clipper.train(
        env, resume=tmp_path / "run", total_steps=300, callback=[lambda run: taken.append(after.get_lasting()), after]
    )
    assert not run.exact
    assert taken[0]["joined"] == before.joined
    assert before.members is not None
    assert np.array_equal(taken[0]["members"], before.members.numpy())
    assert taken[0]["ratings"].tolist() == before.ratings.tolist()

    def fails(*_: Any) -> None:
        raise RuntimeError("a game that fails")

    env, last = parts(5)
    env.game.play = fails  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(RuntimeError, match="a game that fails"):
        clipper.train(env, resume=tmp_path / "run", total_steps=500, callback=last)
    env, again = parts(5)
    clipper.train(env, resume=tmp_path / "run", total_steps=600, callback=again)
    assert again.joined > after.joined
    other = clipper.Pool(clipper.PolicyOptions(hidden=(4,)), every=1)
    with pytest.raises(clipper.errors.ConfigError, match="are needed"):
        clipper.train(clipper.Turns(TicTacToe, 5, other), resume=tmp_path / "run", total_steps=900, callback=other)


def test_games_against_the_latest_and_the_past_are_counted() -> None:
    """Beside a count by hand, over the rewards of a run's own steps."""
    pool = clipper.Pool(OPTIONS, size=8, every=1, latest=0.5)
    env = clipper.Turns(TicTacToe, 16, pool)
    seen: list[Any] = []
    step = env.step

    def watched(actions: Any) -> Any:
        member, newest = pool.member.copy(), pool.joined - 1
        answer = step(actions)
        seen.extend((member[i], newest, answer[1][i]) for i in np.flatnonzero(answer[2]))
        return answer

    env.step = watched
    rows: list[Any] = []

    def keep(run: Any) -> None:
        rows.append((seen.copy(), dict(run.noted)))
        seen.clear()

    clipper.train(env, clipper.PPO(horizon=16, epochs=1), policy=OPTIONS, total_steps=600, callback=[pool, keep])
    for games, noted in rows[1:]:
        for whom, own in (
            ("latest", [r for m, newest, r in games if m == newest]),
            ("past", [r for m, newest, r in games if 0 <= m < newest]),
        ):
            for how, reward in (("win", 1), ("draw", 0), ("loss", -1)):
                if own:
                    assert noted[f"selfplay/{whom}/{how}"] == pytest.approx(own.count(reward) / len(own))


def test_ratings_are_those_of_games_from_fixed_seeds() -> None:
    pool = clipper.Pool(OPTIONS, size=4, every=1, rated=20)
    env = clipper.Turns(TicTacToe, 16, pool)
    told: list[float] = []
    clipper.train(
        env, clipper.PPO(horizon=16, epochs=4, learning_rate=1e-2), policy=OPTIONS, total_steps=900,
        callback=[pool, lambda run: told.append(run.noted["selfplay/elo"])],
    )  # fmt: skip
    assert told[0] == 0
    newest = pool.joined - 1
    game = TicTacToe()
    assert score(pool, game, (newest, newest - 1), 20) == score(pool, game, (newest, newest - 1), 20)
    total, points = 0.0, 0.0
    for rival in range(newest - 3, newest):
        points += score(pool, game, (newest, rival), 20) + 0.5
        total += 21 / (1 + 10 ** ((float(pool.ratings[rival % 4]) - told[-1]) / 400))
    assert points == pytest.approx(total, abs=1e-3)
    again = pool.rate(game)
    assert again == pytest.approx(told[-1])
