"""Does self-play find perfect play? Tic-tac-toe against past selves, judged by every game that there is.

$ python benchmarks/self_play.py                    # a minute of processor time or two for each seed
$ python benchmarks/self_play.py --seeds 1 2 3 --total-steps 500000

Printed are, for each seat, wins, draws and losses of the most likely moves over every sequence of replies, and the
rate of games won against uniform moves, which even perfect play does not always win.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import tyro

import clipper
from clipper.environments.agents import TicTacToe
from clipper.environments.agents.tic_tac_toe import every_game
from clipper.learning.schedules import Linear


@dataclass(frozen=True, slots=True)
class Options:
    """What to run."""

    seeds: tuple[int, ...] = (1,)
    """One run after another."""
    total_steps: int = 1_000_000
    """Decisions of the learner."""
    uniform: float = 0.2
    """Share of the opponent's moves that are uniform."""
    tables: int = 256
    """Games side by side."""


def most_likely(policy: clipper.ActorCritic) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The policy's most likely legal moves."""

    def choose(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
        dist, _ = policy.act(torch.from_numpy(obs), (), torch.from_numpy(legal))
        return policy.to_env(dist.mode)

    return choose


def learn(options: Options, seed: int) -> clipper.Run:
    """One run."""
    network = clipper.PolicyOptions(hidden=(128, 128))
    pool = clipper.Pool(network, size=16, every=5, latest=0.5, uniform=options.uniform)
    algorithm = clipper.PPO(
        gamma=1.0, horizon=16, epochs=6, minibatches=8, learning_rate=Linear(1e-3), entropy_coef=Linear(0.05)
    )
    env = clipper.Turns(TicTacToe, options.tables, pool)
    return clipper.train(env, algorithm, policy=network, callback=pool, total_steps=options.total_steps, seed=seed)


def main() -> None:
    """Train, and print what every game says."""
    options = tyro.cli(Options, description=__doc__)
    for seed in options.seeds:
        began = time.process_time()
        run = learn(options, seed)
        seconds = time.process_time() - began
        for seat, name in enumerate(("begins", "replies")):
            wins, draws, losses = every_game(most_likely(run.policy), seat)
            print(f"seed {seed}, {name}: {wins} won, {draws} drawn, {losses} lost of all games")
        uniform = clipper.evaluate(run.policy, "clipper/TicTacToe-v0", episodes=1000, num_envs=100)
        print(f"seed {seed}, against uniform moves: {uniform}; {run.steps:,} steps, {seconds:.0f} s of processor time")


if __name__ == "__main__":
    main()
