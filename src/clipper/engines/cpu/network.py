"""An ``ActorCritic`` as the table of layers that the kernels walk, or why it does not fit."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from clipper.networks.actor_critic import ActorCritic
from clipper.networks.critics import TwoHotBins
from clipper.networks.encoders import BoxEncoder
from clipper.networks.heads import CategoricalHead, GaussianHead, MultiCategoricalHead
from clipper.networks.heads.scales import LearnedLogStd, PlannedLogStd
from clipper.networks.make_policy import ACTIVATIONS
from clipper.networks.normalise import ReturnNormaliser

WIDEST = 512
WEIGHT, BIAS, INPUTS, OUTPUTS, SOURCE, SLOT, ACTIVATION, BACK = range(8)
"""Columns: offsets of the parameters, sizes, slots of input and output, activation, what the input's gradient is."""
LINEAR, TANH, RELU, ELU, SILU = range(5)
"""Activations."""
STOP, WRITE, ADD = range(3)
"""The gradient of a layer's input is not needed, the first one there, or one of several."""
CODES: dict[type[nn.Module], int] = {
    ACTIVATIONS["tanh"]: TANH, ACTIVATIONS["relu"]: RELU, ACTIVATIONS["elu"]: ELU, ACTIVATIONS["silu"]: SILU,
}  # fmt: skip


class UnsuitableError(Exception):
    """The engine cannot run this; says why."""


@dataclass(frozen=True, slots=True)
class Network:
    """Layers in the order of computation, one row each; columns as above."""

    layers: np.ndarray
    """All layers."""
    actor: np.ndarray
    """Those that acting needs."""
    critic: np.ndarray
    """Those that values need."""
    features: int
    """Numbers per observation."""
    width: int
    """Numbers per row in a buffer that holds what all layers give."""
    head: int
    """Slot of the head's output."""
    outputs: int
    """Its size: choices, or components of the action."""
    sizes: tuple[int, ...]
    """Choices of each part; none where actions are continuous."""
    value: int
    """Slot of the value layer's output."""
    log_std: int
    """Offset of log σ among the parameters; −1 where there is none."""

    def operations(self, layers: np.ndarray) -> int:
        """Multiplications and additions of a forward pass of one row through ``layers``."""
        return int(2 * (layers[:, INPUTS] * layers[:, OUTPUTS]).sum())


def read_network(policy: nn.Module, flat: Tensor) -> Network:
    """The table of a policy whose parameters are views of ``flat``; raises ``UnsuitableError``."""
    if type(policy) is not ActorCritic:
        raise UnsuitableError(f"a {type(policy).__name__} is no ActorCritic")
    if flat.dtype != torch.float32 or flat.device.type != "cpu":
        raise UnsuitableError(f"its parameters are {flat.dtype} on {flat.device}, not float32 on the CPU")
    if policy.memory is not None:
        raise UnsuitableError("the policy has a memory")
    encoder, head = policy.encoder, policy.head
    if type(encoder) is not BoxEncoder:
        raise UnsuitableError(f"kernels know no {type(encoder).__name__}")
    if policy.critic_encoder is not None:
        raise UnsuitableError("its critic has an encoder of its own")
    if isinstance(policy.returns, TwoHotBins):
        raise UnsuitableError("its critic is a distribution over bins")
    if type(policy.returns) not in (type(None), ReturnNormaliser):
        raise UnsuitableError(f"its critic's answer is read by a {type(policy.returns).__name__}")
    sizes: tuple[int, ...] = ()
    if type(head) is CategoricalHead:
        last, log_std, sizes = head.logits, -1, (head.logits.out_features,)
    elif type(head) is MultiCategoricalHead:
        last, log_std, sizes = head.logits, -1, tuple(head.exists.sum(1).tolist())
    elif type(head) is GaussianHead:
        if type(head.log_std) not in (LearnedLogStd, PlannedLogStd):
            raise UnsuitableError(f"its head's σ is a {type(head.log_std).__name__}")
        last = head.mean
        log_std = offset(head.log_std.value, flat) if isinstance(head.log_std, LearnedLogStd) else -1
    else:
        raise UnsuitableError(f"its head is a {type(head).__name__}")
    table = Table(flat, encoder.features)
    actor, width = table.trunk(policy.actor, 0, encoder.features)
    trunk = len(table.rows)
    head_slot = table.add(last, actor, width)
    acting = len(table.rows)
    shared = policy.critic is policy.actor
    critic, width = (actor, width) if shared else table.trunk(policy.critic, 0, encoder.features)
    value = table.add(policy.value_layer, critic, width)
    layers = table.array()
    return Network(
        layers=layers,
        actor=layers[:acting].copy(),
        critic=np.concatenate([layers[: trunk if shared else 0], layers[acting:]]),
        features=encoder.features,
        width=table.width,
        head=head_slot,
        outputs=last.out_features,
        sizes=sizes,
        value=value,
        log_std=log_std,
    )


class Table:
    """Collects the rows; slot 0 holds the encoded observations."""

    def __init__(self, flat: Tensor, features: int) -> None:
        self.flat, self.width = flat, features
        self.rows: list[list[int]] = []

    def trunk(self, module: nn.Module, source: int, width: int) -> tuple[int, int]:
        """The slot and width that a trunk ends in."""
        layers = list(module) if isinstance(module, nn.Sequential) else [module]
        for linear, activation in zip(layers[::2], layers[1::2], strict=False):
            if type(activation) not in CODES:
                raise UnsuitableError(f"a trunk holds a {type(activation).__name__}")
            if isinstance(activation, nn.ELU) and activation.alpha != 1:
                raise UnsuitableError(f"an ELU has alpha {activation.alpha}")
            source = self.add(linear, source, width, CODES[type(activation)])
            width = self.rows[-1][OUTPUTS]
        if len(layers) % 2:
            raise UnsuitableError(f"a trunk ends in a {type(layers[-1]).__name__}")
        return source, width

    def add(self, linear: nn.Module, source: int, inputs: int, activation: int = LINEAR) -> int:
        """Add one layer; returns its slot."""
        if not isinstance(linear, nn.Linear) or linear.bias is None or linear.in_features != inputs:
            raise UnsuitableError(f"a layer is {linear}")
        if max(linear.in_features, linear.out_features) > WIDEST:
            raise UnsuitableError(f"a layer is wider than {WIDEST}: {linear}")
        slot = self.width
        at = offset(linear.weight, self.flat), offset(linear.bias, self.flat)
        self.rows.append([*at, inputs, linear.out_features, source, slot, activation, STOP])
        self.width += linear.out_features
        return slot

    def array(self) -> np.ndarray:
        """The finished table. Going backwards, the first layer that reads a slot writes its gradient, others add."""
        seen: set[int] = set()
        for row in reversed(self.rows):
            if row[SOURCE] != 0:
                row[BACK] = ADD if row[SOURCE] in seen else WRITE
                seen.add(row[SOURCE])
        return np.array(self.rows, dtype=np.int64)


def offset(parameter: Tensor, flat: Tensor) -> int:
    """Where a parameter begins in the flat vector."""
    start, rest = divmod(parameter.data_ptr() - flat.data_ptr(), flat.element_size())
    if rest or not 0 <= start <= flat.numel() - parameter.numel() or not parameter.is_contiguous():
        raise UnsuitableError("some of its parameters are not trained")
    return start
