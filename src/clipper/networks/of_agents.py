"""Policies of agents that do not share parameters: each group of agents has a network, all columns act in one call."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Generator, Tensor, nn

from clipper.data.steps import Value
from clipper.data.trees import Tree, each, leaves
from clipper.distributions import Composite, Distribution
from clipper.errors import ConfigError
from clipper.networks.actor_critic import ActorCritic, warn_without_masks
from clipper.networks.critics import CriticOutput
from clipper.networks.encoders import Encoder
from clipper.networks.heads import Head
from clipper.networks.memory import Memories

# What members have in common is read of the first, which pyright takes for other attributes than ``ActorCritic``'s.
# pyright: reportIncompatibleVariableOverride=false


class PolicyOfAgents(ActorCritic):
    """One ``ActorCritic`` for each group of agents, made for the same spaces.

    Row e·A + a of whatever it is given is agent a of environment e, so there are always rows of all A agents.
    ``groups`` has the name of each agent's group; ``members`` are the networks, in the order in which ``names`` first
    occur there. Members learn apart (``clipper.learning.of_agents``), and each is a policy by itself:
    ``policy.of("agent_0")``.
    """

    def __init__(self, groups: tuple[str, ...], members: Sequence[ActorCritic]) -> None:
        nn.Module.__init__(self)
        self.groups, self.names, self.members = groups, tuple(dict.fromkeys(groups)), nn.ModuleList(members)
        assert len(self.names) == len(self.members)
        first = members[0]
        self.mask_key, self.ignore, self.action_space = first.mask_key, first.ignore, first.action_space
        self.options, self.to_env, self.warned = None, first.to_env, False
        self.renew = None if first.renew is None else self.renew_each

    def of(self, name: str) -> ActorCritic:
        """The policy of one group."""
        if name not in self.names:
            raise ConfigError(f"there is no group of agents {name!r}: there are {', '.join(self.names)}")
        return self.policies[self.names.index(name)]

    @property
    def policies(self) -> list[ActorCritic]:
        """The members, as what they are."""
        return [member for member in self.members if isinstance(member, ActorCritic)]

    @property
    def encoder(self) -> Encoder:
        """The first member's, which sees what all do."""
        return self.policies[0].encoder

    @property
    def critic_encoder(self) -> Encoder | None:
        """Likewise."""
        return self.policies[0].critic_encoder

    @property
    def head(self) -> Head:
        """Likewise."""
        return self.policies[0].head

    @property
    def memory(self) -> Memories | None:
        """The first member's, which empties and keeps the memory of any."""
        return self.policies[0].memory

    @property
    def masked(self) -> bool:
        """Did they learn with action masks?"""
        return self.policies[0].masked

    @masked.setter
    def masked(self, masked: bool) -> None:
        for member in self.policies:
            member.masked = masked

    def check_agents(self, agents: Sequence[str], where: str) -> None:
        """Raise ``ConfigError`` where an environment has another number of agents."""
        if len(agents) != len(self.groups):
            raise ConfigError(
                f"this policy has parameters of the groups of {len(self.groups)} agents, {', '.join(self.groups)}, and "
                f"{where} has {len(agents)}: play where it has learned, or take one member, "
                f"policy.of({self.names[0]!r})"
            )

    def columns(self, n: int) -> list[Tensor]:
        """Which of n rows are each member's; raises ``ConfigError`` where rows of some agents are missing."""
        if n == 0 or n % len(self.groups):
            raise ConfigError(
                f"this policy has parameters of {len(self.names)} groups of {len(self.groups)} agents, and {n} rows "
                "are not of all of them: give one for each agent of each environment, or ask one member, "
                f"policy.of({self.names[0]!r})"
            )
        agent = torch.arange(n) % len(self.groups)
        own = torch.tensor([self.names.index(name) for name in self.groups])[agent]
        return [(own == g).nonzero().squeeze(-1) for g in range(len(self.names))]

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple["ByColumns", Tree]:
        columns, dists, after = self.columns(len(leaves(obs)[0])), list[Distribution](), list[Tree]()
        for member, own in zip(self.policies, columns, strict=True):
            dist, remembered = member.act(*(of_rows(x, own) for x in (obs, memory, action_mask)))
            dists.append(dist)
            after.append(remembered)
        kind = CompositeByColumns if isinstance(dists[0], Composite) else ByColumns
        return kind(dists, columns), merged(after, columns)

    def value(self, obs: Tree, memory: Tree = ()) -> CriticOutput:
        """V(s) of each row, by its own group's critic."""
        columns = self.columns(len(leaves(obs)[0]))
        parts = zip(self.policies, columns, strict=True)
        found = [member.value(of_rows(obs, own), of_rows(memory, own)).mean for member, own in parts]
        return Value(merged(found, columns))

    def forward(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple["ByColumns", CriticOutput]:
        return self.act(obs, memory, action_mask)[0], self.value(obs, memory)

    def actor_parameters(self) -> list[nn.Parameter]:
        return [p for member in self.policies for p in member.actor_parameters()]

    def critic_parameters(self) -> list[nn.Parameter]:
        return [p for member in self.policies for p in member.critic_parameters()]

    def renew_each(self, memory: Tree, begins: np.ndarray, generator: Generator) -> Tree:
        """Noise that lasts over steps, by each member for its own rows."""
        columns, found = self.columns(len(begins)), list[Tree]()
        for member, own in zip(self.policies, columns, strict=True):
            assert member.renew is not None
            found.append(member.renew(of_rows(memory, own), begins[own.numpy()], generator))
        return merged(found, columns)

    @torch.no_grad()
    def predict(
        self, obs: Tree, deterministic: bool = True, generator: Generator | None = None, *, action_mask: Tree = None,
        memory: Tree = None, begins: bool | np.ndarray = False,
    ) -> Tree:  # fmt: skip
        """As ``ActorCritic.predict``, for a batch with a row for each agent of each environment."""
        if memory is None and self.memory is not None:
            raise ConfigError("this policy has a memory: action, memory = policy.predict(obs, memory=memory), () first")
        tensors, _, n = self.read(self.encoder.space, obs)
        mask = self.read_masks(obs, action_mask, False, n)
        if action_mask is None and not leaves(mask):
            warn_without_masks(self, "predict was given none: give action_mask=", above=4)
        before = () if self.memory is None else self.memory.forget(memory or (), np.broadcast_to(begins, (n,)))
        dist, after = self.act(tensors, before, mask)
        action = self.to_env(dist.mode if deterministic else dist.sample(generator), mask)
        return action if memory is None else (action, after)


class ByColumns:
    """Distributions of groups of rows, together one over all rows."""

    def __init__(self, dists: list[Distribution], columns: list[Tensor]) -> None:
        self.dists, self.columns = dists, columns

    def each(self, f: Callable[[Tree, Tree], Tree], others: Sequence[Tree]) -> Tree:
        """What ``f`` gives of each group's distribution and its part of the others, row by row."""
        return merged([f(dist, x) for dist, x in zip(self.dists, others, strict=True)], self.columns)

    def parts(self, tree: Tree) -> list[Tree]:
        """Each group's rows."""
        return [of_rows(tree, own) for own in self.columns]

    def sample(self, generator: Generator | None = None) -> Tree:
        """Group after group."""
        return self.each(lambda dist, _: dist.sample(generator), self.dists)

    @property
    def mode(self) -> Tree:
        return self.each(lambda dist, _: dist.mode, self.dists)

    def log_prob(self, action: Tree) -> Tensor:
        return self.each(lambda dist, own: dist.log_prob(own), self.parts(action))

    def entropy(self) -> Tensor:
        return self.each(lambda dist, _: dist.entropy(), self.dists)

    def kl(self, other: "ByColumns") -> Tensor:
        return self.each(lambda dist, own: dist.kl(own), other.dists)

    @property
    def params(self) -> tuple[Tree, ...]:
        """Those of each group's."""
        return tuple(dist.params for dist in self.dists)


class CompositeByColumns(ByColumns):
    """The same of hybrid actions, whose parts have probabilities of their own."""

    def log_probs(self, action: Tree) -> Tree:
        return self.each(lambda dist, own: dist.log_probs(own), self.parts(action))

    def entropies(self) -> Tree:
        return self.each(lambda dist, _: dist.entropies(), self.dists)

    def kls(self, other: ByColumns) -> Tree:
        return self.each(lambda dist, own: dist.kls(own), other.dists)


def of_rows(tree: Tree, own: Tensor) -> Tree:
    """Some rows of every tensor, or of an array as an environment gives it."""
    return each(lambda x: x[own.to(x.device)] if isinstance(x, Tensor) else x[own.numpy()], tree)


def merged(parts: Sequence[Tree], columns: Sequence[Tensor]) -> Tree:
    """The inverse: rows of groups, each where it stood."""
    order = torch.cat(list(columns)).argsort()
    return each(lambda *x: torch.cat(x)[order.to(x[0].device)], *parts)
