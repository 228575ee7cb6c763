"""The learner: a policy, its optimizer, and all else that changes as it learns."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.errors import ConfigError
from clipper.functional.returns import discounted_sum_so_far
from clipper.learning.critic_targets import TargetCritic
from clipper.learning.metrics import Metrics
from clipper.learning.optimizers import Adam, Optimizer
from clipper.networks.normalise import RewardNormaliser, RewardScaler


class Learner:
    """A policy and all that is needed to go on improving it.

    The trainable parameters become views of one flat vector, and so do their gradients: zeroing, the norm, clipping and
    Adam are then one operation each, whatever the number of layers. ``apart`` puts the actor's parameters first, the
    critic's second, and gives each its own optimizer, for algorithms that take steps of one without the other.
    """

    def __init__(
        self,
        policy: nn.Module,
        *,
        seed: int,
        adam_eps: float = 1e-5,
        optimizer: Optimizer | None = None,
        reward_scaler: RewardScaler | RewardNormaliser | None = None,
        target_critic: TargetCritic = None,
        apart: bool = False,
    ) -> None:
        self.policy: Any = policy  # an nn.Module that follows nets.Policy; no type says both
        self.reward_scaler = reward_scaler
        make = (optimizer or Adam(adam_eps)).make
        self.extra: dict[str, Tensor] = {}
        """What else an algorithm changes as it learns, by name; ``init`` fills it, checkpoints keep it."""
        self.critic_optimizer: torch.optim.Optimizer | None = None
        if apart:
            actor, critic = actor_and_critic(self.policy)
            self.parameters = flatten([*actor, *critic])
            self.actor, rest = halves(self.parameters, sum(p.numel() for p in actor))
            self.optimizer, self.critic_optimizer = make(self.actor), make(rest)
        else:
            self.parameters = flatten(p for p in policy.parameters() if p.requires_grad)
            self.optimizer = make(self.parameters)
        self.target_critic = target_critic
        self.lagged: Any = None if target_critic is None else copy.deepcopy(policy).requires_grad_(False)
        """A copy of the policy whose critic lags behind, as ``target_critic`` says."""
        if target_critic is not None:
            self.extra["updates"] = torch.zeros((), dtype=torch.int64)
        self.generator = Generator().manual_seed(seed)
        self.progress = 0.0
        """Fraction of the run that is done, for schedules."""
        self.running_return: Tensor | None = None
        """γ times the discounted return so far, ``[N]``, where the next segment begins; for reward scaling."""
        self.skipped = torch.zeros((), device=self.parameters.device)
        """Steps that were not taken since their loss or gradient was not finite."""
        self.skipped_in_a_row = self.skipped.clone()
        """Those since the last step that was taken."""

    def advance(self, progress: float) -> None:
        """Set ``progress``, here and in every buffer of the policy that bears this name.

        The training loop calls it before it collects, so that π keeps its schedules until the update's last epoch.
        """
        self.progress = progress
        for name, buffer in self.policy.named_buffers():
            if name.rpartition(".")[2] == "progress":
                buffer.fill_(progress)

    def scale_rewards(self, steps: Steps, gamma: float) -> Float[Tensor, "T N"]:
        """Rewards as the scaler has them, whose statistics include this batch."""
        assert self.reward_scaler is not None
        carry = torch.zeros_like(steps.reward[0]) if self.running_return is None else self.running_return
        carry = carry.masked_fill(~steps.mask[0], 0)  # an episode ended before row 0, or a restart has cut it off there
        returns, self.running_return = discounted_sum_so_far(steps.reward, steps.done, steps.mask, gamma, carry)
        self.reward_scaler.absorb(steps.reward[steps.mask], returns[steps.mask])
        return self.reward_scaler(steps.reward)

    def pass_over(self, steps: Steps) -> Metrics:
        """Learn nothing from steps without a decision, whose rows only begin episodes; no metrics.

        So it may be with ``horizon=1``, or where all environments end together. Sums of rewards begin anew.
        """
        assert not steps.mask.any()
        self.running_return = None
        return {}

    def lagged_value(self, obs: Tree, memory: Tree, again: bool) -> Float[Tensor, "*batch"]:
        """V of the copy that lags behind, which first follows, but not ``again`` within an update."""
        assert self.target_critic is not None
        if not again:
            self.target_critic(self.lagged, self.policy, int(self.extra["updates"]))
            self.extra["updates"] += 1
        return self.lagged.value(obs, memory).mean

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """By the names under which their moments are saved."""
        name = type(self.optimizer).__name__.lower()
        return {name: self.optimizer} | (
            {} if self.critic_optimizer is None else {f"critic_{name}": self.critic_optimizer}
        )

    def state_dict(self) -> dict[str, Tensor]:
        """Everything as named tensors, the policy included."""
        state = {f"policy.{k}": v for k, v in self.policy.state_dict().items()}
        for name, optimizer in self.optimizers().items():
            [parameters] = optimizer.param_groups[0]["params"]
            state |= {f"{name}.{k}": v for k, v in optimizer.state.get(parameters, {}).items()}
        if self.lagged is not None:
            state |= {f"lagged.{k}": v for k, v in self.lagged.state_dict().items()}
        state |= {f"extra.{k}": v for k, v in self.extra.items()}
        state |= {"skipped": self.skipped, "skipped_in_a_row": self.skipped_in_a_row}
        state |= {"generator": self.generator.get_state(), "progress": torch.tensor(self.progress, dtype=torch.float64)}
        if self.reward_scaler is not None:
            state |= {f"reward_scaler.{k}": v for k, v in self.reward_scaler.state_dict().items()}
        if self.running_return is not None:
            state["running_return"] = self.running_return
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over a state that ``state_dict`` of a learner of the same shape gave."""
        self.policy.load_state_dict(part(state, "policy."))
        if self.lagged is not None:
            self.lagged.load_state_dict(part(state, "lagged."))
        for name, optimizer in self.optimizers().items():
            [parameters] = optimizer.param_groups[0]["params"]
            moments = {k: v.clone() for k, v in part(state, f"{name}.").items()}
            check_moments(moments, parameters)
            optimizer.state[parameters] = moments
        self.extra |= {k: v.clone() for k, v in part(state, "extra.").items()}
        self.skipped.copy_(state["skipped"])
        self.skipped_in_a_row.copy_(state["skipped_in_a_row"])
        self.generator.set_state(state["generator"])
        self.progress = float(state["progress"])
        if self.reward_scaler is not None:
            self.reward_scaler.load_state_dict(part(state, "reward_scaler."))
        self.running_return = state["running_return"].clone() if "running_return" in state else None


