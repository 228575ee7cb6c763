"""What changes during a run, and how: the learner, minibatches, gradient steps."""

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from clipper.critic_targets import CriticTarget, TargetCritic, TDLambda
from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree, each
from clipper.errors import ConfigError
from clipper.functional.objectives import LARGEST_LOG_RATIO, kl_estimates
from clipper.functional.reduce import masked_mean, standardise
from clipper.functional.returns import discounted_sum_so_far, gae
from clipper.functional.statistics import explained_variance
from clipper.networks.normalise import RewardNormaliser, RewardScaler
from clipper.optimizers import Adam, Optimizer

Metrics = dict[str, Tensor]


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
        self.extra = {k: v.clone() for k, v in part(state, "extra.").items()}
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


def minibatches(targets: Targets, epochs: int, count: int, generator: Generator) -> Iterator[Targets]:
    """``epochs`` times: all decisions, shuffled, in ``count`` parts ``[B, ...]`` whose sizes differ by at most one.

    With a memory whole columns are shuffled, and their numbers differ by at most one.
    """
    keep = targets.steps.mask.flatten().nonzero().squeeze(-1)
    if targets.steps.memory:
        yield from targets.steps.memory.minibatches(targets, epochs, count, generator)
        return
    flat = targets._replace(steps=targets.steps._replace(memory=()))
    rows = each(lambda x: x.flatten(0, 1).index_select(0, keep), flat)
    for _ in range(epochs):
        order = torch.randperm(len(keep), generator=generator).to(keep.device)
        for index in order.tensor_split(min(count, len(keep))):
            yield each(lambda x, index=index: x.index_select(0, index), rows)


def gradient_step(
    learner: Learner,
    loss: Float[Tensor, ""],
    learning_rate: float,
    max_norm: float,
    optimizer: torch.optim.Optimizer | None = None,
) -> Float[Tensor, ""]:
    """One step of Adam (or of ``optimizer``, which may own a part of the parameters) down a loss.

    The gradient is scaled down to ``max_norm`` where it is longer; returns the norm before. Where loss or norm is not
    finite, parameters and moments stay as they are, bit for bit, and the learner counts one more step as skipped.

    Pascanu et al. 2013, arXiv:1211.5063, algorithm 1; Kingma & Ba 2015, arXiv:1412.6980, algorithm 1.
    """
    gradient = learner.parameters.grad
    assert gradient is not None
    gradient.zero_()
    loss.backward()
    norm = torch.linalg.vector_norm(gradient)
    gradient.mul_((max_norm / (norm + 1e-6)).clamp(max=1))
    optimizer = optimizer or learner.optimizer
    optimizer.param_groups[0]["lr"] = learning_rate
    broken = loss.detach() + norm
    broken.sub_(broken).ne_(broken)  # x − x is 0, or else NaN, which differs from itself: now 1 where x is not finite
    learner.skipped.add_(broken)
    learner.skipped_in_a_row.mul_(broken).add_(broken)
    optimizer.found_inf = broken.float()  # pyright: ignore[reportAttributeAccessIssue] (torch's guard, read on device)
    optimizer.step()
    return norm


