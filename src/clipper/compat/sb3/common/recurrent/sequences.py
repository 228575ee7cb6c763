"""A buffer's rows as Clipper's losses read what follows one another: each row knows the states before it."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clipper.compat.sb3.common.clipper_policy import LearntPolicy, clippers
from clipper.compat.sb3.common.recurrent.type_aliases import RNNStates, State
from clipper.data.steps import Targets, Value
from clipper.data.trees import Tree, each
from clipper.networks.memory.recurrent import cut


class Sequences(NamedTuple):
    """``Steps.memory`` of ``[B, K]`` rows, or of ``M`` one after another; a sequence is in one column."""

    states: RNNStates
    """Before each row, ``[B, K, layers, size]``: as the weights of then wrote them, and 0 where an episode begins."""
    begins: Bool[Tensor, "*rows"]
    """At which rows a sequence does: there the state is what ``states`` says."""

    def decisions(self, batch: Targets) -> Targets:
        """The decisions of some columns, column after column."""
        mask = batch.steps.mask.T
        return each(lambda x: x.transpose(0, 1)[mask], batch)


def in_columns(targets: Targets, states: RNNStates, starts: Bool[Tensor, "T N"], size: int, first: int) -> Targets:
    """Rows ``[T, N]``, environment after environment from the ``first`` on, as columns ``[size, K]``.

    The last column may be filled up with rows that are no decisions. ``states`` are ``[T, N, layers, size]``,
    ``starts`` says before which rows an episode begins.
    """
    length, total = len(starts), starts.numel()
    count = -(-total // size)
    order = torch.arange(first, first + total, device=starts.device) % total
    place = nn.functional.pad(order, (0, count * size - total)).view(count, size).T
    real = total > torch.arange(count * size, device=starts.device).view(count, size).T
    fresh = starts[..., None, None]
    memory = Sequences(RNNStates(*each(lambda x: x.masked_fill(fresh, 0), tuple(states))), starts)
    whole = targets._replace(steps=targets.steps._replace(memory=memory))
    found = each(lambda x: x.transpose(0, 1).flatten(0, 1)[place], whole)
    begins = found.steps.memory.begins | (place % length == 0)
    begins[0] = True
    memory = found.steps.memory._replace(begins=begins)
    return found._replace(steps=found.steps._replace(memory=memory, mask=real))


def along(
    lstm: nn.LSTM, features: Float[Tensor, "M F"], states: State, begins: Bool[Tensor, " M"]
) -> Float[Tensor, "M size"]:
    """What an LSTM says of rows; where a sequence begins, it has the state ``[M, layers, size]`` of that row."""
    outputs, places = [], []
    for piece in cut(begins[:, None]):
        old = tuple(x[piece.row[0]].transpose(0, 1).contiguous() for x in states)
        out, _ = lstm(features[piece.row], old)
        outputs.append(out[piece.real])
        places.append(piece.row[piece.real])
    found = torch.cat(outputs)
    return torch.empty_like(found).index_put((torch.cat(places),), found)


class LearntRecurrentPolicy(LearntPolicy):
    """What Clipper's losses see of a policy with an LSTM."""

    def forward(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Tree, Value]:
        rows, lead = self.flat(obs)
        latent_pi, latent_vf = self.policy.latents_along(rows, memory)
        found = self.policy._get_action_dist_from_latent(latent_pi)
        return clippers(found, lead), Value(self.policy.value_net(latent_vf).reshape(lead))
