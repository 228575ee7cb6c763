"""An ``ActorCritic`` as the table of layers that the kernels walk, or why it does not fit."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from clipper.engines.cpu.action_table import ActionTable
from clipper.engines.cpu.kernels.tables import INPUTS, KIND, OUTPUTS, PRODUCT
from clipper.engines.cpu.layers import Features, LayerTable, Statistics
from clipper.engines.cpu.memory_cells import CellTable, read_cells
from clipper.engines.cpu.observation_rows import ObservationRows
from clipper.engines.protocol import UnsuitableError
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.critics import NoValue, TwoHotBins
from clipper.networks.normalise import ReturnNormaliser


@dataclass(frozen=True, slots=True)
class Network:
    """Layers in the order of computation, one row each; columns as above."""

    layers: np.ndarray
    """All layers."""
    actor: np.ndarray
    """Those that acting needs."""
    critic: np.ndarray
    """Those that values need."""
    rows: ObservationRows
    """How what it reads of an observation lies in a row."""
    columns: np.ndarray
    """Where each number that it reads stands there."""
    choices: np.ndarray
    """Where each choice stands there, and what is taken from it."""
    statistics: list[Statistics]
    """Which numbers are normalised, and by what."""
    width: int
    """Numbers per row in a buffer that holds what all layers give."""
    actions: ActionTable
    """What its head stands for."""
    value: int
    """Slot of the value layer's output."""
    slots: dict[nn.Module, int]
    """Where the outputs of each linear layer stand."""
    actor_parameters: list[Tensor]
    """What the actor's layers multiply by or look up."""
    critic_parameters: list[Tensor]
    """What the critic's do."""
    cells: tuple[CellTable, ...]
    """The memories that its first rows read, the actor's first; observations go into these. None without a memory."""

    @property
    def normalises(self) -> bool:
        """Are there running statistics of observations?"""
        return bool(self.statistics) or any(cell.statistics for cell in self.cells)

    def operations(self, layers: np.ndarray) -> int:
        """Multiplications and additions of a forward pass of one row through ``layers``."""
        products = layers[layers[:, KIND] == PRODUCT]
        return int(2 * (products[:, INPUTS] * products[:, OUTPUTS]).sum())


def read_network(policy: nn.Module, flat: Tensor) -> Network:
    """The table of a policy whose parameters are views of ``flat``; raises ``UnsuitableError``."""
    if type(policy) is not ActorCritic:
        raise UnsuitableError(f"a {type(policy).__name__} is no ActorCritic")
    if flat.dtype != torch.float32 or flat.device.type != "cpu":
        raise UnsuitableError(f"its parameters are {flat.dtype} on {flat.device}, not float32 on the CPU")
    if isinstance(policy.value_layer, NoValue):
        raise UnsuitableError("the policy has no V")
    if type(policy.returns) not in (type(None), ReturnNormaliser, TwoHotBins):
        raise UnsuitableError(f"its critic's answer is read by a {type(policy.returns).__name__}")
    rows = ObservationRows((policy.critic_encoder or policy.encoder).space)
    table, shared = LayerTable(flat, rows), policy.critic is policy.actor
    cells = read_cells(policy, flat, rows, shared)
    seen = Features([], 0) if cells else table.encoder(policy.encoder)
    encoded = len(table.rows)
    actor = table.recalled(*cells[0].told) if cells else table.trunk(policy.actor, seen)
    trunk = len(table.rows)
    actions = ActionTable(policy.head, table, actor)
    acting = len(table.rows)
    if cells:
        critic = actor if shared else table.recalled(*cells[1].told)
    else:
        if policy.critic_encoder is not None:
            seen = table.encoder(policy.critic_encoder)
        critic = actor if shared else table.trunk(policy.critic, seen)
    value = table.add(policy.value_layer, critic)
    layers = table.array()
    before = trunk if shared else encoded if policy.critic_encoder is None else 0
    judging = [*range(before), *range(acting, len(layers))]
    return Network(
        layers=layers,
        actor=layers[:acting].copy(),
        critic=layers[judging],
        rows=rows,
        columns=np.array(table.columns, np.int64),
        choices=np.array(table.choices, np.int64).reshape(-1, 2),
        statistics=table.statistics,
        width=table.width,
        actions=actions,
        value=value,
        slots=table.slots,
        actor_parameters=[p for row, p in table.parameters if row < acting],
        critic_parameters=[p for row, p in table.parameters if row in judging],
        cells=tuple(cell.read_at(read.pieces[0].source) for cell, read in zip(cells, (actor, critic), strict=False)),
    )