def finite_step(learner: Learner, loss: Float[Tensor, ""], step: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
    """A step that no optimizer takes, or 0 where it or its loss is not finite; the learner then counts one more."""
    broken = ~(loss.detach() + step.sum()).isfinite()
    learner.skipped.add_(broken)
    learner.skipped_in_a_row.add_(1).mul_(broken)
    return torch.where(broken, 0, step)


@runtime_checkable
class Estimation(Protocol):
    """The fields of an algorithm that say what it makes of recorded rewards."""

    @property
    def gamma(self) -> float: ...
    @property
    def lam(self) -> float: ...
    @property
    def critic_target(self) -> CriticTarget: ...
    @property
    def standardise(self) -> bool | str: ...
    @property
    def correction(self) -> int: ...


@torch.no_grad()
def estimate_advantages(
    algorithm: Estimation, learner: Learner, steps: Steps, last_obs: Tree, again: bool = False
) -> Targets:
    """Â by GAE (arXiv:1506.02438, eq 16), in standard units where the batch decides them, and the critic's targets.

    Those are the algorithm's ``critic_target``, or Â + V(sₜ). Rewards are scaled where the learner does so. ``again``:
    with the policy as it is by now, for steps whose rewards this update has already taken into its statistics.
    """
    obs = each(lambda rows, last: torch.cat([rows, last[None]]), steps.obs, last_obs)
    memory = steps.memory and steps.memory.extended(steps.mask)
    value = learner.policy.value(obs, memory).mean
    reward = steps.reward
    if learner.reward_scaler is not None:
        reward = learner.reward_scaler(reward) if again else learner.scale_rewards(steps, algorithm.gamma)
    recorded = steps.terminated, steps.done, steps.mask, algorithm.gamma
    advantage = gae(reward, value, *recorded, algorithm.lam)
    value_target = advantage + value[:-1]
    if algorithm.critic_target is not None or learner.lagged is not None:
        judge = value if learner.lagged is None else learner.lagged_value(obs, memory, again)
        value_target = (algorithm.critic_target or TDLambda(algorithm.lam))(reward, judge, *recorded)
    targets = Targets(steps, advantage, value_target, value=value[:-1])
    if algorithm.standardise not in (True, "batch"):
        return targets
    return targets._replace(advantage=standardise(advantage, steps.mask, algorithm.correction), raw=(advantage,))


def summarise(history: list[Metrics], targets: Targets) -> Metrics:
    """What was watched in each gradient step → one number per update, and what is known of the whole batch.

    Where no step was taken, ``history`` has what was watched where the first one was given up. The mean over steps, but
    the largest of what ends in ``_max``, and the least and largest of what is told of each minibatch. Advantages are
    described in their own units, before any standardising, by their population deviation.
    """
    mask = targets.steps.mask
    watched = {name: torch.stack([metrics[name] for metrics in history]).detach() for name in history[0]}
    summary: Metrics = {}
    for name, x in watched.items():
        if "/minibatch_" in name:
            summary |= {f"{name}_min": x.amin(), f"{name}_max": x.amax()}
        else:
            summary[name] = x.amax() if name.endswith("_max") else x.mean()
    (advantage,) = targets.raw or (targets.advantage,)
    std, mean = torch.std_mean(advantage[mask], correction=0)
    explained = explained_variance(targets.value, targets.value_target, mask)
    summary.setdefault("loss/gradient_norm", torch.zeros_like(mean))
    return summary | {"advantage/mean": mean, "advantage/std": std, "value/explained_variance": explained}


@torch.no_grad()
def ratio_metrics(log_ratio: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"]) -> Metrics:
    """How far π has moved from the μ that acted: the KL's three estimates, the largest ratio, and the fraction of
    ratios that were bounded so as not to overflow.
    """
    clamped = (log_ratio > LARGEST_LOG_RATIO).to(log_ratio.dtype)
    k1, k2, k3, clamped = masked_mean(torch.stack([*kl_estimates(log_ratio), clamped]), mask)
    largest = log_ratio.masked_fill(~mask, -torch.inf).amax().clamp(max=LARGEST_LOG_RATIO).exp()
    estimates = {"policy/kl_k1": k1, "policy/kl_k2": k2, "policy/kl_k3": k3}
    return estimates | {"policy/ratio_max": largest, "policy/ratio_clamped": clamped}


@torch.no_grad()
def with_old(policy: Any, targets: Targets) -> Targets:
    """The targets with what π_old is in each state, as its ``params``, for losses with an exact KL(π_old ‖ π)."""
    shape = targets.steps.mask.shape  # what is the same in all states is repeated, so that minibatches can index it
    params = policy.act(targets.steps.obs, targets.steps.memory, targets.steps.action_mask)[0].params
    return targets._replace(old=each(lambda p: p if p.shape[:2] == shape else p.expand(*shape, *p.shape), params))


def fit_critic(
    learner: Learner,
    targets: Targets,
    value_loss: Callable[..., Tensor],
    epochs: int,
    count: int,
    learning_rate: float,
    max_norm: float,
) -> Float[Tensor, ""]:
    """Steps of the critic's own optimizer towards ``value_target``, ``count`` minibatches an epoch; the mean loss."""
    losses = []
    for batch in minibatches(targets, epochs, count, learner.generator):
        error = value_loss(learner.policy.value(batch.steps.obs, batch.steps.memory), batch.value_target, batch.value)
        losses.append(masked_mean(error, batch.steps.mask))
        gradient_step(learner, losses[-1], learning_rate, max_norm, learner.critic_optimizer)
    return torch.stack(losses).detach().mean()
