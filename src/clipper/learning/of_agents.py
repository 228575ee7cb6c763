"""Agents that do not share parameters learn apart: a learner for each group, from the columns of its agents."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from clipper.data.steps import Steps
from clipper.data.trees import Tree, each
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.parts import Part, part
from clipper.learning.world import ALONE
from clipper.networks.of_agents import PolicyOfAgents

# What all members have together is computed where it is read, while a ``Learner`` keeps it.
# pyright: reportIncompatibleVariableOverride=false


@runtime_checkable
class Beginning(Protocol):
    """What is asked of an algorithm to make learners."""

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        """A learner of the policy."""
        ...


class LearnerOfAgents(Learner):
    """A learner for each group of agents: its parameters, optimizer, generator and statistics are its own."""

    def __init__(self, policy: PolicyOfAgents, members: list[Learner], generator: Generator) -> None:
        self.policy, self.members, self.generator = policy, members, generator
        self.behaviour = policy
        found = [(i, name, own) for i, member in enumerate(members) for name, own in member.parts.items()]
        self.parts: dict[str, Part] = {f"{i}_{name}".removesuffix("_"): own for i, name, own in found}
        self.modules, self.extra, self.lag = {}, {}, None
        self.world, self.progress, self.planned = ALONE, 0.0, None

    @property
    def skipped(self) -> Tensor:
        """Steps that were not taken, of all groups."""
        return torch.stack([member.skipped for member in self.members]).sum()

    @property
    def skipped_in_a_row(self) -> Tensor:
        """The most of any group."""
        return torch.stack([member.skipped_in_a_row for member in self.members]).amax()

    @property
    def running_return(self) -> Tensor | None:
        """Those of all columns, group by group."""
        found = [member.running_return for member in self.members if member.running_return is not None]
        return torch.cat(found) if found else None

    @running_return.setter
    def running_return(self, nothing: None) -> None:
        for member in self.members:
            member.running_return = nothing

    @property
    def policy_parameters(self) -> Tensor:
        """All that optimizers move."""
        return self.parameters

    def advance(self, progress: float) -> None:
        super().advance(progress)
        for member in self.members:
            member.progress = progress

    def columns(self, steps: Steps) -> list[Tensor]:
        """Which columns of a segment are each group's."""
        return self.policy.columns(steps.mask.shape[1])

    def state_dict(self) -> dict[str, Tensor]:
        """All policies once, and what else each member has, by its number."""
        state = {f"policy.{name}": x for name, x in self.policy.state_dict().items()}
        for i, member in enumerate(self.members):
            own = member.state_dict().items()
            state |= {f"agents.{i}.{name}": x for name, x in own if not name.startswith("policy.")}
        progress = torch.tensor(self.progress, dtype=torch.float64)
        return state | {"generator": self.generator.get_state(), "progress": progress}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.policy.load_state_dict(part(state, "policy."))
        known = {"generator", "progress"} | {f"agents.{i}" for i in range(len(self.members))}
        for name in state:
            if not name.startswith("policy.") and ".".join(name.split(".")[:2]) not in known:
                raise ValueError(f"learner.{name} belongs to nothing that this learner has")
        for i, member in enumerate(self.members):
            own = {f"policy.{name}": x for name, x in member.policy.state_dict().items()}
            member.load_state_dict(own | part(state, f"agents.{i}."))
        self.generator.set_state(state["generator"])
        self.progress = float(state["progress"])


def learner_of(algorithm: Beginning, policy: nn.Module, seed: int) -> Learner:
    """The algorithm's learner of a policy; of one whose agents share no parameters, a learner for each group."""
    if not isinstance(policy, PolicyOfAgents):
        return algorithm.init(policy, seed=seed)
    generator = Generator().manual_seed(seed)
    seeds = torch.randint(2**62, (len(policy.names),), generator=generator).tolist()
    members = [algorithm.init(member, seed=own) for member, own in zip(policy.policies, seeds, strict=True)]
    return LearnerOfAgents(policy, members, generator)


def members_of(learner: Learner, steps: Steps) -> tuple[Sequence[Learner], list[Tensor], int]:
    """The learners of a segment, the columns of each, and how many agents an environment has; of one policy all."""
    if isinstance(learner, LearnerOfAgents):
        return learner.members, learner.columns(steps), len(learner.policy.groups)
    return [learner], [torch.arange(steps.mask.shape[1])], 1


def columns_of(steps: Steps, last_obs: Tree, own: Tensor) -> tuple[Steps, Tree]:
    """The part of a segment, and of the observations after it, that lies in some columns."""
    return each(lambda x: x[:, own.to(x.device)], steps), each(lambda x: x[own.to(x.device)], last_obs)


def learn_apart(
    learner: LearnerOfAgents, steps: Steps, last_obs: Tree, update: Callable[[Learner, Steps, Tree], Metrics]
) -> Metrics:
    """Each group's update from its own columns, which sees nothing of the others'; what to watch, over all groups."""
    parts = zip(learner.members, learner.columns(steps), strict=True)
    return over_groups([update(member, *columns_of(steps, last_obs, own)) for member, own in parts])


def over_groups(watched: Sequence[Metrics]) -> Metrics:
    """What was watched of each group that has learned → its mean, or the largest or least of what ends so."""
    found: Metrics = {}
    for name in dict.fromkeys(name for metrics in watched for name in metrics):
        x = torch.stack([metrics[name] for metrics in watched if name in metrics])
        found[name] = x.amax() if name.endswith("_max") else x.amin() if name.endswith("_min") else x.mean()
    return found
