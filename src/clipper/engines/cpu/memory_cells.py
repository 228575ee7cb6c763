"""A policy's memories as the kernels hold them: cells, each with the layers before it, or why they do not fit."""

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor, nn

from clipper.engines.cpu.kernels.memory_tables import GRU, LSTM, Cell
from clipper.engines.cpu.layers import LayerTable, Statistics, offset
from clipper.engines.cpu.observation_rows import ObservationRows
from clipper.engines.protocol import LargeError, UnsuitableError
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.memory.recurrent import Recurrent

WIDEST = 256
"""Numbers that a cell may recall."""


@dataclass(frozen=True, slots=True)
class CellTable:
    """One memory, and the layers that lead to it."""

    layers: np.ndarray
    """Those before the cell, the gates' product with their numbers last."""
    rows: ObservationRows
    columns: np.ndarray
    choices: np.ndarray
    statistics: list[Statistics]
    width: int
    """As in ``clipper.engines.cpu.network.Network``."""
    cell: Cell
    """Its numbers; its places on a tape are not known yet."""
    leaves: int
    """Tensors that its state consists of."""

    @property
    def told(self) -> tuple[int, int]:
        """The first column of what it recalls, and how many."""
        return self.cell.recalled, self.cell.size

    def read_at(self, slot: int) -> "CellTable":
        """The same, read by later layers from there."""
        return replace(self, cell=self.cell._replace(read=slot))


def read_cells(policy: ActorCritic, flat: Tensor, rows: ObservationRows, shared: bool) -> list[CellTable]:
    """The actor's cell and the critic's, or one for both where trunks are ``shared``; [] without a memory."""
    memory, found = policy.memory, list[CellTable]()
    if memory is None:
        return []
    if memory.shared != shared:
        raise UnsuitableError("its actor and critic share a trunk or a memory, but not both")
    parts = [(policy.encoder, policy.actor, memory.actor)]
    if not shared:
        parts.append((policy.critic_encoder or policy.encoder, policy.critic, memory.critic))
    for encoder, trunk, cell in parts:
        table = LayerTable(flat, rows)
        source = table.trunk(trunk, table.encoder(encoder))
        before = len(table.rows)
        if type(cell) is not Recurrent:
            raise UnsuitableError(f"the policy has a memory, a {type(cell).__name__}, that kernels do not know")
        input_weight, weight, input_bias, bias = weights_of(cell)
        if cell.size > WIDEST:
            raise LargeError(f"a memory is wider than {WIDEST}, where kernels gain little")
        slot = table.product(input_weight, input_bias, source, widest=4 * WIDEST)
        kind, size = LSTM if isinstance(cell.rnn, nn.LSTM) else GRU, cell.size
        table.width = slot + 4 * size
        made = Cell(
            kind, size, 0, 0, slot, before, offset(weight, flat), offset(bias, flat),
            state=sum(other.leaves * other.cell.size for other in found),
            recalled=sum(other.cell.size for other in found), read=0,
        )  # fmt: skip
        found.append(
            CellTable(
                table.array(), rows, np.array(table.columns, np.int64),
                np.array(table.choices, np.int64).reshape(-1, 2), table.statistics, table.width, made, cell.leaves,
            )
        )  # fmt: skip
    return found


def weights_of(cell: Recurrent) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of the inputs and of the state, and the biases of both."""
    rnn = cell.rnn
    plain = rnn.num_layers == 1 and rnn.bias and not rnn.bidirectional and rnn.proj_size == 0
    if type(rnn) not in (nn.LSTM, nn.GRU) or not plain or rnn.hidden_size != cell.size:
        raise UnsuitableError(f"the policy has a memory, {rnn}, that kernels do not know")
    first, second, third, fourth = rnn.parameters()
    return first, second, third, fourth