def check_moments(moments: dict[str, Tensor], parameters: Tensor) -> None:
    """Raise ``TypeError`` unless an optimizer of ``parameters`` can hold them: its kernels look at no shape."""
    for name, x in moments.items():
        shape = () if name == "step" else parameters.shape
        if x.shape != shape or (shape and x.dtype != parameters.dtype):
            raise TypeError(f"{name} is {x.dtype} of shape {list(x.shape)}, not of the parameters' {list(shape)}")


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose name begins with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def actor_and_critic(policy: Any) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The trainable parameters of each; raises ``ConfigError`` where the two share some."""
    if not hasattr(policy, "actor_parameters") or not hasattr(policy, "critic_parameters"):
        raise ConfigError(f"this algorithm needs {type(policy).__name__}.actor_parameters() and critic_parameters()")
    actor, critic = (
        [p for p in group if p.requires_grad] for group in (policy.actor_parameters(), policy.critic_parameters())
    )
    if {id(p) for p in actor} & {id(p) for p in critic}:
        raise ConfigError(
            "this algorithm moves actor and critic apart, but they share parameters: use separate trunks "
            "(shared=False), or an algorithm with one loss for both (PPO, A2C)"
        )
    known = {id(p) for p in [*actor, *critic]}
    left = [name for name, p in policy.named_parameters() if p.requires_grad and id(p) not in known]
    if left or not actor or not critic:
        raise ConfigError(
            "actor_parameters() and critic_parameters() must each give some parameters, and together all that are "
            f"trainable; they leave out: {', '.join(left) or 'none'}"
        )
    return actor, critic


def halves(flat: nn.Parameter, size: int) -> tuple[nn.Parameter, nn.Parameter]:
    """The first ``size`` numbers of a flat parameter and the rest: parameters that are views, like their gradients."""
    assert flat.grad is not None
    first, second = nn.Parameter(flat.data[:size]), nn.Parameter(flat.data[size:])
    first.grad, second.grad = flat.grad[:size], flat.grad[size:]
    return first, second


def flatten(parameters: Iterable[nn.Parameter]) -> nn.Parameter:
    """Make parameters, and their gradients, views of one flat parameter; return it."""
    parameters = list(parameters)
    if len({(p.dtype, p.device) for p in parameters}) != 1:
        raise ConfigError("a policy's trainable parameters must exist, with one dtype and on one device")
    flat = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    flat.grad = torch.zeros_like(flat)
    start = 0
    for p in parameters:
        stop = start + p.numel()
        p.data, p.grad = flat.data[start:stop].view_as(p), flat.grad[start:stop].view_as(p)
        start = stop
    return flat
