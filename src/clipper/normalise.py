"""Running statistics that bring observations, rewards and returns to unit scale; saved with the policy.

They stay frozen from a rollout's first act to its update's last epoch, so the first ratio of every update is 1.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from clipper.functional.statistics import Moments, merge, moments


class RunningMoments(nn.Module):
    """Mean and population variance of all samples seen so far, each of shape ``shape``."""

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("count", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(shape, dtype=torch.float64))

    @torch.no_grad()
    def absorb(self, samples: Float[Tensor, "batch *shape"]) -> None:
        """Merge a batch of samples into the statistics; one that holds NaN or infinity leaves no trace."""
        if len(samples):
            merged = merge(Moments(self.count, self.mean, self.variance), moments(samples))
            finite = merged.variance.isfinite().all()
            for buffer, new in zip((self.count, self.mean, self.variance), merged, strict=True):
                buffer.copy_(torch.where(finite, new, buffer))


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
        return (reward / std).clamp(-self.bound, self.bound)

    def absorb(self, reward: Float[Tensor, " batch"], discounted_return: Float[Tensor, " batch"]) -> None:
        self.moments.absorb(discounted_return)


class RewardNormaliser(nn.Module):
    """r → clip((r − mean) / std, ±bound) over the rewards so far: what some call reward normalisation.

    It moves the rewards' zero: where a policy decides how long episodes last, another policy may become the best.
    """

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.bound = bound
        self.moments = RunningMoments(())

    def forward(self, reward: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        std = (self.moments.variance + 1e-8).sqrt().to(reward.dtype)
        return ((reward - self.moments.mean.to(reward.dtype)) / std).clamp(-self.bound, self.bound)

    def absorb(self, reward: Float[Tensor, " batch"], discounted_return: Float[Tensor, " batch"]) -> None:
        self.moments.absorb(reward)


class ReturnNormaliser(nn.Module):
    """The critic predicts (R − mean) / std; its answer is mapped back.

    PopArt (van Hasselt et al. 2016, arXiv:1602.07714) without its preservation of outputs: when the statistics move,
    so do the predictions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.moments = RunningMoments(())

    @property
    def scale(self) -> Float[Tensor, ""]:
        return (self.moments.variance + 1e-8).sqrt().float()

    def forward(self, raw: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        return self.moments.mean.to(raw.dtype) + self.scale * raw

    def absorb(self, returns: Float[Tensor, " batch"]) -> None:
        self.moments.absorb(returns)
