"""A policy as the kernels hold it: parameters, tables, memory to work in; who acts by them, and what V they say.

Parameters, gradient and the optimizer's moments are the learner's own memory, so a checkpoint does not know the engine.
"""

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.engines.cpu import kernel_files
from clipper.engines.cpu.calls import Packed
from clipper.engines.cpu.kernels import tables
from clipper.engines.cpu.kernels.tables import Head, Net, Work
from clipper.engines.cpu.memory_cells import CellTable
from clipper.engines.cpu.network import Network, read_network
from clipper.engines.cpu.recurrent_segment import RecurrentRecorder
from clipper.engines.cpu.segment import KernelActor, KernelRecorder
from clipper.engines.cpu.sequences import Sequences
from clipper.engines.cpu.sizes import check_past, check_steps
from clipper.engines.cpu.threads import Team
from clipper.learning.learner import Learner
from clipper.networks.heads.scales import LOG_STD_BOUNDS
from clipper.rollout.state import CollectState

CHUNK = 384  # rows that pass forward and backward together: the buffers stay in the cache


def make_net(learner: Learner, network: Network | CellTable) -> Net:
    """The learner's own parameters, and room for its normalisers' statistics."""
    bound, *units = np.zeros((3, network.columns.size), np.float32)
    for normaliser, first in network.statistics:
        bound[first : first + len(normaliser.shift)] = normaliser.bound
    theta = learner.policy_parameters.detach().numpy()
    return Net(theta, network.layers, network.columns, units[0], units[1], bound, network.choices)


def make_head(network: Network) -> Head:
    """The head as the kernels have it."""
    actions, (low, high) = network.actions, LOG_STD_BOUNDS
    planned = np.empty(actions.log_stds, np.float32)
    return Head(actions.parts, len(actions.names), network.value, planned, np.array(actions.starts), low, high)


def make_work(network: Network, lanes: int) -> Work:
    """Memory for one thread."""
    width = max(network.width, *(cell.width for cell in network.cells), 0)
    buffers = np.zeros((3, width * (CHUNK + lanes)), np.float32)
    parts, leaves = len(network.actions.parts), len(network.actions.names)
    return Work(
        CHUNK, *buffers, *np.empty((12, CHUNK), np.float32), *np.empty((6, parts, CHUNK), np.float32),
        *np.empty((5, leaves, CHUNK), np.float32), used=np.empty((parts, CHUNK), bool),
        chosen=np.empty((parts, CHUNK), np.int64), aside=np.zeros(width, np.float32),
        place=np.empty(CHUNK, np.int64), order=np.arange(CHUNK),
        sums=np.zeros(tables.RATIO + 1 + tables.LEAF_SUMS * leaves),
    )  # fmt: skip


class Machine:
    """A learner's policy in the kernels' hands."""

    def __init__(self, learner: Learner, threads: int = 1) -> None:
        self.learner = learner
        self.network = read_network(learner.policy, learner.policy_parameters)
        self.kernels = kernel_files.load()
        assert learner.policy_parameters.grad is not None
        self.gradient = learner.policy_parameters.grad.numpy()
        net = make_net(learner, self.network)
        self.net, self.head = Packed(net), Packed(make_head(self.network))
        self.actor_net = Packed(net._replace(layers=self.network.actor))
        self.critic_net = Packed(net._replace(layers=self.network.critic))
        self.all_legal = np.empty((0, self.network.actions.legal), bool)
        self.team = Team(threads)
        self.works = [Packed(make_work(self.network, self.kernels.lanes)) for _ in range(threads)]
        self.gradients = [self.gradient, *(np.empty_like(self.gradient) for _ in range(threads - 1))]
        self.sequences = None
        if self.network.cells:
            nets = [Packed(make_net(learner, cell)) for cell in self.network.cells]
            self.sequences = Sequences(self.kernels, self.network.cells, nets, self.works, self.team)
        self.actor = KernelActor(learner.policy, self.recorder)
        self.look()

    def look(self) -> None:
        """Note what of the policy is no parameter: its normalisers' statistics, and a log σ that follows a plan."""
        head, nets = self.head.value, [self.net] if self.sequences is None else self.sequences.nets
        for table, net in zip(self.network.cells or [self.network], nets, strict=True):
            for normaliser, first in table.statistics:
                last = first + len(normaliser.shift)
                net.value.shift[first:last], net.value.scale[first:last] = normaliser.shift, normaliser.scale
        for module, first, size in self.network.actions.planned:
            head.log_std[first : first + size] = module(torch.zeros(1)).numpy()

    def recorder(self, env: VectorEnv, state: CollectState) -> KernelRecorder:
        """What acts in these environments."""
        parts = self.kernels, self.learner.policy, self.network, self.net, self.head, self.works, self.team, self.look
        if self.sequences is not None:
            return RecurrentRecorder(self.sequences, *parts, env, state)
        return KernelRecorder(*parts, env, state)

    def decisions(self, steps: Steps, *last_obs: Tree) -> int:
        """How many there are; raises ``ConfigError`` for steps, of anyone's making, that the kernels cannot read."""
        check_steps(self.network.rows, self.network.actions, steps, *last_obs)
        if self.sequences is not None:
            check_past(steps, self.learner.policy.memory)
        return int(steps.mask.sum())

    def segment_values(self, steps: Steps, last_obs: Tree) -> np.ndarray:
        """V ``[T + 1, N]`` of a segment's rows, and of what comes after them."""
        t, n = steps.mask.shape
        value, rows = np.empty((t + 1, n), np.float32), self.network.rows
        if self.sequences is None:
            self.values(rows.of(steps.obs, (t * n,)), value[:t].reshape(-1))
            self.values(rows.of(last_obs, (n,)), value[t])
            return value
        obs = np.concatenate([rows.of(steps.obs, (t * n,)), rows.of(last_obs, (n,))])
        segment = self.sequences.of(steps, obs, extended=True)
        self.values(self.sequences.recall_all(segment, [-1]), value.reshape(-1))
        return value

    def values(self, obs: np.ndarray, out: np.ndarray) -> None:
        """V of ``obs [B, F]``."""
        network, (shift, scale) = self.network, self.return_units()

        def work(k: int, piece: slice) -> None:
            self.kernels.values(
                self.net, network.critic, network.value, obs[piece], shift, scale, self.works[k],
                out[piece],
            )  # fmt: skip

        self.team.run(work, self.team.pieces(len(obs), network.operations(network.critic)))

    def return_units(self) -> tuple[float, float]:
        """Mean and scale of normalised returns."""
        normaliser = self.learner.policy.returns
        return (0.0, 1.0) if normaliser is None else (float(normaliser.moments.mean), float(normaliser.scale))

    def pieces(self, rows: int, columns: int = 0) -> list[slice]:
        """The threads' shares of a minibatch; of its columns, where it has some of so many rows each."""
        network = self.network
        operations = 3 * network.operations(network.layers)
        if not columns:
            return self.team.pieces(rows, operations)
        operations += sum(6 * (cell.cell.size**2) * 4 + 3 * network.operations(cell.layers) for cell in network.cells)
        return [piece for piece in self.team.pieces(columns, rows * operations) if piece.stop > piece.start]
