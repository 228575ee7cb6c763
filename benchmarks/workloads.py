"""The work that speed.py gives to every library, and the fastest that arithmetic lets it be done."""

import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """Adam at a constant rate, PPO's usual rest, and two separate tanh networks, or for a ``game`` one from pixels."""

    name: str
    env: str
    sizes: tuple[int, int]
    """Length of an observation, and of what the actor puts out."""
    learning_rate: float
    horizon: int
    epochs: int
    minibatches: int
    iterations: int
    hidden: tuple[int, ...] = (64, 64)
    num_envs: int = 8
    native: bool = False
    """All environments in one, vectorised by who wrote it: never compared with environments stepped one by one."""
    continuous: bool = False
    """Whether actions are Gaussian."""
    game: bool = False
    """An Atari game with the usual preprocessing and Nature's network, which actor and critic share."""
    choices: bool = False
    """Whether observations are choices, not numbers."""
    memory: int = 0
    """Units of an LSTM in actor and critic each."""
    threads: int = 1
    """That each side may use."""
    warmup: int = 3
    """Iterations at the start that are not timed."""
    seed: int = 1

    @property
    def optimizer_steps(self) -> int:
        """What every side has to take over the whole run."""
        return self.iterations * self.epochs * self.minibatches

    @property
    def words(self) -> str:
        """The settings in one line."""
        size = self.num_envs * self.horizon // self.minibatches
        network = "Nature's network" if self.game else f"networks {'-'.join(map(str, self.hidden))}"
        network += f" with an LSTM of {self.memory} each" if self.memory else ""
        return (
            f"{self.env}{', natively vectorised' if self.native else ''}, {network}, "
            f"{self.num_envs} environments × {self.horizon} steps, {self.epochs} "
            f"epochs × {self.minibatches} minibatches of {size}, learning rate {self.learning_rate}, {self.threads} "
            f"thread{'s' if self.threads > 1 else ''}, {self.iterations} iterations of which {self.warmup} are warm-up"
        )


def cartpole(name: str, **changes: object) -> Workload:
    """W1, and what is like it."""
    settings = {"env": "CartPole-v1", "sizes": (4, 2), "learning_rate": 2.5e-4, "horizon": 128, "iterations": 100}
    return Workload(name=name, epochs=4, minibatches=4, **(settings | changes))  # pyright: ignore[reportArgumentType]


WORKLOADS = {
    work.name: work
    for work in (
        cartpole("W1"),
        cartpole("W1-256", hidden=(256, 256), iterations=50),
        cartpole("W1-gauss", env="Pendulum-v1", sizes=(3, 1), continuous=True),
        cartpole("W2-512", num_envs=512, native=True, threads=2, iterations=20),
        cartpole("W2-2048", num_envs=2048, horizon=64, native=True, threads=2, iterations=20),
        Workload(
            name="W3",
            env="HalfCheetah-v5",
            sizes=(17, 6),
            continuous=True,
            learning_rate=3e-4,
            horizon=256,
            epochs=10,
            minibatches=32,
            iterations=20,
        ),
        cartpole("W1-LSTM", hidden=(64,), memory=64, iterations=20),
        cartpole("Taxi", env="Taxi-v4", sizes=(500, 6), choices=True, iterations=50),
        cartpole("FrozenLake", env="FrozenLake-v1", sizes=(16, 4), choices=True, iterations=50),
        cartpole("Blackjack", env="Blackjack-v1", sizes=(45, 2), choices=True, iterations=50),
        Workload(
            name="W4",
            env="ALE/Pong-v5",
            game=True,
            sizes=(4 * 84 * 84, 6),
            hidden=(512,),
            learning_rate=2.5e-4,
            horizon=128,
            epochs=4,
            minibatches=4,
            iterations=8,
            threads=2,
        ),
    )
}


NATURE = ((4, 8, 20, 32), (32, 4, 9, 64), (64, 3, 7, 64))
"""Convolutions of Mnih et al. 2015 on 84 × 84 pixels: channels in, the kernel's side, side and channels out."""


def flops_per_decision(work: Workload) -> int:
    """Floating-point operations in the matrix products of one decision, from acting to the last epoch.

    F = 2 Σ (inputs × outputs) over the layers of actor and critic; F for acting and the value, and 3 F for each epoch's
    forward and backward pass. Activations, targets and the optimizer are left out: the limit is below, not above.
    """
    observation, outputs = work.sizes
    if work.game:
        _, _, side, channels = NATURE[-1]
        products = sum(a * kernel**2 * given**2 * b for a, kernel, given, b in NATURE)
        widths = (channels * side**2, *work.hidden, outputs + 1)
        products += sum(a * b for a, b in pairwise(widths))
    else:
        widths = (observation, *work.hidden, work.memory) if work.memory else (observation, *work.hidden)
        products = sum(a * b for n in (outputs, 1) for a, b in pairwise((*widths, n)))
        products += 2 * (4 * (work.hidden[-1] + work.memory) - work.hidden[-1]) * work.memory if work.memory else 0
    return 2 * products * (1 + 3 * work.epochs)


def speed_limit(environment_speed: float, flops: float, peak: float, threads: int) -> float:
    """Decisions per second, if environments and products were all: threads / (1/v + F/peak), nothing overlapping.

    ``environment_speed`` (steps/s) and ``peak`` (FLOP/s) are those of one core.
    """
    return threads / (1 / environment_speed + flops / peak)


@njit(fastmath={"contract"}, error_model="numpy")
def multiply_and_add(values: np.ndarray, factor: np.float32, rounds: int) -> None:
    """32 operations on each value per round, each on the result before: nothing but arithmetic in registers."""
    for _ in range(rounds):
        for i in range(values.size):
            v = values[i]
            for _ in range(16):
                v = v * factor + factor
            values[i] = v


def measure_peak(seconds: float = 0.2) -> float:
    """Float32 operations per second that one core does at best (fused multiply-adds): the best of several trials."""
    values, factor, rounds = np.full(1024, 0.5, np.float32), np.float32(0.5), 200
    multiply_and_add(values, factor, 1)
    best, until = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        multiply_and_add(values, factor, rounds)
        best = max(best, 32 * values.size * rounds / (time.perf_counter() - began))
    return best
