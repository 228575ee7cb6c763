"""Running statistics that bring observations, rewards and returns to unit scale; saved with the policy.

They stay frozen from a rollout's first act to its update's last epoch, so the first ratio of every update is 1.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from clipper.data.steps import Value
from clipper.functional.statistics import Moments, merge, moments


class RunningMoments(nn.Module):
    """Mean and population variance of all samples seen so far, each of shape ``shape``.

    With a ``beta``, of a mixture in which the latest batch weighs β / (1 − (1 − β)ᵗ), the t-th one, and what came
    before the rest, so that old batches fade (arXiv:1602.07714, section 2.1).
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, shape: tuple[int, ...], beta: float | None = None) -> None:
        super().__init__()
        self.beta = beta
        self.register_buffer("count", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(shape, dtype=torch.float64))

    @torch.no_grad()
    def absorb(self, samples: Float[Tensor, "batch *shape"]) -> None:
        """Merge a batch of samples into the statistics; one that holds NaN or infinity leaves no trace."""
        if len(samples):
            self.take(moments(samples))

    def take(self, new: Moments) -> None:
        """Merge the moments of a batch."""
        before = Moments(self.count, self.mean, self.variance)
        merged = merge(before, new) if self.beta is None else blend(before, new, self.beta)
        finite = merged.variance.isfinite().all()
        for buffer, x in zip((self.count, self.mean, self.variance), merged, strict=True):
            buffer.copy_(torch.where(finite, x, buffer))


def blend(before: Moments, batch: Moments, beta: float) -> Moments:
    """Moments of the mixture of what came before and a batch; ``count`` counts batches."""
    batches, mean, variance = before
    share = beta / (1 - (1 - beta) ** (batches + 1))
    apart = batch.mean - mean
    variance = (1 - share) * variance + share * batch.variance + share * (1 - share) * apart.square()
    return Moments(batches + 1, mean + share * apart, variance)


class ObservationNormaliser(nn.Module):
    """s → clip((s − mean) / std, ±bound) ("The 37 implementation details of PPO" 2022, continuous details 5 and 6)."""

    shift: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...], bound: float) -> None:
        super().__init__()
        self.bound = bound
        self.moments = RunningMoments(shape)
        self.register_buffer("shift", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def forward(self, obs: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        return ((obs - self.shift) * self.scale).clamp(-self.bound, self.bound)

    @torch.no_grad()
    def absorb(self, obs: Shaped[Tensor, "batch *shape"]) -> None:
        self.moments.absorb(obs.double())
        self.shift.copy_(self.moments.mean)
        self.scale.copy_((self.moments.variance + 1e-8).rsqrt())


class RewardScaler(nn.Module):
    """r → clip(r / std of the discounted return so far, ±bound) (Engstrom et al. 2020, arXiv:2005.12729)."""

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.bound = bound
        self.moments = RunningMoments(())

    def forward(self, reward: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        std = (self.moments.variance + 1e-8).sqrt().to(reward.dtype)
        return ((reward - self.zero(reward)) / std).clamp(-self.bound, self.bound)

    def zero(self, reward: Float[Tensor, "*batch"]) -> Float[Tensor, ""] | float:
        """The reward that becomes 0."""
        return 0.0

    def absorb(self, reward: Float[Tensor, " batch"], discounted_return: Float[Tensor, " batch"]) -> None:
        self.moments.absorb(discounted_return)


class RewardNormaliser(RewardScaler):
    """r → clip((r − mean) / std, ±bound) over the rewards so far: what some call reward normalisation.

    It moves the rewards' zero: where a policy decides how long episodes last, another policy may become the best.
    """

    def zero(self, reward: Float[Tensor, "*batch"]) -> Float[Tensor, ""] | float:
        return self.moments.mean.to(reward.dtype)

    def absorb(self, reward: Float[Tensor, " batch"], discounted_return: Float[Tensor, " batch"]) -> None:
        self.moments.absorb(reward)


class ReturnNormaliser(nn.Module):
    """The critic predicts (R − mean) / std; its answer is mapped back.

    Where the statistics move, so do the predictions, unless the value layer is given: then its weights and bias make up
    for that, W ← W σ/σ′, b ← (σ b + μ − μ′)/σ′ (PopArt, van Hasselt et al. 2016, arXiv:1602.07714, algorithm 1).
    ``beta`` weighs the latest batch of returns; None weighs all samples so far alike.
    """

    def __init__(self, layer: nn.Linear | None = None, beta: float | None = None) -> None:
        super().__init__()
        self.moments = RunningMoments((), beta)
        self.preserved = [] if layer is None else [layer]  # in a list: its parameters are the policy's, not ours
        # Empty: follows ``policy.double()``.
        self.register_buffer("dtype_of", torch.empty(0), persistent=False)

    @property
    def scale(self) -> Float[Tensor, ""]:
        return (self.moments.variance + 1e-8).sqrt().to(self.get_buffer("dtype_of").dtype)

    def forward(self, raw: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        return self.moments.mean.to(raw.dtype) + self.scale * raw

    def value(self, raw: Float[Tensor, "*batch 1"]) -> Value:
        """V(s) of what the value layer says."""
        return Value(self(raw.squeeze(-1)), self.scale)

    @torch.no_grad()
    def absorb(self, returns: Float[Tensor, " batch"]) -> None:
        mean, scale = self.moments.mean.clone(), self.scale.double()
        self.moments.absorb(returns)
        for layer in self.preserved:
            self.preserve(layer, mean, scale)

    @torch.no_grad()
    def follow(self, other: "ReturnNormaliser", layer: nn.Linear) -> None:
        """Take over another one's statistics; ``layer`` makes up for them, so that V stays where it was."""
        mean, scale = self.moments.mean.clone(), self.scale.double()
        self.moments.load_state_dict(other.moments.state_dict())
        self.preserve(layer, mean, scale)

    def preserve(self, layer: nn.Linear, mean: Float[Tensor, ""], scale: Float[Tensor, ""]) -> None:
        """Let the layer, whose units were ``mean`` and ``scale``, say in the present ones what it said in those."""
        layer.weight.mul_(scale / self.scale)
        layer.bias.copy_((scale * layer.bias + mean - self.moments.mean) / self.scale)
