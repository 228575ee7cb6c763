"""Does self-play find good play? Three games against past selves.

$ python benchmarks/self_play.py                    # tic-tac-toe: a minute of processor time or two for each seed
$ python benchmarks/self_play.py --seeds 1 2 3 --total-steps 500000
$ python benchmarks/self_play.py --game rock-paper-scissors --total-steps 200000
$ python benchmarks/self_play.py --game connect-four --total-steps 2000000

Tic-tac-toe is judged by every game that there is: printed are, for each seat, wins, draws and losses of the most likely
moves over every sequence of replies, and the rate of games won against uniform moves, which even perfect play does not
always win. Rock, paper, scissors has one optimum, ⅓ each; printed is the mean over the pool's members. Connect four
plays 1,000 games against a player that wins where it can, and one that stops the other's wins, too (``LookAhead``).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import tyro

import clipper
from clipper.environments.agents import ConnectFour, LookAhead, RockPaperScissors, TicTacToe
from clipper.environments.agents.tic_tac_toe import every_game
from clipper.environments.agents.turns import Game
from clipper.learning.schedules import Linear
from clipper.rollout.pool import load

GAMES: dict[str, type[TicTacToe] | type[RockPaperScissors] | type[ConnectFour]] = {
    "tic-tac-toe": TicTacToe, "rock-paper-scissors": RockPaperScissors, "connect-four": ConnectFour,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """What to run."""

    game: Literal["tic-tac-toe", "rock-paper-scissors", "connect-four"] = "tic-tac-toe"
    """Which one."""
    seeds: tuple[int, ...] = (1,)
    """One run after another."""
    total_steps: int = 1_000_000
    """Decisions of the learner."""
    uniform: float = 0.2
    """Share of the opponent's moves that are uniform; of rock, paper, scissors none are."""
    tables: int = 256
    """Games side by side."""
    rated: int = 0
    """Games with which each member of the pool is rated against those before it (selfplay/elo)."""


def most_likely(policy: clipper.ActorCritic) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The policy's most likely legal moves."""

    def choose(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
        dist, _ = policy.act(torch.from_numpy(obs), (), torch.from_numpy(legal))
        return policy.to_env(dist.mode)

    return choose


def pool_of(options: Options, network: clipper.PolicyOptions) -> clipper.Pool:
    """Past selves; those of rock, paper, scissors all count alike, so that they play fictitious play."""
    if options.game == "rock-paper-scissors":
        return clipper.Pool(network, size=200, every=1, latest=0.0, rated=options.rated)
    return clipper.Pool(network, size=16, every=5, latest=0.5, uniform=options.uniform, rated=options.rated)


def learn(options: Options, seed: int) -> tuple[clipper.Run, clipper.Pool]:
    """One run."""
    widths = {"tic-tac-toe": (128, 128), "rock-paper-scissors": (16,), "connect-four": (256, 256)}[options.game]
    network = clipper.PolicyOptions(hidden=widths)
    pool = pool_of(options, network)
    algorithm = clipper.PPO(
        gamma=1.0,
        horizon=16,
        epochs=6,
        minibatches=8,
        learning_rate=Linear(1e-3),
        entropy_coef=0.0 if options.game == "rock-paper-scissors" else Linear(0.05),
    )
    env = clipper.Turns(GAMES[options.game], options.tables, pool)
    run = clipper.train(env, algorithm, policy=network, callback=pool, total_steps=options.total_steps, seed=seed)
    return run, pool


def judge_tic_tac_toe(run: clipper.Run, told: str) -> None:
    """Every game, and games against uniform moves."""
    for seat, name in enumerate(("begins", "replies")):
        wins, draws, losses = every_game(most_likely(run.policy), seat)
        print(f"{told}, {name}: {wins} won, {draws} drawn, {losses} lost of all games")
    uniform = clipper.evaluate(run.policy, "clipper/TicTacToe-v0", episodes=1000, num_envs=100)
    print(f"{told}, against uniform moves: {uniform}")


def judge_connect_four(run: clipper.Run, told: str) -> None:
    """Games against players that look ahead, of which the policy's moves are the most likely ones."""
    game: Game = ConnectFour()
    for name, opponent in (
        ("uniform moves", None),
        ("one step, own wins", LookAhead(game, blocks=False)),
        ("one step, own wins and the other's", LookAhead(game)),
    ):
        env = clipper.Turns(ConnectFour, 100, opponent)
        found = clipper.evaluate(run.policy, env, episodes=1000).returns
        won, drawn, lost = (found > 0).mean(), (found == 0).mean(), (found < 0).mean()
        print(f"{told}, against {name}: {won:.3f} won, {drawn:.3f} drawn, {lost:.3f} lost of {len(found)}")


def judge_rock_paper_scissors(pool: clipper.Pool, policy: clipper.ActorCritic, told: str) -> None:
    """The mean of the members' policies, and the last one's."""
    assert pool.members is not None
    assert pool.player is not None
    last, chances = policy.distribution(np.zeros((1, 1), np.float32)).probs[0].tolist(), []
    with torch.no_grad():
        for row in pool.members[: pool.joined]:
            load(pool.player, row)
            chances.append(pool.player.distribution(np.zeros((1, 1), np.float32)).probs[0])
    mean = torch.stack(chances).mean(0).tolist()
    print(f"{told}: the mean of {len(chances)} members is {mean}, the last policy {last}")


def main() -> None:
    """Train, and print what the games say."""
    options = tyro.cli(Options, description=__doc__)
    for seed in options.seeds:
        began = time.process_time()
        run, pool = learn(options, seed)
        told = f"{options.game}, seed {seed}"
        print(f"{told}: {run.steps:,} decisions, {time.process_time() - began:.0f} s of processor time")
        if options.rated:
            print(f"{told}: selfplay/elo of the last member {run.noted['selfplay/elo']:.0f}")
        if options.game == "tic-tac-toe":
            judge_tic_tac_toe(run, told)
        elif options.game == "connect-four":
            judge_connect_four(run, told)
        else:
            judge_rock_paper_scissors(pool, run.policy, told)


if __name__ == "__main__":
    main()
