"""Which engine a run gets, and why not the fast one."""

import os
from importlib.util import find_spec

from clipper.algorithms import OFF_POLICY, Algorithm, Exploring, Reusing, held_by
from clipper.engines.cpu.network import read_network
from clipper.engines.cpu.observation_rows import inexact
from clipper.engines.cpu.plan import read_algorithm
from clipper.engines.cpu.replayed_plan import known, read_replayed
from clipper.engines.eager import Torch
from clipper.engines.protocol import Engine, LargeError, UnsuitableError
from clipper.engines.torch_compile import Compiled
from clipper.environments.told_episodes import TELLS
from clipper.errors import ConfigError
from clipper.learning.learner import Learner
from clipper.learning.of_agents import LearnerOfAgents
from clipper.rollout.protocol import Rollouts, abilities
from clipper.settings.config import Config

LOADING_PAYS = 5_000  # decisions in which compiled kernels save the time that loading them takes
COMPILING_PAYS = 150_000  # and those that compiling them takes
COMPILING_PAYS_FROM_REPLAY = 10_000  # the same where there is a gradient step for each
GRADIENTS = "the ranks send gradients"
SLOWER = "small networks take about 6 times as long as on kernels"
"""What it costs where torch computes all: CartPole, two 64-64 networks, one thread."""


def choose(learner: Learner, config: Config, rollouts: Rollouts, insist: bool = False) -> Engine:
    """The engine for a run; ``CLIPPER_ENGINE`` in the process's environment outweighs ``config.engine``.

    Where kernels do not fit, the definition runs and says why, and so it does without a compiler for ``compile``.
    ``insist`` makes that a ``ConfigError`` where ``config.engine`` asks for one by name.

    ``auto`` takes the compiled kernels where they fit and the run is long enough to repay loading them (and compiling
    them, where no earlier run has). So the choice may depend on the machine; the run's
    config.json keeps it.
    """
    asked = os.environ.get("CLIPPER_ENGINE") or config.engine
    if asked not in ("auto", "torch", "cpu", "compile"):
        raise ConfigError(f"CLIPPER_ENGINE={asked}: there are auto, torch, cpu and compile")
    if asked == "torch":
        return Torch(learner, config.algorithm)
    algorithm = config.algorithm
    try:
        if isinstance(learner, LearnerOfAgents):
            raise UnsuitableError("agents have parameters of their own")
        if asked == "compile" and learner.world.others is not None:
            raise UnsuitableError(f"torch.compile knows no messages, and {GRADIENTS}")
        if asked == "compile":
            return Compiled(learner, algorithm)
        return on_kernels(learner, config, rollouts, asked == "auto")
    except UnsuitableError as error:
        if insist and config.engine in ("cpu", "compile"):
            raise ConfigError(
                f"engine '{config.engine}' cannot run this: {error}. Use engine 'auto' or 'torch'"
            ) from None
        return Torch(learner, algorithm, str(error))


def on_kernels(learner: Learner, config: Config, rollouts: Rollouts, may_refuse: bool) -> Engine:
    """The compiled engine; raises ``UnsuitableError`` where it does not fit, or, if it ``may_refuse``, not repay."""
    algorithm, replayed = config.algorithm, isinstance(config.algorithm, OFF_POLICY)
    shares = learner.world.others is not None
    if replayed and shares:
        raise UnsuitableError(GRADIENTS)
    if replayed:
        read_replayed(known(algorithm), learner)
        check_rollouts(rollouts)
    else:
        check_cost(learner, rollouts)
    if find_spec("numba") is None:
        raise UnsuitableError("numba is not installed")
    if may_refuse and config.total_steps < LOADING_PAYS:
        raise UnsuitableError("the run is short")
    try:
        from clipper.engines.cpu import engine, explored, from_replay, kernel_files, losses_by_torch  # noqa: PLC0415 (loads LLVM)
    except (ImportError, OSError) as error:
        raise UnsuitableError(f"llvmlite cannot be loaded ({error})") from error

    part = kernel_files.REPLAYED if replayed else kernel_files.MOST
    pays = COMPILING_PAYS_FROM_REPLAY if replayed else COMPILING_PAYS
    if may_refuse and config.total_steps < pays and not kernel_files.is_compiled(part):
        raise UnsuitableError("the run is shorter than compiling kernels takes")
    if replayed:
        return from_replay.CPUFromReplay(learner, algorithm)
    if reason := GRADIENTS if shares else unknown(algorithm, learner.policy.memory is not None):
        return losses_by_torch.LossesByTorch(learner, algorithm, reason, config.threads)
    if isinstance(algorithm, Exploring):
        return explored.ExploringCPU(learner, algorithm, config.threads)
    return engine.CPU(learner, algorithm, config.threads)


def unknown(algorithm: Algorithm, remembers: bool = False) -> str:
    """What of an algorithm's loss the kernels do not know, of a policy that ``remembers`` or not; "" for nothing."""
    if isinstance(algorithm, Reusing):
        return "kernels know no kept segments"
    try:
        plan = read_algorithm(held_by(algorithm))
    except UnsuitableError as error:
        return str(error)
    return "kernels know no Fisher information of a memory" if plan.natural and remembers else ""


def check_cost(learner: Learner, rollouts: Rollouts) -> None:
    """``check_fit``, whose error says what it costs where the kernels know not the policy, but would gain by it."""
    try:
        check_fit(learner, rollouts)
    except LargeError:
        raise
    except UnsuitableError as error:
        raise UnsuitableError(f"{error}: {SLOWER}") from None


def check_fit(learner: Learner, rollouts: Rollouts) -> None:
    """Raise ``UnsuitableError`` unless policy and observations are such as the kernels compute with."""
    read_network(learner.policy, learner.policy_parameters)
    check_rollouts(rollouts)


def check_rollouts(rollouts: Rollouts) -> None:
    """Raise ``UnsuitableError`` unless observations are such as the kernels' rows hold, and nobody counts besides."""
    has = abilities(rollouts)
    if reason := inexact(rollouts.single_observation_space):
        raise UnsuitableError(reason)
    if has.env is not None and has.env.metadata.get(TELLS):
        raise UnsuitableError("the environment keeps count of its episodes, of which kernels do not hear")
