"""The networks of who learns from a replay as tables of plain layers, or why they do not fit. Needs no Numba."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from clipper.engines.cpu.action_table import LINKS
from clipper.engines.cpu.kernels.replayed_tables import ALONG, BACK, INPUTS, OUTPUTS, SLOT, SOURCE
from clipper.engines.cpu.kernels.tables import ADD, LINEAR, STOP, TANH, WRITE
from clipper.engines.cpu.layers import CODES, WIDEST, Statistics, offset, parts_of
from clipper.engines.cpu.observation_rows import ObservationRows, inexact
from clipper.engines.cpu.replayed_actions import Actions
from clipper.engines.protocol import LargeError, UnsuitableError
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.encoders import BoxEncoder, ChoiceEncoder, Encoder
from clipper.networks.heads import BestHead, CategoricalHead, DeterministicHead, Head, ScoresHead, SquashedHead
from clipper.networks.heads.best_of import Beside, argument_sizes
from clipper.networks.heads.scales import StateLogStd
from clipper.networks.q_networks import QNetworks
from clipper.networks.side_by_side import BranchQNetworks, Encoded, JointQNetworks, SideBySide


class Features(NamedTuple):
    """What an encoder makes of an observation's row, number by number."""

    columns: np.ndarray
    chosen: np.ndarray
    code: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    bound: np.ndarray
    """As ``kernels.replayed_tables.Inputs`` has them."""


class Networks(NamedTuple):
    """The tables of a policy and of the critics beside it."""

    rows: ObservationRows
    features: Features
    statistics: list[Statistics]
    """Normalisers of features."""
    policy: np.ndarray
    critics: np.ndarray
    """``[M, layers, columns]``; without critics M is 0."""
    action: int
    """Slot of the action's components."""
    size: int
    """Components, or choices."""
    mean: int
    std: int
    """Slots of the head's outputs."""
    scale: int
    start: float
    """What becomes log σ of the second of them."""
    width: int
    """Numbers per row in a buffer that holds what all layers give."""
    actions: Actions

    @property
    def widest(self) -> int:
        """Numbers that the widest layer gives."""
        tables = self.policy, *self.critics
        return max(int(table[:, [INPUTS, OUTPUTS]].max()) for table in tables)

    def look(self) -> None:
        """Note what the normalisers' statistics are now."""
        for normaliser, first in self.statistics:
            last = first + len(normaliser.shift)
            self.features.shift[first:last], self.features.scale[first:last] = normaliser.shift, normaliser.scale


class PlainTable:
    """Collects a network's rows."""

    def __init__(self, flat: Tensor, width: int) -> None:
        self.flat, self.width, self.rows = flat, width, list[list[int]]()

    def add(
        self, parameters: tuple[int, int], sizes: tuple[int, int], source: int, activation: int, steps: tuple[int, int]
    ) -> int:
        """One layer more; returns its slot."""
        inputs, outputs = sizes
        if max(sizes) > WIDEST:
            raise LargeError(f"a layer is wider than {WIDEST}, where kernels gain little: {inputs} to {outputs}")
        self.rows.append([*parameters, inputs, outputs, source, self.width, activation, *steps, STOP])
        self.width += outputs
        return self.width - outputs

    def linear(self, layer: nn.Module, source: int, inputs: int, activation: int = LINEAR) -> int:
        """A layer of torch's."""
        if not isinstance(layer, nn.Linear) or layer.bias is None or layer.in_features != inputs:
            raise UnsuitableError(f"a layer is {layer}")
        parameters = offset(layer.weight, self.flat), offset(layer.bias, self.flat)
        return self.add(parameters, (inputs, layer.out_features), source, activation, (inputs, 1))

    def trunk(self, module: nn.Module, source: int, inputs: int) -> tuple[int, int]:
        """Where a trunk's last layer stands, and its width."""
        layers = list(module) if isinstance(module, nn.Sequential) else [module]
        while layers:
            linear, *layers = layers
            activation, *layers = layers or [nn.Identity()]
            if type(activation) not in CODES or (isinstance(activation, nn.ELU) and activation.alpha != 1):
                raise UnsuitableError(f"a trunk holds a {type(activation).__name__}")
            source = self.linear(linear, source, inputs, CODES[type(activation)])
            inputs = self.rows[-1][OUTPUTS]
        return source, inputs

    def array(self) -> np.ndarray:
        """The finished table. Going backwards, the first layer that reads a slot writes its gradient, others add."""
        seen, slots = set[int](), {row[SLOT] for row in self.rows}
        for row in reversed(self.rows):
            if row[SOURCE] in slots:
                row[BACK] = ADD if row[SOURCE] in seen else WRITE
                seen.add(row[SOURCE])
        return np.array(self.rows, np.int64)


