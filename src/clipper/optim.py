"""What changes during a run, and how: the learner, minibatches, gradient steps."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data import Steps, Targets, each
from clipper.errors import ConfigError
from clipper.functional.returns import discounted_sum_so_far
from clipper.normalise import RewardScaler

Metrics = dict[str, Tensor]


class Learner:
    """A policy and all that is needed to go on improving it.

    The trainable parameters become views of one flat vector, and so do their gradients: zeroing, the norm, clipping and
    Adam are then one operation each, whatever the number of layers.
    """

    def __init__(
        self, policy: nn.Module, *, adam_eps: float, seed: int, reward_scaler: RewardScaler | None = None
    ) -> None:
        self.policy: Any = policy  # an nn.Module that follows nets.Policy; no type says both
        self.reward_scaler = reward_scaler
        self.parameters = flatten(policy)
        self.optimizer = torch.optim.Adam([self.parameters], eps=adam_eps, fused=True)
        self.generator = Generator().manual_seed(seed)
        self.progress = 0.0
        """Fraction of the run that is done, for schedules; the training loop sets it."""
        self.running_return: Tensor | None = None
        """γ times the discounted return so far, ``[N]``, where the next segment begins; for reward scaling."""

    def scale_rewards(self, steps: Steps, gamma: float) -> Float[Tensor, "T N"]:
        """Rewards over the standard deviation of their discounted sum, whose statistics include this batch."""
        assert self.reward_scaler is not None
        carry = torch.zeros_like(steps.reward[0]) if self.running_return is None else self.running_return
        returns, self.running_return = discounted_sum_so_far(steps.reward, steps.done, steps.mask, gamma, carry)
        self.reward_scaler.absorb(returns[steps.mask])
        return self.reward_scaler(steps.reward)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything as named tensors, the policy included."""
        state = {f"policy.{k}": v for k, v in self.policy.state_dict().items()}
        moments = self.optimizer.state.get(self.parameters, {})
        state |= {f"adam.{k}": v for k, v in moments.items()}
        state |= {"generator": self.generator.get_state(), "progress": torch.tensor(self.progress, dtype=torch.float64)}
        if self.reward_scaler is not None:
            state |= {f"reward_scaler.{k}": v for k, v in self.reward_scaler.state_dict().items()}
        if self.running_return is not None:
            state["running_return"] = self.running_return
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over a state that ``state_dict`` of a learner of the same shape gave."""
        self.policy.load_state_dict(part(state, "policy."))
        moments = {k: v.clone() for k, v in part(state, "adam.").items()}
        self.optimizer.state[self.parameters] = moments
        self.generator.set_state(state["generator"])
        self.progress = float(state["progress"])
        if self.reward_scaler is not None:
            self.reward_scaler.load_state_dict(part(state, "reward_scaler."))
        self.running_return = state["running_return"].clone() if "running_return" in state else None


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose name begins with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def flatten(policy: nn.Module) -> nn.Parameter:
    """Make all trainable parameters, and their gradients, views of one flat parameter; return it."""
    parameters = [p for p in policy.parameters() if p.requires_grad]
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
    """``epochs`` times: all decisions, shuffled, in ``count`` parts ``[B, ...]`` whose sizes differ by at most one."""
    keep = targets.steps.mask.flatten().nonzero().squeeze(-1)
    flat = targets._replace(steps=targets.steps._replace(memory=()))
    rows = each(lambda x: x.flatten(0, 1).index_select(0, keep), flat)
    for _ in range(epochs):
        order = torch.randperm(len(keep), generator=generator).to(keep.device)
        for index in order.tensor_split(min(count, len(keep))):
            yield each(lambda x, index=index: x.index_select(0, index), rows)


def gradient_step(
    learner: Learner, loss: Float[Tensor, ""], learning_rate: float, max_norm: float
) -> Float[Tensor, ""]:
    """One Adam step on a loss, its gradient scaled down to ``max_norm`` where it is longer; returns the norm before.

    Pascanu et al. 2013, arXiv:1211.5063, algorithm 1; Kingma & Ba 2015, arXiv:1412.6980, algorithm 1.
    """
    gradient = learner.parameters.grad
    assert gradient is not None
    gradient.zero_()
    loss.backward()
    norm = torch.linalg.vector_norm(gradient)
    gradient.mul_((max_norm / (norm + 1e-6)).clamp(max=1))
    learner.optimizer.param_groups[0]["lr"] = learning_rate
    learner.optimizer.step()
    return norm
