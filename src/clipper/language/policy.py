"""A causal language model and a critic as one policy: what algorithms ask of any (``networks.protocol.Policy``)."""

import copy
from collections.abc import Iterable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from clipper.data.steps import Value
from clipper.data.trees import Tree
from clipper.distributions.readout import Readout
from clipper.errors import ConfigError
from clipper.language.context import Context
from clipper.language.models import hidden_states, output_layer, trunk_of


class TokenPolicy(nn.Module):
    """π(token|prompt and response so far), and V of the same states.

    ``critic`` is ``"own"``, a trunk of its own that begins as a copy of the model's; ``"shared"``, a head on the
    model's own trunk; or None, for algorithms without V. V begins at 0. Dropout is off, always.
    ``micro_batch`` bounds how many responses go through the model at once: activations are then computed anew for the
    gradient, which stays that of the whole minibatch.
    """

    def __init__(
        self,
        lm: nn.Module,
        critic: Literal["own", "shared"] | None = "own",
        temperature: float = 1.0,
        micro_batch: int | None = None,
    ) -> None:
        super().__init__()
        if critic not in ("own", "shared", None):
            raise ConfigError(f"the critic is {critic!r}: there are 'own', 'shared' and None")
        if not temperature > 0:
            raise ConfigError(f"the temperature is {temperature:g}: it must be above 0")
        self.lm = lm
        self.temperature, self.micro_batch = temperature, micro_batch
        self.critic = copy.deepcopy(trunk_of(self.lm)) if critic == "own" else None
        self.value_layer = None
        if critic is not None:
            weight = output_layer(self.lm).weight
            self.value_layer = nn.Linear(weight.shape[1], 1, dtype=weight.dtype, device=weight.device)
            for parameter in self.value_layer.parameters():
                nn.init.zeros_(parameter)
        self.register_state_dict_post_hook(leave_out_ties)
        self.register_load_state_dict_pre_hook(bring_back_ties)
        self.eval()

    def train(self, mode: bool = True) -> "TokenPolicy":
        """Never in training mode: dropout would make another policy of each pass."""
        return super().train(False)

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Readout, Tree]:
        """π(·|s) of the rows of a ``Context``; the critic does not run."""
        return self.distribution(self.states(trunk_of(self.lm), obs, memory)), memory

    def value(self, obs: Tree, memory: Tree = ()) -> Value:
        """V(s) of the rows of a ``Context``, and of one row more where ``obs`` has it."""
        return self.value_of(self.states(self.critic or trunk_of(self.lm), obs, memory))

    def forward(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Readout, Value]:
        """π(·|s) and V(s); a shared trunk runs once."""
        hidden = self.states(trunk_of(self.lm), obs, memory)
        seen = hidden if self.critic is None else self.states(self.critic, obs, memory)
        return self.distribution(hidden), self.value_of(seen)

    def distribution(self, hidden: Float[Tensor, "*batch d"]) -> Readout:
        """π(·|s) of the states' hidden numbers."""
        layer = output_layer(self.lm)
        return Readout(
            hidden / self.temperature, layer.weight, () if layer.bias is None else layer.bias / self.temperature
        )

    def value_of(self, hidden: Float[Tensor, "*batch d"]) -> Value:
        """V(s) of the states' hidden numbers."""
        if self.value_layer is None:
            raise ConfigError("this policy has no V (critic=None): make it with critic='own' or 'shared'")
        return Value(self.value_layer(hidden).squeeze(-1))

    def states(self, trunk: nn.Module, obs: Tree, memory: Tree) -> Float[Tensor, "*batch d"]:
        """The hidden numbers of each row's state, ``[T, N, d]``, or ``[M, d]`` of a flat batch."""
        if not isinstance(memory, Context) or not isinstance(obs, Tensor):
            raise ConfigError("a TokenPolicy reads the tokens in Steps.memory, a clipper.language.context.Context")
        flat = isinstance(memory.rows, Tensor)
        position = memory.position[:-1] if flat else memory.position[: len(obs)]
        size = self.micro_batch or position.shape[1]
        parts = zip(memory.tokens.split(size, 1), position.split(size, 1), strict=True)
        again = torch.is_grad_enabled() and size < position.shape[1]
        found = [
            checkpoint(run, trunk, *part, use_reentrant=False, preserve_rng_state=False) if again else run(trunk, *part)
            for part in parts
        ]
        hidden = torch.cat(found, 1) if len(found) > 1 else found[0]
        return hidden[memory.rows] if flat else hidden

    def to_env(self, action: Tree, action_mask: Tree = ()) -> Tree:
        """Tokens are what they are."""
        return action

    def actor_parameters(self) -> Iterable[nn.Parameter]:
        """The model's."""
        return self.lm.parameters()

    def critic_parameters(self) -> Iterable[nn.Parameter]:
        """Of the trunk that V reads, and of its layer."""
        layers = [] if self.value_layer is None else [*self.value_layer.parameters()]
        return [*(self.critic or trunk_of(self.lm)).parameters(), *layers]

    def absorb(self, obs: Tree, returns: Float[Tensor, " batch"]) -> None:
        """Nothing: there are no running statistics."""


def run(trunk: nn.Module, tokens: Tensor, position: Tensor) -> Float[Tensor, "T N d"]:
    """Hidden numbers at these positions; padding behind the last of them is not read."""
    hidden = hidden_states(trunk, tokens[: int(position.amax()) + 1].T)
    return hidden.gather(1, position.T[..., None].expand(-1, -1, hidden.shape[-1])).transpose(0, 1)


def ties(policy: nn.Module) -> dict[str, str]:
    """Further names of parameters that are one, as tied embeddings are, each with the first."""
    first: dict[int, str] = {}
    found: dict[str, str] = {}
    for name, parameter in policy.named_parameters(remove_duplicate=False):
        if first.setdefault(id(parameter), name) != name:
            found[name] = first[id(parameter)]
    return found


def leave_out_ties(policy: nn.Module, state: dict[str, Tensor], prefix: str, _: object) -> None:
    """A file holds each parameter once."""
    for name in ties(policy):
        state.pop(prefix + name, None)


def bring_back_ties(policy: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """And a module finds it under all its names."""
    for name, first in ties(policy).items():
        if prefix + first in state:
            state.setdefault(prefix + name, state[prefix + first])