def read_features(encoder: Encoder) -> tuple[ObservationRows, Features, list[Statistics]]:
    """What an encoder without weights makes of observations; raises ``UnsuitableError`` for another."""
    if reason := inexact(encoder.space):
        raise UnsuitableError(reason)
    rows, columns, code, statistics = ObservationRows(encoder.space), list[int](), list[float](), list[Statistics]()
    for path, part in parts_of(encoder):
        first, numbers = rows.place(path)
        if type(part) is BoxEncoder:
            if part.normaliser is not None:
                statistics.append(Statistics(part.normaliser, len(columns)))
            columns += range(first, first + numbers)
            code += [np.nan] * numbers
        elif type(part) is ChoiceEncoder and part.table is None:
            starts, ends = part.start.tolist(), [*range(part.size + 1)]
            firsts = first_codes(part)
            for k, (here, after) in enumerate(pairwise([*firsts, part.size])):
                columns += [first + k] * (after - here)
                code += [float(place + starts[k]) for place in ends[here:after]]
        else:
            what = f"has a {type(part).__name__}"
            raise UnsuitableError(f"who learns from a replay on kernels has plain inputs, and its encoder {what}")
    codes, units = np.array(code, np.float32), np.zeros((3, len(code)), np.float32)
    for normaliser, first in statistics:
        units[2, first : first + len(normaliser.shift)] = normaliser.bound
    return rows, Features(np.array(columns, np.int64), ~np.isnan(codes), np.nan_to_num(codes), *units), statistics


def first_codes(part: ChoiceEncoder) -> list[int]:
    """Where the one-hot vector of each choice begins among a part's features."""
    space = part.space
    sizes = np.asarray(getattr(space, "nvec", getattr(space, "n", 0))).reshape(-1)
    return [0, *np.cumsum(sizes)[:-1].tolist()]


def read_networks(policy: nn.Module, flat: Tensor, critics: nn.Module | None, judges: Tensor | None) -> Networks:
    """The tables of a policy, whose parameters are views of ``flat``, and of critics, whose are of ``judges``.

    Raises ``UnsuitableError`` where they do not fit.
    """
    if type(policy) is not ActorCritic:
        raise UnsuitableError(f"a {type(policy).__name__} is no ActorCritic")
    if flat.dtype != torch.float32:
        raise UnsuitableError(f"its parameters are {flat.dtype}, not float32")
    rows, features, statistics = read_features(policy.encoder)
    numbers, actions = len(features.columns), read_actions(policy.head)
    size = actions.components or actions.choices
    table = PlainTable(flat, numbers + actions.components)
    trunk = policy.actor.trunk if isinstance(policy.actor, Beside) else policy.actor
    source, inputs = table.trunk(trunk, 0, numbers)
    said = read_head(policy.head, table, source, inputs)
    critic_tables, width = list[np.ndarray](), table.width
    if critics is not None and judges is not None:
        critic_tables, width = read_critics(critics, judges, policy, numbers + size, width)
    stacked = np.stack(critic_tables) if critic_tables else np.empty((0, 1, ALONG + 2), np.int64)
    return Networks(rows, features, statistics, table.array(), stacked, numbers, size, *said, width, actions)


