"""The engine for who learns from a replay with small networks on the CPU: gradient steps as compiled kernels."""

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from clipper.algorithms import DQN, Algorithm
from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.engines.cpu import kernel_files
from clipper.engines.cpu.calls import Packed
from clipper.engines.cpu.exploring import Explorer, ExploringActor
from clipper.engines.cpu.kernels import tables
from clipper.engines.cpu.kernels.replayed_tables import POLICY, WATCHED, Batch, Inputs, Learned, Numbers, Policy, Spaces
from clipper.engines.cpu.kernels.tables import Optimizer
from clipper.engines.cpu.passes import optimizer_from
from clipper.engines.cpu.replayed_networks import Networks
from clipper.engines.cpu.replayed_plan import ReplayedPlan, known, rates_of, read_replayed
from clipper.engines.cpu.sampled_rows import SampledRows, Shape
from clipper.engines.protocol import UnsuitableError
from clipper.learning.exploration import EpsilonGreedy
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.off_policy import keep, steps_due
from clipper.learning.parts import Part
from clipper.learning.schedules import at
from clipper.networks.heads import BestHead, DeterministicHead
from clipper.networks.heads.scales import LOG_STD_BOUNDS

CHUNK = 384  # rows that pass forward and backward together: the buffers stay in the cache
NOTHING = np.empty(0, np.float32)


class CPUFromReplay:
    """Collects, and learns from a replay, with compiled kernels.

    Parameters, gradients, optimizers' moments and lagged copies are the learner's own memory.
    """

    name: Literal["cpu"] = "cpu"

    def __init__(self, learner: Learner, algorithm: Algorithm) -> None:
        self.learner, self.algorithm = learner, known(algorithm)
        self.plan, self.networks = read_replayed(self.algorithm, learner)
        self.kernels = kernel_files.load(kernel_files.REPLAYED)
        self.description = "cpu (compiled kernels)" if self.plan.explores else "cpu (compiled kernels; torch acts)"
        settings = self.algorithm
        shape = Shape(settings.batch_size, settings.gamma, settings.n_step, self.plan.draws)
        self.sampled = SampledRows(self.kernels, self.networks, learner.modules["replay"], shape)
        self.spaces = make_spaces(self.networks, min(settings.batch_size, CHUNK), self.kernels.lanes)
        self.lagged = {
            part: in_one_vector(parameters, learner.parts[part])
            for part, parameters in followers(learner, self.plan).items()
        }
        self.rates, self.counts = np.zeros(3), np.zeros(3, np.int64)
        self.watched = np.zeros((self.sampled.steps, WATCHED))
        names = self.plan.watched
        some = {name: k for name, k in names.items() if k != POLICY}
        self.reported = [(list(kept), list(kept.values())) for kept in (names, some)]
        """Names of what is reported, and its columns: with the policy's loss, and without."""
        self.moments: list[Tensor] = []
        self.bound: Batch | None = None
        """The batch that the kernel knows of."""
        self.actor = ExploringActor(self.explorer()) if self.plan.explores else learner.behaviour

    def explorer(self) -> Explorer:
        """Who acts: uniformly at first, then as the policy does, with noise, or mostly what is thought best."""
        learner, settings = self.learner, self.algorithm
        theta = learner.parts[""].parameters[0].detach().numpy()
        return Explorer(
            self.kernels, learner, self.networks, self.policy(), self.plan.kind, self.spaces, theta,
            lambda: int(learner.extra["decisions"]) < settings.learning_starts, self.noise,
        )  # fmt: skip

    def noise(self) -> float:
        """σ about a deterministic policy, or the probability of any action."""
        head = self.learner.policy.head
        if isinstance(self.algorithm, DQN) and isinstance(self.algorithm.exploration, EpsilonGreedy):
            return float(at(self.algorithm.exploration.epsilon, self.learner.progress))
        return math.exp(head.log_noise) if isinstance(head, DeterministicHead) else 0.0

    def policy(self) -> Policy:
        """The policy's layers as the kernels have them."""
        networks = self.networks
        return Policy(
            networks.policy, networks.action, networks.size, networks.mean, networks.std, networks.scale,
            networks.start, *LOG_STD_BOUNDS, networks.actions.starts,
        )  # fmt: skip

    def update(self, steps: Steps, last_obs: Tree) -> Metrics:
        """As ``algorithm.update``."""
        learner, settings = self.learner, self.algorithm
        if not self.sampled.add(learner, steps, last_obs):
            self.sampled.check(steps)
            keep(learner, steps, last_obs)
        due = steps_due(learner, settings)
        if due <= 0:
            return {}
        self.sampled.look()
        self.networks.look()
        if self.bound is not self.sampled.batch or self.moments_moved():
            self.bind()
        self.set_rates()
        before, history = int(learner.extra["gradient_steps"]), []
        for first in range(0, due, self.sampled.steps):
            count = min(self.sampled.steps, due - first)
            for step in range(count):
                self.sampled.fill(step, learner.generator)
            self.learn(before + first, count)
            history.append(self.watched[:count] if count == due else self.watched[:count].copy())
        learner.extra["gradient_steps"] += due
        return self.told(history[0] if len(history) == 1 else np.concatenate(history))

    def set_rates(self) -> None:
        """The step sizes at this moment of the run."""
        own, critics = rates_of(self.algorithm)
        self.rates[0], self.rates[1:] = at(own, self.learner.progress), at(critics, self.learner.progress)

    def moments_moved(self) -> bool:
        """Has anybody put other moments in the optimizers' place, as a checkpoint does?"""
        return any(now is not then for now, then in zip(moments_of(self.learner), self.moments, strict=True))

    def bind(self) -> None:
        """Note where the kernel finds its arrays."""
        learner, networks, plan = self.learner, self.networks, self.plan
        bound = float(self.algorithm.max_grad_norm)
        actor, critics, alpha = (learned_of(learner, name, bound) for name in ("", "critics", "alpha"))
        if "alpha" in learner.modules and "alpha" not in learner.parts:
            alpha = alpha._replace(theta=learner.modules["alpha"].log_alpha.detach().numpy().reshape(1))
        entropy = -float(networks.size) if plan.entropy is None else plan.entropy
        numbers = Numbers(
            self.rates, plan.tau, plan.tuned, entropy, plan.smoothing, plan.bound, plan.delay, plan.double,
            float(plan.delta), plan.every, plan.actor_tau, plan.inverted, plan.passes,
        )  # fmt: skip
        tables_of_layers = Inputs(*networks.features), self.policy(), networks.critics
        lagged = (self.lagged.get(part, NOTHING) for part in ("critics", ""))
        self.learn = self.kernels.learn.bind(
            *tables_of_layers, actor, critics, alpha, *lagged, Packed(self.sampled.batch), numbers, self.spaces,
            self.counts, self.watched, plan.kind, 0, 0,
        )  # fmt: skip
        self.moments, self.bound = moments_of(learner), self.sampled.batch

    def told(self, history: np.ndarray) -> Metrics:
        """The mean of each number over the gradient steps that gave it."""
        means = history[0]
        if len(history) > 1:
            means, with_policy = history.mean(0), history[~np.isnan(history[:, POLICY])]
            means[POLICY] = with_policy[:, POLICY].mean() if len(with_policy) else math.nan
        names, columns = self.reported[math.isnan(means[POLICY])]
        return dict(zip(names, torch.from_numpy(means[columns].astype(np.float32)).unbind(), strict=True))


