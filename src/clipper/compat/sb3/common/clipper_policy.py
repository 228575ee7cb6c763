"""A policy of Stable-Baselines3's kind as Clipper's algorithms take one."""

from collections.abc import Callable, Mapping

import torch
from gymnasium.spaces import Dict
from torch import Tensor, nn
from torch.nn.functional import pad

from clipper.compat.sb3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    Distribution,
    MultiCategoricalDistribution,
    SquashedDiagGaussianDistribution,
    StateDependentNoiseDistribution,
)
from clipper.data.steps import Value
from clipper.data.trees import Tree, each
from clipper.distributions import Categorical, DiagonalGaussian, MultiCategorical, SquashedGaussian
from clipper.errors import ConfigError
from clipper.learning.optimizers import Adam, OwnOptimizer
from clipper.networks.heads.discrete import IMPOSSIBLE

Latents = Callable[[Tree], tuple[Tensor, Tensor]]


def clippers(found: Distribution, lead: torch.Size) -> Tree:
    """The same distribution as one of Clipper's, whose tensors lead with ``lead``."""

    def shaped(x: Tensor) -> Tensor:
        return x.reshape(*lead, *x.shape[1:])

    own = found.distribution
    if isinstance(found, StateDependentNoiseDistribution | DiagGaussianDistribution):
        squashed = isinstance(found, SquashedDiagGaussianDistribution) or (
            isinstance(found, StateDependentNoiseDistribution) and found.bijector is not None
        )
        kind = SquashedGaussian if squashed else DiagonalGaussian
        return kind(shaped(own.mean), shaped(own.scale).log())
    if isinstance(found, CategoricalDistribution):
        return Categorical(shaped(own.logits))
    if isinstance(found, MultiCategoricalDistribution):
        widest = max(found.action_dims)
        rows = [pad(x.logits, (0, widest - x.logits.shape[-1]), value=IMPOSSIBLE) for x in own]
        return MultiCategorical(shaped(torch.stack(rows, dim=-2)))
    if isinstance(found, BernoulliDistribution):
        return MultiCategorical(shaped(torch.stack([torch.zeros_like(own.logits), own.logits], dim=-1)))
    raise ConfigError(f"{type(found).__name__} is no distribution that Clipper learns with")


class LearntPolicy(nn.Module):
    """What Clipper's losses see of a policy: π and V of observations, whatever leads these."""

    def __init__(self, policy: nn.Module) -> None:
        super().__init__()
        self.policy: Tree = policy

    def flat(self, obs: Tree) -> tuple[Tree, torch.Size]:
        """Rows ``[B, ...]``, and what they led with."""
        space = self.policy.observation_space
        if isinstance(space, Dict):
            first = next(iter(space.spaces))
            shape, one = space.spaces[first].shape or (), obs[first]
            lead = one.shape[: one.ndim - len(shape)]
            return {k: obs[k].reshape(-1, *(x.shape or ())) for k, x in space.spaces.items()}, lead
        shape = space.shape or ()
        lead = obs.shape[: obs.ndim - len(shape)]
        return obs.reshape(-1, *shape), lead

    def forward(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Tree, Value]:
        rows, lead = self.flat(obs)
        latent_pi, latent_vf = self.policy.latents(rows)
        found = self.policy._get_action_dist_from_latent(latent_pi)
        self.mask(found, action_mask)
        return clippers(found, lead), Value(self.policy.value_net(latent_vf).reshape(lead))

    def mask(self, found: Distribution, action_mask: Tree) -> None:
        """Let what is illegal have no probability."""
        if not isinstance(action_mask, tuple):
            masked: Tree = found
            masked.apply_masking(action_mask.flatten(0, -2))

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Tree, Tree]:
        rows, lead = self.flat(obs)
        found = self.policy.get_distribution(rows)
        self.mask(found, action_mask)
        return clippers(found, lead), memory

    def value(self, obs: Tree, memory: Tree = ()) -> Value:
        rows, lead = self.flat(obs)
        return Value(self.policy.predict_values(rows).reshape(lead))

    def to_env(self, action: Tree, action_mask: Tree = ()) -> Tree:
        return each(lambda x: x.cpu().numpy(), action)

    def actor_parameters(self) -> list[nn.Parameter]:
        return [x for name, x in self.policy.named_parameters() if "value" not in name and "vf_" not in name]

    def critic_parameters(self) -> list[nn.Parameter]:
        return [x for name, x in self.policy.named_parameters() if "value" in name or "vf_" in name]

    def absorb(self, obs: Tree, returns: Tensor) -> None:
        """Its environments keep the statistics."""


class TorchOptimizer:
    """Any optimizer of torch's kind, with its arguments."""

    def __init__(self, kind: type[torch.optim.Optimizer], options: Mapping[str, Tree]) -> None:
        self.kind, self.options = kind, dict(options)

    def make(self, parameters: nn.Parameter | list[nn.Parameter]) -> torch.optim.Optimizer:
        own = [parameters] if isinstance(parameters, nn.Parameter) else parameters
        return self.kind(own, **({"lr": 0.0} | self.options))  # pyright: ignore[reportCallIssue, reportArgumentType]


def optimizer_of(kind: type[torch.optim.Optimizer], options: Mapping[str, Tree]) -> Adam | OwnOptimizer:
    """Clipper's Adam where it is Adam with arguments that this has, otherwise torch's own."""
    if kind is torch.optim.Adam and set(options) <= {"eps", "betas", "weight_decay"}:
        return Adam(**options)
    return TorchOptimizer(kind, options)