def read_actions(head: Head | nn.Module) -> Actions:
    """How its actions lie in a replay; raises ``UnsuitableError`` for a head that kernels do not know."""
    if type(head) is CategoricalHead:
        return Actions(0, head.logits.out_features, chosen=True)
    if type(head) is ScoresHead:
        return Actions(head.box.size, len(head.box.boxes))
    if type(head) is DeterministicHead and not head.squash:
        raise UnsuitableError("its head is deterministic without a tanh")
    if type(head) in (DeterministicHead, SquashedHead) and isinstance(head, DeterministicHead | SquashedHead):
        return Actions(head.box.size)
    if type(head) is not BestHead:
        raise UnsuitableError(f"its head is a {type(head).__name__}")
    sizes = argument_sizes(tuple(head.arguments.heads))  # pyright: ignore[reportArgumentType] (heads are what it holds)
    if not any(sizes):
        raise UnsuitableError("no choice has arguments")
    return Actions(sum(sizes), len(sizes), chosen=True, sizes=sizes)


def read_head(head: Head | nn.Module, table: PlainTable, source: int, inputs: int) -> tuple[int, int, int, float]:
    """Slots of what it says, first of means and then of σ, and what becomes of the latter."""
    if type(head) is CategoricalHead:
        return table.linear(head.logits, source, inputs), 0, 0, 0.0
    if isinstance(head, DeterministicHead):
        return table.linear(head.raw, source, inputs, TANH if head.squash else LINEAR), 0, 0, 0.0
    if isinstance(head, BestHead):
        branches = [own for own in head.arguments.heads if type(own) is not CategoricalHead]  # which has no arguments
        if other := [own for own in branches if type(own) is not DeterministicHead]:
            raise UnsuitableError(f"arguments are of a {type(other[0]).__name__}")
        slots = [read_head(own, table, source, inputs)[0] for own in branches]
        return slots[0], 0, 0, 0.0
    assert isinstance(head, SquashedHead)
    mean, told = table.linear(head.raw.mean, source, inputs), head.raw.log_std
    link = type(getattr(told.link, "__self__", None)) if type(told) is StateLogStd else type(told)
    if type(told) is not StateLogStd or link not in LINKS:
        raise UnsuitableError(f"its head's σ is a {link.__name__}")
    return mean, table.linear(told.linear, source, inputs), LINKS[link], told.start


def read_critics(
    critics: nn.Module, judges: Tensor, policy: ActorCritic, inputs: int, width: int
) -> tuple[list[np.ndarray], int]:
    """A table for each of the networks that lie side by side, and the width with them."""
    of_policy = type(critics) in (BranchQNetworks, JointQNetworks) and type(critics.encoder) is Encoded
    if not of_policy and (type(critics) is not QNetworks or critics.encoder is not policy.encoder):
        raise UnsuitableError(f"its critics are {type(critics).__name__} with an encoder of their own")
    assert isinstance(critics, SideBySide)
    if type(critics.activation) not in CODES:
        raise UnsuitableError(f"its critics hold a {type(critics.activation).__name__}")
    found, code = list[np.ndarray](), CODES[type(critics.activation)]
    for m in range(critics.count):
        table, source, given = PlainTable(judges, width), 0, inputs
        layers = list(zip(critics.weights, critics.biases, strict=True))
        for k, (weight, bias) in enumerate(layers):
            outputs, activation = weight.shape[-1], code if k < len(layers) - 1 else LINEAR
            parameters = offset(weight[m], judges), offset(bias[m], judges)
            source = table.add(parameters, (given, outputs), source, activation, (1, outputs))
            given = outputs
        found.append(table.array())
        width = table.width
    return found, width
