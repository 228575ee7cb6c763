"""The learner: a policy, its optimizer, and all else that changes as it learns."""

import copy
import functools
import math
from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree, each
from clipper.errors import ConfigError
from clipper.functional.returns import discounted_sum_so_far
from clipper.learning.critic_targets import Lag
from clipper.learning.metrics import Metrics
from clipper.learning.optimizers import Adam, Optimizer
from clipper.learning.parts import Part, actor_and_critic_parts, part, whole_part
from clipper.learning.world import ALONE, World
from clipper.networks.of_agents import PolicyOfAgents
from clipper.networks.protocol import Actor

OWN_NAMES = ("extra", "skipped", "skipped_in_a_row", "generator", "progress", "running_return")
"""By which a learner saves what is no module."""


@runtime_checkable
class Stateful(Protocol):
    """What a checkpoint can keep: an ``nn.Module``, or anything else that gives its state as named tensors."""

    def state_dict(self) -> Any:
        """Named tensors."""
        ...

    def load_state_dict(self, state: Any, /) -> Any:
        """Take over a state that ``state_dict`` gave."""
        ...


class Learner:
    """A policy and all that is needed to go on improving it.

    It is made of parts, each some parameters with the optimizer that moves them. The policy's are one part, named
    ``""``; ``separate`` makes them two, the actor's ``""`` and the critic's ``"critic"``, for algorithms that take
    steps of one without the other. A part's parameters become views of one flat vector, and so do their gradients:
    zeroing, the norm, clipping and the optimizer are then one operation each, whatever the number of layers.

    What an algorithm needs besides, its ``init`` adds by name: ``learner.modules["predictor"] = predictor`` keeps its
    state, ``learner.parts["predictor"] = make_part(predictor.parameters(), Adam())`` lets it learn.
    """

    def __init__(
        self,
        policy: nn.Module,
        *,
        seed: int,
        optimizer: Optimizer | None = None,
        reward_scaler: nn.Module | None = None,
        lag: Lag = None,
        separate: bool = False,
    ) -> None:
        if isinstance(policy, PolicyOfAgents):
            raise ConfigError(
                "this policy's agents share no parameters, and learn apart: make its learner with "
                "clipper.learning.of_agents.learner_of(algorithm, policy, seed)"
            )
        self.policy: Any = policy  # an nn.Module that follows nets.Policy; no type says both
        self.behaviour: Actor = self.policy
        """μ, who acts in the rollouts: the policy itself, unless an algorithm's ``init`` puts another in its place."""
        make = actor_and_critic_parts if separate else whole_part
        self.parts: dict[str, Part] = make(policy, optimizer or Adam())
        """What optimizers move, by name."""
        self.modules: dict[str, Any] = {}
        """What else has a state that checkpoints keep (``Stateful``), by name."""
        self.extra: dict[str, Tensor] = {}
        """Numbers that an algorithm changes as it learns, by name."""
        self.lag = lag
        if lag is not None:
            self.modules["lagged"] = copy.deepcopy(policy).requires_grad_(False)
            self.extra["updates"] = torch.zeros((), dtype=torch.int64)
        if reward_scaler is not None:
            self.modules["reward_scaler"] = reward_scaler
        self.world: World = ALONE
        """Who learns from a batch together."""
        self.generator = Generator().manual_seed(seed)
        self.progress = 0.0
        """Fraction of the run that is done, for schedules."""
        self.planned: tuple[nn.Module, list[nn.Module]] | None = None
        """The policy's modules that follow it, and whose they are."""
        self.running_return: Tensor | None = None
        """γ times the discounted return so far, ``[N]``, where the next segment begins; for reward scaling."""
        self.skipped = torch.zeros((), device=self.parts[""].vectors[0].device)
        """Steps that were not taken since their loss or gradient was not finite."""

    @property
    def parameters(self) -> Tensor:
        """All that optimizers move, as one vector: the memory itself where they lie in one, otherwise a copy."""
        return one_vector(self.parts.values())

    @property
    def policy_parameters(self) -> Tensor:
        """Those of the policy's parts alone, likewise."""
        return one_vector([own for name, own in self.parts.items() if name in ("", "critic")])

    @property
    def skipped_in_a_row(self) -> Float[Tensor, ""]:
        """Steps of a part that were not taken since the last one that was, of the part that has most of them."""
        return stacked([own.skipped_in_a_row for own in self.parts.values()]).amax()

    @property
    def actor(self) -> nn.Parameter:
        """The main part's vector: where the critic is ``separate``, the actor's."""
        if len(self.parts[""].parameters) > 1:
            raise ConfigError("this algorithm moves the actor as one vector: give its parameters one dtype and device")
        return self.parts[""].parameters[0]

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The main part's."""
        return self.parts[""].optimizer

    @property
    def critic_optimizer(self) -> torch.optim.Optimizer | None:
        """The critic's, where it has its own."""
        return self.parts["critic"].optimizer if "critic" in self.parts else None

    @property
    def lagged(self) -> Any:
        """A copy of the policy whose critic lags behind, as ``lag`` says; None where nothing does."""
        return self.modules.get("lagged")

    @property
    def reward_scaler(self) -> Any:
        """What brings rewards to unit scale; None where nothing does."""
        return self.modules.get("reward_scaler")

    def advance(self, progress: float) -> None:
        """Set ``progress``, here and in every buffer of the policy that bears this name.

        The training loop calls it before it collects, so that π keeps its schedules until the update's last epoch.
        """
        self.progress = progress
        if self.planned is None or self.planned[0] is not self.policy:  # to look through all takes as long as to act
            within = (x for x in self.policy.modules() if "progress" in dict(x.named_buffers(recurse=False)))
            self.planned = self.policy, list(within)
        for module in self.planned[1]:
            module.get_buffer("progress").fill_(progress)

    def scale_rewards(self, steps: Steps, gamma: float) -> Float[Tensor, "T N"]:
        """Rewards as the scaler has them, whose statistics include this batch."""
        carry = torch.zeros_like(steps.reward[0]) if self.running_return is None else self.running_return
        carry = carry.masked_fill(~steps.mask[0], 0)  # an episode ended before row 0, or a restart has cut it off there
        returns, self.running_return = discounted_sum_so_far(steps.reward, steps.done, steps.mask, gamma, carry)
        samples = self.world.samples
        self.reward_scaler.absorb(samples(steps.reward[steps.mask]), samples(returns[steps.mask]))
        return self.reward_scaler(steps.reward)

    def absorb(self, targets: Targets) -> None:
        """Let the policy's running statistics take in the decisions of a batch and the critic's targets for them."""
        samples, mask = self.world.samples, targets.steps.mask
        mask = targets.fresh if isinstance(targets.fresh, Tensor) else mask
        self.policy.absorb(each(lambda x: samples(x[mask]), targets.steps.obs), samples(targets.value_target[mask]))

    def pass_over(self, steps: Steps) -> Metrics:
        """Learn nothing from steps without a decision, whose rows only begin episodes; no metrics.

        So it may be with ``horizon=1``, or where all environments end together. Sums of rewards begin anew.
        """
        assert not steps.mask.any()
        self.running_return = None
        return {}

    def lagged_value(self, obs: Tree, memory: Tree, again: bool) -> Float[Tensor, "*batch"]:
        """V of the copy that lags behind, which first follows, but not ``again`` within an update."""
        assert self.lag is not None
        if not again:
            self.lag(self.lagged, self.policy, int(self.extra["updates"]))
            self.extra["updates"] += 1
        return self.lagged.value(obs, memory).mean

    def stateful(self) -> dict[str, Stateful]:
        """All that has a state of its own, by the name before which it is saved: ``adam``, ``critic_adam`` …

        Raises ``ConfigError`` where two would be saved by one name.
        """
        optimizers = {
            f"{name}_{type(own.optimizer).__name__.lower()}".removeprefix("_"): own for name, own in self.parts.items()
        }
        taken = {"policy", *optimizers, *OWN_NAMES}
        for name in self.modules:
            if name in taken or "." in name:
                raise ConfigError(
                    f"learner.modules[{name!r}] cannot be saved by this name: choose one without a dot that is none of "
                    f"{', '.join(sorted(taken))}"
                )
        if len(optimizers) < len(self.parts) or any("." in name for name in self.parts):
            raise ConfigError(f"the learner's parts {', '.join(map(repr, self.parts))} need names without a dot")
        return {"policy": self.policy} | optimizers | self.modules

    def state_dict(self) -> dict[str, Tensor]:
        """Everything as named tensors, the policy included."""
        state = {f"{name}.{k}": v for name, own in self.stateful().items() for k, v in own.state_dict().items()}
        state |= {f"extra.{k}": v for k, v in self.extra.items()}
        in_a_row = [own.skipped_in_a_row for own in self.parts.values()]
        state |= {"skipped": self.skipped, "skipped_in_a_row": in_a_row[0] if len(in_a_row) == 1 else stacked(in_a_row)}
        state |= {"generator": self.generator.get_state(), "progress": torch.tensor(self.progress, dtype=torch.float64)}
        return state if self.running_return is None else state | {"running_return": self.running_return}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over a state that ``state_dict`` of a learner of the same shape gave."""
        known = {*self.stateful(), *OWN_NAMES}
        unknown = [name for name in state if name.partition(".")[0] not in known]
        if unknown:
            raise ValueError(f"learner.{unknown[0]} belongs to nothing that this learner has")
        for name, own in self.stateful().items():
            own.load_state_dict(part(state, f"{name}."))
        for name, x in part(state, "extra.").items():
            self.extra[name] = x.clone().to(self.extra[name].device if name in self.extra else "cpu")
        self.skipped.copy_(state["skipped"])
        in_a_row = state["skipped_in_a_row"].expand(len(self.parts))  # older files have one number for all
        for own, x in zip(self.parts.values(), in_a_row, strict=True):
            own.skipped_in_a_row.copy_(x)
        self.generator.set_state(state["generator"])
        self.progress = float(state["progress"])
        counts = self.skipped, *in_a_row
        if not 0 <= self.progress < math.inf or not all(0 <= float(x) < math.inf for x in counts):
            raise ValueError(f"progress {self.progress:g}, or a count of skipped steps, cannot be")
        carried = state.get("running_return")
        self.running_return = None if carried is None else carried.clone().to(self.skipped.device)


def stacked(numbers: list[Tensor]) -> Tensor:
    """Single numbers as a vector, where the first one lies."""
    return torch.stack([x.to(numbers[0]) for x in numbers])


def one_vector(parts: Iterable[Part]) -> Tensor:
    """The vectors of some parts: the one itself where they share it, otherwise a copy of all, one after another."""
    first, *others = {id(x): x for own in parts for x in own.vectors}.values()
    if not others:
        return first
    widest = functools.reduce(torch.promote_types, [x.dtype for x in others], first.dtype)
    return torch.cat([x.detach().flatten().to(first.device, widest) for x in (first, *others)])
