"""Acting and keeping rows with compiled kernels where the policy has a memory.

The critic's memory, on which no action depends, follows at the end of a segment, over all of its rows together.
"""

from typing import Any

import numpy as np

from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.engines.cpu.calls import Packed
from clipper.engines.cpu.kernels.tables import Net
from clipper.engines.cpu.network import Network
from clipper.engines.cpu.segment import KernelRecorder
from clipper.engines.cpu.sequences import Segment, Sequences
from clipper.environments.checks import RESTARTED, Answer


class RecurrentRecorder(KernelRecorder):
    """Acts and keeps rows for one policy with a memory in one environment."""

    def __init__(self, sequences: Sequences, *parts: Any) -> None:
        self.sequences = sequences
        super().__init__(*parts)
        n = self.n
        self.on_finish.append(self.remember)
        self.now, self.recalled = np.empty((n, sequences.state_width), np.float32), np.empty((0, 0, 0), np.float32)
        self.before, self.carried = self.now, ()
        self.begins = np.empty((0, n), bool)
        """Before which rows the memory is emptied."""

    def net_of(self, network: Network, net: Packed[Net]) -> Packed[Net]:
        """What heads read is what memories recall; these read the environments' rows."""
        tables = zip(network.cells, self.sequences.nets, strict=True)
        self.nets = [self.seen(table, own) for table, own in tables]
        return net

    def source(self) -> np.ndarray:
        return self.recalled

    def begin(self, horizon: int | None) -> None:
        state, nowhere = self.state, np.zeros(self.n, bool)
        self.carried = state.memory = self.policy.memory.forget(state.memory, nowhere)
        self.now[:] = self.sequences.packed(self.carried)
        self.before = self.now.copy()
        super().begin(horizon)
        self.begins[0] = False
        self.sequences.lay_out()

    def bind(self) -> None:
        rows, n, sequences = len(self.log_prob), self.n, self.sequences
        self.recalled = np.empty((rows, n, sequences.width), np.float32)
        begins = np.zeros((rows + 1, n), bool)
        begins[: len(self.begins)] = self.begins[: rows + 1]
        self.begins = begins
        obs = self.obs.reshape(-1, self.rows.width)
        present, tape = np.ones((rows + 1, n), bool), sequences.tape(0, 0, n, n)
        self.recall = self.kernels.recall.bind(
            self.nets[0], sequences.cells[0], self.works[0], tape, obs, self.begins, present, np.arange(n), self.now,
            self.now, self.recalled.reshape(-1, sequences.width), 0, 1, 0, n,
        )  # fmt: skip
        super().bind()

    def act(self, t: int) -> Tree:
        if t == len(self.log_prob):
            self.grow()
        self.recall(t, 1, 0, self.n)
        return super().act(t)

    def keep(self, t: int, answer: Answer) -> int:
        # Emptied where an episode's last row is behind, or a restart has ended it.
        self.begins[t + 1] = self.done | answer[-1].get(RESTARTED, False)
        return super().keep(t, answer)

    def steps(self, rows: int) -> Steps:
        begins = self.begins[:rows].copy()
        obs = self.obs[:rows].reshape(rows * self.n, self.rows.width)
        segment = Segment(obs, begins, np.ones_like(begins), begins, self.before)
        recalled = np.empty((rows * self.n, self.sequences.width), np.float32)
        for k in range(1, len(self.nets)):
            self.sequences.recall(k, segment, recalled, self.now, self.nets[k])
        self.now[self.begins[rows]] = 0
        self.state.memory = self.sequences.tensors(self.now)
        return super().steps(rows)

    def remember(self, steps: Steps) -> Steps:
        """The steps with what a loss needs to run the memory over them again."""
        return steps._replace(memory=self.policy.memory.past(self.carried, steps.mask))
