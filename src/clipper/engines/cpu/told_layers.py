"""The definition's losses on the kernels' layers: torch has what the last layers say, and gives back its slopes.

So whatever follows a policy's layers is the definition itself: distributions, losses, KLs, and what an algorithm does
with them. Only the first derivative is known here.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from clipper.data.trees import Tree
from clipper.engines.cpu.calls import Packed
from clipper.engines.cpu.kernel_files import Kernels
from clipper.engines.cpu.kernels.tables import Net, Work
from clipper.engines.cpu.layers import offset
from clipper.engines.cpu.network import Network
from clipper.engines.cpu.observation_rows import ObservationRows
from clipper.networks.actor_critic import ActorCritic


class Layers:
    """Some layers of the table, and which of their outputs torch reads."""

    def __init__(
        self, kernels: Kernels, net: Net, work: Packed[Work], rows: ObservationRows, places: list[tuple[int, int, int]],
        parameters: list[Tensor], flat: Tensor,
    ) -> None:  # fmt: skip
        self.kernels, self.net, self.work, self.rows = kernels, Packed(net), work, rows
        self.places = np.array(places, np.int64).reshape(-1, 3)
        self.width = int(self.places[:, 1].sum())
        self.parameters, self.size = parameters, flat.numel()
        self.firsts = [offset(p, flat) for p in parameters]

    def tell(self, obs: np.ndarray) -> np.ndarray:
        """The outputs ``[B, numbers]`` for ``obs [B, F]``."""
        told = np.empty((len(obs), self.width), np.float32)
        self.kernels.tell(self.net, self.places, obs, self.work, told)
        return told

    def pull(self, obs: np.ndarray, slopes: np.ndarray) -> list[Tensor]:
        """From a loss's slopes by the outputs to those by each of the parameters."""
        gradient = np.zeros(self.size, np.float32)
        self.kernels.pull(self.net, self.places, obs, self.work, slopes, gradient)
        whole = torch.from_numpy(gradient)
        return [
            whole[first : first + p.numel()].view_as(p)
            for first, p in zip(self.firsts, self.parameters, strict=True)
        ]  # fmt: skip


class Told(torch.autograd.Function):
    """Layers' outputs as torch has them, with the way back to the parameters."""

    @staticmethod
    def forward(ctx: FunctionCtx, layers: Layers, obs: np.ndarray, *_: Tensor) -> Tensor:
        ctx.layers, ctx.obs = layers, obs  # pyright: ignore[reportAttributeAccessIssue] (what torch leaves to its user)
        return torch.from_numpy(layers.tell(obs))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride] (by the decorator)
        (slopes,) = grad_outputs
        return None, None, *ctx.layers.pull(ctx.obs, slopes.contiguous().numpy())


class Trunk(nn.Module):
    """Stands where a policy has its trunk: observations → all that the layers say which it leads to."""

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, obs: Tree) -> Tensor:
        """``[*batch, numbers]``."""
        rows = self.layers.rows
        first = rows.leaves[0]
        seen: Tensor = first.of(obs)
        lead = tuple(seen.shape[: seen.ndim - len(first.shape)])
        flat = rows.of(obs, (int(np.prod(lead)),))
        told: Tensor = Told.apply(self.layers, flat, *self.layers.parameters)  # pyright: ignore[reportAssignmentType]
        return told.view(*lead, self.layers.width)


class AsItIs(nn.Module):
    """Stands where a policy has its encoder, whose work the first layers of the table do."""

    def forward(self, obs: Tree) -> Tree:
        """What it is given."""
        return obs


class Part(nn.Module):
    """Stands where a policy has one of its last layers: what that says, out of all outputs."""

    def __init__(self, first: int, size: int) -> None:
        super().__init__()
        self.first, self.size = first, size

    def forward(self, told: Tensor) -> Tensor:
        """``[*batch, size]``."""
        return told[..., self.first : self.first + self.size]


class ToldPolicy:
    """A policy's own heads and critic's answer over the kernels' layers. Parameters and statistics are the policy's."""

    def __init__(
        self, policy: ActorCritic, kernels: Kernels, net: Net, work: Packed[Work], network: Network, flat: Tensor
    ) -> None:
        self.policy = policy
        shared = policy.critic is policy.actor
        names = {name: network.slots[m] for name, m in policy.named_modules() if m in network.slots}
        last = {name: slot for name, slot in names.items() if name.startswith("head.")}
        value = {"value_layer": network.value}
        self.twin = twin_of(policy)
        self.twin.encoder, self.twin.critic_encoder = AsItIs(), None  # pyright: ignore[reportAttributeAccessIssue]
        actor = network.layers if shared else network.actor
        parameters = [*network.actor_parameters, *(p for p in network.critic_parameters if shared)]
        unique = list({id(p): p for p in parameters}.values())
        made = net._replace(layers=actor), work, network.rows, self.replaced(last | (value if shared else {}))
        self.actor = Layers(kernels, *made, unique, flat)
        self.twin.actor = self.twin.critic = Trunk(self.actor)
        if not shared:
            made = net._replace(layers=network.critic), work, network.rows, self.replaced(value)
            self.twin.critic = Trunk(Layers(kernels, *made, network.critic_parameters, flat))

    def replaced(self, layers: dict[str, int]) -> list[tuple[int, int, int]]:
        """Put parts in these layers' place; where their outputs stand, and where torch reads them."""
        places = list[tuple[int, int, int]]()
        for name, slot in layers.items():
            parent, _, own = name.rpartition(".")
            linear, first = self.twin.get_submodule(name), sum(size for _, size, _ in places)
            assert isinstance(linear, nn.Linear)
            setattr(self.twin.get_submodule(parent), own, Part(first, linear.out_features))
            places.append((slot, linear.out_features, first))
        return places

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The policy itself, which computes so as long as this lasts."""
        policy, twin = self.policy, self.twin
        policy.forward, policy.act, policy.value = twin.forward, twin.act, twin.value
        try:
            yield
        finally:
            del policy.forward, policy.act, policy.value


def twin_of(policy: ActorCritic) -> ActorCritic:
    """A policy of other modules, which have the same parameters and statistics."""
    same = (*policy.parameters(), *policy.buffers(), policy.options, policy.action_space, policy.encoder.space)
    return copy.deepcopy(policy, {id(x): x for x in same})