def moments_of(learner: Learner) -> list[Tensor]:
    """All optimizers' mean squares, from which it is seen whether they are the ones that the kernels know."""
    found = []
    for own in learner.parts.values():
        moments = own.optimizer.state.get(own.parameters[0], {})
        found += [x for name, x in moments.items() if name in ("exp_avg_sq", "square_avg")]
    return found


def learned_of(learner: Learner, name: str, bound: float) -> Learned:
    """A part as the kernels have it; of none, nothing."""
    if name not in learner.parts:
        nothing = Optimizer(tables.ADAM, 0, NOTHING, NOTHING, 0.0, 0.0, 0.0, 0.0, bound)
        return Learned(NOTHING, NOTHING, nothing, *(np.zeros(1, np.float32) for _ in range(3)))
    own = learner.parts[name]
    counts = learner.skipped.numpy().reshape(1), own.skipped_in_a_row.numpy().reshape(1)
    optimizer, taken = optimizer_from(own, 0, 0.0, bound)
    theta, gradient = own.parameters[0].detach().numpy(), own.gradients[0].numpy()
    return Learned(theta, gradient, optimizer, taken.numpy().reshape(1), *counts)


def followers(learner: Learner, plan: ReplayedPlan) -> dict[str, list[nn.Parameter]]:
    """What lags behind each part that something lags behind, in the part's order."""
    if isinstance(learner.policy.head, BestHead):
        lagged = learner.modules[plan.lagged_actor]
        names = {id(p): name for name, p in learner.policy.named_parameters()}
        return {part: [lagged.get_parameter(names[id(p)]) for p in own.leaves] for part, own in learner.parts.items()}
    found = {"": learner.modules[plan.lagged_actor]} if plan.lagged_actor else {}
    found |= {"critics": learner.modules["lagged_critics"]} if plan.critics else {}
    return {part: list(lagged.parameters()) for part, lagged in found.items()}


def in_one_vector(parameters: list[nn.Parameter], part: Part) -> np.ndarray:
    """Make a lagged copy's parameters views of one vector, in the order of those that it follows; return it."""
    flat = torch.cat([p.detach().flatten() for p in parameters])
    if [p.numel() for p in parameters] != [p.numel() for p in part.leaves]:
        raise UnsuitableError("what lags behind has other parameters than what it follows")
    start = 0
    for p in parameters:
        p.data = flat[start : start + p.numel()].view_as(p)
        start += p.numel()
    return flat.numpy()


def make_spaces(networks: Networks, capacity: int, lanes: int) -> Packed[Spaces]:
    """Memory for one thread."""
    out, pre, slopes = np.zeros((3, networks.width * (capacity + 2 * lanes)), np.float32)
    target, log_prob = np.empty((2, capacity), np.float32)
    aside = np.zeros(networks.widest, np.float32)
    return Packed(Spaces(capacity, out, pre, slopes, aside, target, log_prob, np.empty(capacity, np.int64)))
